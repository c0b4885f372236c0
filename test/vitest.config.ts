import { defineConfig } from 'vitest/config';
import { testTimeoutMs } from './waiting.js';

// One process per test file: native addons and child processes do not survive worker threads well.
export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: testTimeoutMs,
    hookTimeout: testTimeoutMs,
    teardownTimeout: testTimeoutMs,
  },
});
