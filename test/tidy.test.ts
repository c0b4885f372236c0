// The rules of the house, enforced: who may import whom, how long things may be, what may not appear at all.
// Every rule is a function from parsed files to complaints; the second half breaks each rule once on purpose.

import { readFileSync, readdirSync } from 'node:fs';
import { posix } from 'node:path';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';
import { checkLogTexts } from './tidy/log-texts.js';
import { checkCircles, checkFolderSizes, checkPaths, type Page } from './tidy/rooms.js';
import {
  importsOf,
  parse,
  place,
  repositorySources,
  root,
  target,
  visit,
  type Source,
} from './tidy/sources.js';
import { checkSwitches, createProgramOf, createSourceProgram } from './tidy/switches.js';

/**
 * `code`, `types`: folders that may be imported whole, or for their types only; `files`: single files beyond
 * that (limits are part of the format); `modules`: packages and built-ins, `node:*` is all of Node.
 */
interface FolderRule {
  readonly code: readonly string[];
  readonly types?: readonly string[];
  readonly files?: readonly string[];
  readonly modules: readonly string[];
}

const storeLimits = 'src/kv/commands.ts';
const formatLevels = 'src/kv/format-level.ts';

/** The import table of the architecture page (src/README.md). */
const importTable: Readonly<Record<string, FolderRule>> = {
  base: { code: [], modules: [] },
  raft: { code: ['base'], modules: [] },
  kv: { code: ['base'], modules: [] },
  wire: { code: ['base'], types: ['raft', 'kv'], files: [storeLimits, formatLevels], modules: ['msgpackr'] },
  storage: { code: ['base'], types: ['raft', 'kv'], modules: ['node:fs', 'node:path', 'node:zlib', 'level'] },
  transport: { code: ['base', 'wire'], modules: ['node:http', 'node:net', 'node:stream', 'ws'] },
  server: {
    code: ['base', 'raft', 'kv', 'wire', 'storage', 'transport'],
    modules: ['node:*', 'pino', 'prom-client', 'zod'],
  },
  client: { code: ['base', 'wire'], types: ['kv'], modules: ['ws', 'node:crypto'] },
  sim: { code: ['base', 'raft', 'kv', 'wire', 'storage', 'server', 'client'], modules: [] },
  chaos: {
    code: ['base', 'raft', 'kv', 'wire', 'storage', 'server', 'client', 'sim'],
    modules: ['node:*'],
  },
  cli: {
    code: ['server', 'client', 'sim', 'chaos'],
    files: ['src/base/assert.ts'],
    modules: ['node:*', 'commander'],
  },
};

const entryPoints = ['src/client/index.ts', 'src/server/index.ts', 'src/sim/index.ts', 'src/cli/main.ts'];
const pureFolders = ['raft', 'kv', 'wire'];
const bannedInPureFolders = new Set(
  'Date process performance crypto setTimeout setInterval setImmediate queueMicrotask Promise'.split(' '),
);
const caps = { sourceLines: 600, testLines: 600, functionLines: 70, lineLength: 110 };

const folderOf = (path: string): string | undefined => /^src\/([^/]+)\//.exec(path)?.[1];

function checkImports(source: Source): string[] {
  const folder = folderOf(source.path);
  if (folder === undefined) return [];
  const rule = importTable[folder];
  if (rule === undefined) return [`${source.path}: src/${folder} is not in the import table`];
  const complaints: string[] = [];
  for (const { specifier, typeOnly, reExport } of importsOf(source)) {
    const path = target(source, specifier);
    const other = path === undefined ? undefined : folderOf(path);
    if (reExport && other !== folder && !entryPoints.includes(source.path) && !typeOnly) {
      complaints.push(`${source.path}: passes on ${specifier}: only entry points do that`);
    }
    if (path === undefined) {
      const name = /^(node:[^/]+|@[^/]+\/[^/]+|[^/]+)/.exec(specifier)?.[1] ?? specifier;
      const allowed =
        rule.modules.includes(name) || (name.startsWith('node:') && rule.modules.includes('node:*'));
      if (!allowed) complaints.push(`${source.path}: src/${folder} may not import ${specifier}`);
    } else if (other !== folder && !rule.code.includes(other ?? '') && !rule.files?.includes(path)) {
      const allowedAsType = rule.types?.includes(other ?? '') === true;
      if (allowedAsType && typeOnly) continue;
      const what = allowedAsType ? 'only types of' : 'nothing of';
      complaints.push(`${source.path}: src/${folder} may import ${what} ${other ?? specifier}`);
    }
  }
  return complaints;
}

function checkCaps(source: Source): string[] {
  const complaints: string[] = [];
  const lines = source.text.replace(/\n$/, '').split('\n');
  const most = source.path.startsWith('test/') ? caps.testLines : caps.sourceLines;
  if (lines.length > most) complaints.push(`${source.path}: ${lines.length} lines, at most ${most}`);
  lines.forEach((line, index) => {
    if (line.length > caps.lineLength)
      complaints.push(`${source.path}:${index + 1}: line of ${line.length} characters`);
  });
  if (!source.path.startsWith('src/')) return complaints;
  if (!source.text.startsWith('// ')) complaints.push(`${source.path}: does not open by saying what it is`);
  visit(source.tree, (node) => {
    if (!ts.isFunctionLike(node) || !('body' in node) || node.body === undefined) return;
    const first = source.tree.getLineAndCharacterOfPosition(node.getStart()).line;
    const length = source.tree.getLineAndCharacterOfPosition(node.getEnd()).line - first + 1;
    if (length > caps.functionLines) complaints.push(`${place(source, node)}: function of ${length} lines`);
  });
  return complaints;
}

function checkBans(source: Source): string[] {
  const complaints: string[] = [];
  const complain = (node: ts.Node, words: string): void =>
    void complaints.push(`${place(source, node)}: ${words}`);
  const pure = pureFolders.includes(folderOf(source.path) ?? '');
  visit(source.tree, (node) => {
    if (ts.isEnumDeclaration(node)) complain(node, 'enum: use a union of strings');
    if (ts.isModuleDeclaration(node)) complain(node, 'namespace: use a module');
    const isDefault =
      ts.canHaveModifiers(node) &&
      ts.getModifiers(node)?.some(({ kind }) => kind === ts.SyntaxKind.DefaultKeyword);
    if (source.path.startsWith('src/') && (ts.isExportAssignment(node) || isDefault === true)) {
      complain(node, 'default export: use a name');
    }
    if (isFocusedTest(node)) complain(node, 'a test that is left out, or leaves out others');
    if (pure) checkPurity(node, complain);
  });
  const unfinished = new RegExp(`\\b(TO${'DO'}|FIX${'ME'}|X${'XX'})\\b(?! \\(issue \\d+\\))`);
  source.text.split('\n').forEach((line, index) => {
    if (unfinished.test(line))
      complaints.push(`${source.path}:${index + 1}: unfinished work without an issue`);
  });
  return complaints;
}

function checkPurity(node: ts.Node, complain: (node: ts.Node, words: string) => void): void {
  if (ts.isAwaitExpression(node) || node.kind === ts.SyntaxKind.AsyncKeyword)
    complain(node, 'promises in pure code');
  if (ts.isPropertyAccessExpression(node) && node.getText() === 'Math.random')
    complain(node, 'Math.random in pure code');
  if (!ts.isIdentifier(node) || !bannedInPureFolders.has(node.text)) return;
  const { parent } = node;
  const isMemberName =
    (ts.isPropertyAccessExpression(parent) &&
      parent.name === node &&
      parent.expression.getText() !== 'globalThis') ||
    ((ts.isPropertyAssignment(parent) || ts.isPropertySignature(parent) || ts.isMethodDeclaration(parent)) &&
      parent.name === node);
  if (!isMemberName) complain(node, `${node.text} in pure code`);
}

function isFocusedTest(node: ts.Node): boolean {
  if (!ts.isPropertyAccessExpression(node)) return false;
  return ['only', 'skip', 'todo'].includes(node.name.text) && /^(describe|test|it)\b/.test(node.getText());
}

/** Timers beside those of `test/waiting.ts`, and what for. */
const timersAllowed: Readonly<Record<string, string>> = {
  'test/e2e/kill-each.js': 'a program of its own, with a patience that it is given',
  'test/mutants/hunt.ts': 'a program of its own, which ends a run that hangs',
  'test/mutants/run.ts': 'a program of its own, which shows how far it is',
  'test/storage/node-disk.test.ts': 'the timers of the real platform',
  'test/storage/ordered-store.test.ts': 'a store that takes long to close',
};

/** Tests wait for conditions, with one patience for all: no limit of their own, and none on the clock. */
function checkWaiting({ path, tree }: Source): string[] {
  if (!path.startsWith('test/') || path === 'test/waiting.ts') return [];
  const complaints: string[] = [];
  const complain = (node: ts.Node, words: string): void => {
    const { line } = tree.getLineAndCharacterOfPosition(node.getStart());
    complaints.push(`${path}:${line + 1}: ${words}`);
  };
  visit(tree, (node) => {
    if (ts.isImportDeclaration(node) && /setTimeout.*timers\/promises/s.test(node.getText())) {
      if (timersAllowed[path] === undefined) complain(node, 'a timer: use test/waiting.ts');
    }
    const isLimit = (value: ts.Node | undefined): boolean =>
      value !== undefined && ts.isNumericLiteral(value) && Number(value.text) >= 1_000;
    if (ts.isPropertyAssignment(node) && isLimit(node.initializer)) {
      if (/^(t|testT|hookT)imeout$/.test(node.name.getText())) complain(node, 'a limit of its own');
    }
    if (!ts.isCallExpression(node)) return;
    const called = node.expression.getText();
    const [, , limit] = node.arguments;
    if (/^set(Timeout|Interval)$/.test(called) && timersAllowed[path] === undefined) {
      complain(node, 'a timer: use test/waiting.ts');
    }
    if (/^(vi\.wait(For|Until)|expect\.poll)$/.test(called)) complain(node, 'another patience: use until');
    if (/^(test|it)\b/.test(called) && (isLimit(limit) || /Ms$/.test(limit?.getText() ?? ''))) {
      complain(node, 'a limit of its own');
    }
    if (/\b(performance|Date)\.now\(\)[^]*\.toBeLessThan(OrEqual)?$/.test(called)) {
      complain(node, 'an upper bound of time');
    }
  });
  return complaints;
}

/** Every file of src is reached from an entry point; those of the simulator also from the tests. */
function checkReachable(sources: readonly Source[]): string[] {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const reached = new Set<string>();
  const follow = (path: string): void => {
    const source = byPath.get(path);
    if (source === undefined || reached.has(path)) return;
    reached.add(path);
    for (const { specifier } of importsOf(source)) {
      const next = target(source, specifier);
      if (next !== undefined) follow(next);
    }
  };
  entryPoints.forEach(follow);
  for (const source of sources.filter(({ path }) => path.startsWith('test/'))) {
    for (const { specifier } of importsOf(source)) {
      const next = target(source, specifier);
      if (next !== undefined && folderOf(next) === 'sim') follow(next);
    }
  }
  return sources
    .filter(({ path }) => path.startsWith('src/') && !reached.has(path))
    .map(({ path }) => `${path}: no entry point leads here`);
}

function complaintsAbout(sources: readonly Source[]): string[] {
  return sources.flatMap((source) => [
    ...checkImports(source),
    ...checkCaps(source),
    ...checkBans(source),
    ...checkWaiting(source),
  ]);
}

/** All files and folders in which pages and sources stand, from the root. */
function repositoryPaths(): string[] {
  const below = ['bin', 'src', 'test'].flatMap((folder) =>
    readdirSync(posix.join(root, folder), { recursive: true, encoding: 'utf8' }).map(
      (path) => `${folder}/${path}`,
    ),
  );
  return [...readdirSync(root), ...below];
}

function repositoryPages(): Page[] {
  return repositoryPaths()
    .filter((path) => path.endsWith('.md'))
    .map((path) => ({ path, text: readFileSync(posix.join(root, path), 'utf8') }));
}

/** Switches over a union that is not kvorum's. */
const openSwitches = {
  'src/server/config/cluster-file.ts': "zod's kinds of issues: what is not told apart has zod's own words",
};

describe('the repository', () => {
  const sources = repositorySources();

  test('keeps the import table, the caps and the bans', () => {
    expect(complaintsAbout(sources)).toEqual([]);
  });

  test('has no file that nothing uses', () => {
    expect(checkReachable(sources)).toEqual([]);
  });

  test('has folders that a reader takes in', () => {
    expect(checkFolderSizes(sources, repositoryPages())).toEqual([]);
  });

  test('names only paths that exist', () => {
    const texts = [...repositoryPages(), ...sources.filter(({ path }) => path.startsWith('src/'))];
    expect(checkPaths(texts, new Set(repositoryPaths()))).toEqual([]);
  });

  test('has no circle of imports', () => {
    expect(checkCircles(sources)).toEqual([]);
  });

  test('goes by events and not by the words of a log', () => {
    expect(checkLogTexts(sources)).toEqual([]);
  });

  test('decides by kinds so that a new kind does not compile', () => {
    const nameOf = ({ fileName }: ts.SourceFile): string | undefined =>
      fileName.startsWith(`${root}src/`) ? fileName.slice(root.length) : undefined;
    expect(checkSwitches(createSourceProgram(root), nameOf, openSwitches)).toEqual([]);
  });
});

describe('the rules find what they forbid', () => {
  const about = (path: string, code: string): string[] =>
    complaintsAbout([parse(path, `// Says what it is.\n${code}\n`)]);

  test.each([
    ['src/raft/a.ts', "import { b } from '../kv/b.js';", 'nothing of kv'],
    ['src/raft/a.ts', "import { readFileSync } from 'node:fs';", 'may not import node:fs'],
    ['src/wire/a.ts', "import { apply } from '../kv/apply.js';", 'only types of kv'],
    ['src/client/a.ts', "const server = import('../server/server.js');", 'nothing of server'],
    ['src/elsewhere/a.ts', "import { a } from './b.js';", 'not in the import table'],
    ['src/sim/a.ts', "import { connect } from 'node:net';", 'may not import node:net'],
    ['src/server/a.ts', "export { b } from '../raft/b.js';", 'only entry points'],
    ['src/base/a.ts', 'const a = 1;\n'.repeat(600), 'at most 600'],
    ['test/a.test.ts', 'const a = 1;\n'.repeat(600), 'at most 600'],
    ['src/base/a.ts', `const a = () => {${'\n'.repeat(70)}};`, 'function of 71 lines'],
    ['src/base/a.ts', `const a = '${'x'.repeat(100)}';`, 'line of 113 characters'],
    ['src/base/a.ts', 'export default class {}', 'default export'],
    ['src/base/a.ts', 'enum A { B }', 'enum'],
    ['src/base/a.ts', 'namespace A {}', 'namespace'],
    ['src/raft/a.ts', 'const a = Date.now();', 'Date in pure code'],
    ['src/kv/a.ts', 'const a = Math.random();', 'Math.random in pure code'],
    ['src/wire/a.ts', 'setTimeout(() => undefined, 1);', 'setTimeout in pure code'],
    ['src/raft/a.ts', 'const a = globalThis.process;', 'process in pure code'],
    ['src/raft/a.ts', 'const a = async () => 1;', 'promises in pure code'],
    ['src/base/a.ts', `// TO${'DO'}: later`, 'unfinished work'],
    ['test/a.test.ts', `test.${'only'}('a', () => undefined);`, 'left out'],
    ['test/a.test.ts', `describe.${'skip'}('a', () => undefined);`, 'left out'],
    ['test/a.ts', 'await new Promise((resolve) => setTimeout(resolve, 5));', 'a timer'],
    ['test/a.ts', "import { setTimeout as sleep } from 'node:timers/promises';", 'a timer'],
    ['test/a.ts', "test('a', { timeout: 60_000 }, () => undefined);", 'a limit of its own'],
    ['test/a.ts', "it.each([1])('a', () => undefined, 60_000);", 'a limit of its own'],
    ['test/a.ts', "it('a', () => undefined, timeoutMs);", 'a limit of its own'],
    ['test/a.ts', 'export const config = { testTimeout: 60_000 };', 'a limit of its own'],
    ['test/a.ts', 'await vi.waitFor(() => undefined);', 'another patience'],
    ['test/a.ts', 'expect(performance.now() - before).toBeLessThan(1_000);', 'an upper bound of time'],
  ])('%$ in %s', (path, code, words) => {
    expect(about(path, code).join('\n')).toContain(words);
  });

  test.each([
    ['src/wire/a.ts', "import type { B } from '../kv/b.js';"],
    ['src/chaos/a.ts', "import { connect } from 'node:net';"],
    ['src/wire/a.ts', "import { type B, type C } from '../raft/b.js';"],
    ['src/raft/a.ts', 'const a = { process: 1 }; const b = a.process;'],
    ['src/client/index.ts', "export { KvorumError } from '../base/errors.js';"],
    ['src/base/a.ts', `// TO${'DO'} (issue 12): later`],
    ['test/a.ts', "test('a', { timeout: testTimeoutMs }, () => undefined);"],
    ['test/a.ts', 'expect(performance.now() - before).toBeGreaterThan(70);'],
    ['test/storage/node-disk.test.ts', 'setTimeout(() => undefined, 5);'],
  ])('and let pass %$ in %s', (path, code) => {
    expect(about(path, code)).toEqual([]);
  });

  test('a file that nothing uses', () => {
    const entry = parse('src/cli/main.ts', "// Entry.\nimport './used.js';");
    const used = parse('src/cli/used.ts', '// Used.');
    const dead = parse('src/cli/dead.ts', 'const dead = 1;');
    expect(checkReachable([entry, used, dead])).toEqual(['src/cli/dead.ts: no entry point leads here']);
    expect(complaintsAbout([dead])).toEqual(['src/cli/dead.ts: does not open by saying what it is']);
  });

  test.each([
    ["message.startsWith('a snapshot')", true],
    ['/^a snapshot/.test(event.message)', true],
    ["record['msg'] === 'node started'", true],
    ["exit.lastLine.includes('ENOSPC')", true],
    ["event.kind === 'nodeStarted'", false],
    ["message === ''", false],
  ])('going by the words of a log: %s', (code, isFound) => {
    expect(checkLogTexts([parse('src/sim/a.ts', code)]).length).toBe(isFound ? 1 : 0);
    expect(checkLogTexts([parse('src/server/a.ts', code)])).toEqual([]);
  });

  test('a folder with too many files, unless they are peers', () => {
    const many = Array.from({ length: 21 }, (_, n) => parse(`src/raft/f${n}.ts`, '// A file.'));
    expect(checkFolderSizes(many, []).join()).toContain('src/raft: 21 files; at most 20');
    expect(checkFolderSizes(many.slice(1), [])).toEqual([]);
    const page = { path: 'src/raft/README.md', text: 'Its files are peers\nof one kind.' };
    expect(checkFolderSizes(many, [page])).toEqual([]);
  });

  test('a circle of imports, of types too', () => {
    const files = [
      parse('src/raft/a.ts', "import { b } from './b.js';"),
      parse('src/raft/b.ts', "import type { C } from '../base/c.js';"),
      parse('src/base/c.ts', "import { type A } from '../raft/a.js';"),
      parse('src/base/d.ts', "import { a } from '../raft/a.js';"),
    ];
    const circle = 'src/raft/a.ts -> src/raft/b.ts -> src/base/c.ts -> src/raft/a.ts';
    expect(checkCircles(files)).toEqual([`circle of imports: ${circle}`]);
    expect(checkCircles(files.slice(1))).toEqual([]);
  });

  test('paths that do not exist', () => {
    const existing = new Set([
      'src/raft',
      'src/raft/log.ts',
      'src/raft/a/b.ts',
      'src/raft/a/c.ts',
      'src/raft/d/c.ts',
      'src/kv',
      'src/kv/tables',
    ]);
    const page = [
      '| file | what |',
      '| ---- | ---- |',
      '| `log` `logs` | entries |',
      '',
      'See `kv/tables`, `raft/gone`, `raft/log.ts`, `gone.ts`, `b.ts`, `c.ts`, and `logs`, which is no path.',
    ];
    const comment = '// Read raft/log.ts, log.ts and old.ts.\nconst a = "other.ts";';
    const texts = [
      { path: 'src/raft/README.md', text: page.join('\n') },
      { path: 'src/raft/a.ts', text: comment },
    ];
    expect(checkPaths(texts, existing)).toEqual([
      'src/raft/README.md:5: there is no gone.ts',
      'src/raft/README.md:5: there is no c.ts',
      'src/raft/README.md:5: there is no raft/gone',
      'src/raft/README.md: there is no logs, which its table names',
      'src/raft/a.ts:1: there is no old.ts',
    ]);
  });

  const prelude = `
    type Kind = 'a' | 'b' | 'c';
    declare function assertNever(value: never): never;
    declare function use(value?: unknown): void;
    declare const x: { readonly kind: Kind };
    declare const words: string;
    declare const some: Kind | undefined;
  `;
  const aboutSwitches = (code: string): string[] =>
    checkSwitches(createProgramOf('a.ts', `${prelude}\n${code}`), ({ fileName }) => fileName);

  test.each([
    ["switch (x.kind) { case 'a': use(); break; }", 'switch over x.kind'],
    ["switch (x.kind) { case 'a': use(); break; default: use(); }", 'switch over x.kind'],
    ["switch (some) { case 'a': use(); break; }", 'switch over some'],
    ["if (x.kind === 'a') use(1); else if (x.kind === 'b') use(2); else use(3);", '3 branches by x.kind'],
    ["{ if (x.kind === 'a') use(); if (x.kind === 'b') use(); if (x.kind === 'c') use(); }", '3 branches'],
    ["use(x.kind === 'a' ? 1 : x.kind === 'b' ? 2 : 3);", '3 branches by x.kind'],
  ])('deciding by kinds: %s', (code, words) => {
    expect(aboutSwitches(code)).toHaveLength(1);
    expect(aboutSwitches(code)[0]).toContain(words);
  });

  test.each([
    "switch (x.kind) { case 'a': case 'b': case 'c': use(); break; default: assertNever(x.kind); }",
    "switch (words) { case 'a': use(); break; default: use(); }",
    "if (x.kind === 'a') use(1); else use(2);",
    "if (words === 'a') use(1); else if (words === 'b') use(2); else use(3);",
  ])('and let pass %s', (code) => {
    expect(aboutSwitches(code)).toEqual([]);
  });
});
