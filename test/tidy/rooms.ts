// What makes a folder a room: few files, a direction in which they import each other, and a README that names
// what is there.

import { posix } from 'node:path';
import { importsOf, target, type Source } from './sources.js';

const filesMax = 20;
const peers = 'peers of one kind';

/** A text file of the repository that is no source: a README. */
export interface Page {
  readonly path: string;
  readonly text: string;
}

/** Folders of src with more files than a reader takes in, unless their README says why that is so. */
export function checkFolderSizes(sources: readonly Source[], pages: readonly Page[]): string[] {
  const counts = new Map<string, number>();
  for (const { path } of sources.filter((source) => source.path.startsWith('src/'))) {
    const folder = posix.dirname(path);
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  return [...counts].flatMap(([folder, count]) => {
    const words = pages.find(({ path }) => path === `${folder}/README.md`)?.text ?? '';
    if (count <= filesMax || words.replace(/\s+/g, ' ').includes(peers)) return [];
    const unless = `at most ${filesMax}, unless its README says that they are ${peers}`;
    return [`${folder}: ${count} files; ${unless}`];
  });
}

/** Files of src that import each other in a circle, imports of types included; each circle once. */
export function checkCircles(sources: readonly Source[]): string[] {
  const own = sources.filter(({ path }) => path.startsWith('src/'));
  const paths = new Set(own.map(({ path }) => path));
  const nextOf = new Map<string, string[]>();
  for (const source of own) {
    const targets = importsOf(source).map(({ specifier }) => target(source, specifier) ?? '');
    nextOf.set(
      source.path,
      targets.filter((path) => paths.has(path)),
    );
  }
  const complaints: string[] = [];
  const done = new Set<string>();
  const follow = (path: string, way: readonly string[]): void => {
    const position = way.indexOf(path);
    if (position >= 0) complaints.push(`circle of imports: ${[...way.slice(position), path].join(' -> ')}`);
    if (position >= 0 || done.has(path)) return;
    for (const next of nextOf.get(path) ?? []) follow(next, [...way, path]);
    done.add(path);
  };
  for (const path of paths) follow(path, []);
  return complaints;
}
