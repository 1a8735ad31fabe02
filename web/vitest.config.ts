// Unit tests are pure functions: no browser and no document. Of the build's plugins they need the policy's table.
import { defineConfig } from 'vitest/config';
import { policyTable } from './scripts/policy';

export default defineConfig({
  plugins: [policyTable()],
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
