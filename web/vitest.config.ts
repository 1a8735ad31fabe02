// Unit tests are pure functions: no browser and no document, so they need none of the build's plugins.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
