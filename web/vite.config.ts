// How the console is built: file routes split per page, hashed assets under /assets, everything
// embedded afterwards by the server, so nothing may be inlined that the content policy would refuse.
import { tanstackRouter } from '@tanstack/router-plugin/vite';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';
import { policyTable } from './scripts/policy';

// The development server forwards to a running `cofferdam serve`.
const backend = process.env.COFFERDAM_URL ?? 'http://localhost:8000';

export default defineConfig({
  plugins: [
    policyTable(),
    tanstackRouter({
      target: 'react',
      autoCodeSplitting: true,
      routesDirectory: './src/routes',
      generatedRouteTree: './src/routeTree.gen.ts',
      quoteStyle: 'single',
      semicolons: true,
    }),
    react(),
  ],
  server: {
    port: 5173,
    // The policy's table lies with the server.
    fs: { allow: ['..'] },
    proxy: {
      '/api': backend,
      '/track': backend,
      '/import': backend,
      '/engage': backend,
      '/groups': backend,
      '/openapi.json': backend,
    },
  },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    reportCompressedSize: true,
    rolldownOptions: {
      output: {
        // Left alone, the bundler makes a file of every component that two pages share: sixty requests.
        // The libraries change together, with a release of theirs, and cache together.
        codeSplitting: {
          groups: [
            // The calendar stays apart, and what few pages share: most visits never open it.
            {
              name: 'vendor',
              test: /node_modules\/(?!@mantine\/dates|dayjs)/,
              priority: 1,
              minShareCount: 7,
            },
            // What only the trust pages share is left out: it is not what every visit begins with.
            {
              name: 'console',
              test: /\/src\/(ui\/(?!fields|FieldChips|instant|InstantInput|Bar|Locks|recipient)|api\/(?!oversight)|i18n\/[^/]+\.ts)/,
              priority: 0,
              minShareCount: 3,
            },
          ],
        },
      },
    },
  },
});
