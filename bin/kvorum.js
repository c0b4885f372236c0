#!/usr/bin/env node
// The command `kvorum`. Everything is in dist, which `npm run build` (run by `npm ci`) makes from src.

import { existsSync } from 'node:fs';

const main = new URL('../dist/cli/main.js', import.meta.url);

if (existsSync(main)) {
  const { run } = await import(main.href);
  await run(process.argv.slice(2));
} else {
  process.stderr.write('kvorum: not built yet, dist is missing: run `npm run build` in the package folder\n');
  process.exitCode = 1;
}
