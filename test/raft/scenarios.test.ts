// Runs every scenario file and compares the trace it gives with the one it holds.

import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runScenario } from './scenario-runner.js';

const folder = new URL('./scenarios/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.txt'));

describe('scenario', () => {
  it.each(files)('%s', async (name) => {
    const path = new URL(name, folder).pathname;
    await expect(runScenario(readFileSync(path, 'utf8'))).toMatchFileSnapshot(path);
  });
});
