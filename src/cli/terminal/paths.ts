// Where this program is, and how paths are shown to who sits before it.

import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The program that child processes run. */
export const commandPath = fileURLToPath(new URL('../../../bin/kvorum.js', import.meta.url));

/** From the current folder where the path lies below it. */
export function shortPath(path: string): string {
  const below = relative('', path);
  return below === '' || below.startsWith('..') ? path : below;
}
