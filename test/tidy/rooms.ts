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

/**
 * Paths that a page or a comment of the sources names and that do not exist. A path is written from `src`,
 * from the root of the repository or from a folder around the file that names it, with its ending; a name
 * alone may be that of one file further down. The tables of files of a README leave `.ts` out. `existing`:
 * all files and folders, from the root.
 */
export function checkPaths(texts: readonly Page[], existing: ReadonlySet<string>): string[] {
  return texts.flatMap(({ path, text }) => {
    const isPage = path.endsWith('.md');
    const below = [...existing].filter((other) => other.startsWith(`${posix.dirname(path)}/`));
    const isOneBelow = (name: string): boolean =>
      !name.includes('/') && below.filter((other) => other.endsWith(`/${name}`)).length === 1;
    const exists = (name: string): boolean =>
      basesOf(path).some((base) => existing.has(posix.join(base, name))) || isOneBelow(name);
    const isThere = (name: string): boolean => exists(name) || exists(`${name}.ts`);
    const complaints = text.split('\n').flatMap((line, index) => {
      if (!isPage && !/^\s*(\/\/|\/?\*)|\s\/\/ /.test(line)) return [];
      const missing = [...line.matchAll(fileName)].map(([name]) => name).filter((name) => !exists(name));
      if (isPage) missing.push(...pathsInCode(line, existing).filter((name) => !isThere(name)));
      return missing.map((name) => `${path}:${index + 1}: there is no ${name}`);
    });
    if (!isPage) return complaints;
    const missing = filesOfTables(text).filter((name) => !name.endsWith('.ts') && !isThere(name));
    return [...complaints, ...missing.map((name) => `${path}: there is no ${name}, which its table names`)];
  });
}

const fileName = /(?<![\w/.@*<-])(?:[\w-]+\/)*[\w-]+(?:\.[\w-]+)?\.ts(?![\w/-])/g;

/** The folder of a file, all around it, and `src`. */
function basesOf(path: string): string[] {
  const bases = ['src'];
  for (let folder = posix.dirname(path); ; folder = posix.dirname(folder)) {
    bases.push(folder);
    if (folder === '.') return bases;
  }
}

/** What stands between backticks, has a slash and begins with a folder of src. */
function pathsInCode(line: string, existing: ReadonlySet<string>): string[] {
  return [...line.matchAll(/`([\w-]+(?:\/[\w-]+)+)\/?`/g)]
    .map(([, name]) => name ?? '')
    .filter((name) => existing.has(`src/${name.split('/')[0] ?? ''}`));
}

/** The names in the first column of tables whose first column is called `file`. */
function filesOfTables(text: string): string[] {
  const names: string[] = [];
  let isTable = false;
  for (const line of text.split('\n')) {
    const cell = /^\|([^|]*)\|/.exec(line)?.[1]?.trim();
    if (cell === undefined) isTable = false;
    else if (cell === 'file') isTable = true;
    else if (isTable) names.push(...[...cell.matchAll(/`([^`]+?)\/?`/g)].map(([, name]) => name ?? ''));
  }
  return names.filter((name) => !/[*{]/.test(name));
}
