// Starts the console: language, colour scheme, providers, router. The only reader of the nonce that the
// server writes into the page; without it the content policy refuses every style made at run time.
import './ui/styles';
import { localStorageColorSchemeManager, MantineProvider } from '@mantine/core';
import { QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { setNonce } from 'get-nonce';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { startI18n } from './i18n';
import { makeQueryClient, makeRouter } from './router';
import { cssVariablesResolver, theme } from './ui/theme';

const nonce = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? '';
setNonce(nonce);

const queryClient = makeQueryClient(() => router);
const router = makeRouter(queryClient);
const colorSchemeManager = localStorageColorSchemeManager({ key: 'cofferdam-color-scheme' });

await startI18n();

const root = document.getElementById('root');
if (!root) throw new Error('the page has no element to render into');

createRoot(root).render(
  <StrictMode>
    <MantineProvider
      theme={theme}
      cssVariablesResolver={cssVariablesResolver}
      colorSchemeManager={colorSchemeManager}
      defaultColorScheme="auto"
      getStyleNonce={() => nonce}
    >
      <QueryClientProvider client={queryClient}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
);
