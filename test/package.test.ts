// The package as users get it: what `npm pack` makes of the build, looked at as a file, as types, and
// unpacked into an empty project that has only what the package declares to need.

import { execFile } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const packedBytesMax = 600_000;

interface Manifest {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>;
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly optional?: boolean }>>;
}

const readJson = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));
const manifest = readJson(join(root, 'package.json')) as Manifest;

const folder = mkdtempSync(join(tmpdir(), 'kvorum-package-'));
const tarballPath = join(folder, `kvorum-${manifest.version}.tgz`);
const installed = join(folder, 'node_modules', 'kvorum');
let tarball: Uint8Array<ArrayBuffer>;

beforeAll(async () => {
  // The build is made before the tests; to make it again here would change it under those that run beside.
  await run('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], { cwd: root });
  tarball = new Uint8Array(readFileSync(tarballPath));
  mkdirSync(installed, { recursive: true });
  await run('tar', ['xzf', tarballPath, '--strip-components=1', '-C', installed]);
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n');
  // As npm installs it where optional dependencies are left out. Every version is that of the lock file.
  const { packages } = readJson(join(root, 'package-lock.json')) as Lock;
  for (const [path, { dev, optional }] of Object.entries(packages)) {
    if (!/^node_modules\/(@[^/]+\/)?[^/]+$/.test(path) || dev === true || optional === true) continue;
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    symlinkSync(join(root, path), join(folder, path));
  }
}, 300_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Every file below the folder of the package. */
function filesOf(path: string): string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** What a file imports, dynamic imports and types too. */
function importsOf(path: string): string[] {
  return ts
    .preProcessFile(readFileSync(path, 'utf8'), true, true)
    .importedFiles.map(({ fileName }) => fileName);
}

/** The packages that are loaded with an entry point of the package. */
function packagesLoadedBy(entry: string): string[] {
  const packages = new Set<string>();
  const seen = new Set<string>();
  const follow = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const name of importsOf(path)) {
      if (name.startsWith('.')) follow(join(dirname(path), name));
      else if (!name.startsWith('node:')) packages.add(nameOf(name));
    }
  };
  const target = manifest.exports[entry];
  if (typeof target !== 'object') throw new Error(`${entry} is no entry point`);
  follow(join(installed, target.default));
  expect(seen.size).toBeGreaterThan(5);
  return [...packages].sort();
}

const nameOf = (specifier: string): string => /^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier;

async function runInProject(code: string): Promise<string> {
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', code], { cwd: folder });
  return stdout.trim();
}

describe('the packed file', () => {
  test('is small', () => {
    expect(tarball.length).toBeLessThan(packedBytesMax);
  });

  test('holds the build, the command and nothing that is not of use', () => {
    const files = filesOf(installed).map((path) => relative(installed, path));
    expect(files).toEqual(expect.arrayContaining(['bin/kvorum.js', 'README.md', 'LICENSE', 'package.json']));
    expect(files.filter((path) => !/^dist\/.*(\.js|\.d\.ts)$/.test(path)).sort()).toEqual([
      'LICENSE',
      'README.md',
      'bin/kvorum.js',
      'cluster.example.json',
      'docs/addresses.md',
      'docs/metrics.md',
      'docs/settings.md',
      'package.json',
    ]);
    const withMap = filesOf(installed).filter((path) =>
      readFileSync(path, 'utf8').includes('sourceMappingURL='),
    );
    expect(withMap).toEqual([]);
  });

  test('has nothing for publint to find', async () => {
    const { messages } = await publint({ pack: { tarball: tarball.buffer }, strict: true });
    const found = messages.map((message) => formatMessage(message, manifest) ?? message.code);
    expect(found).toEqual([]);
  });

  test('has types that modules find as they are', async () => {
    const result = await checkPackage(createPackageFromTarballData(tarball));
    if (!result.types) throw new Error('the package has no types');
    const analyzed = Object.keys(result.entrypoints);
    expect(analyzed).toEqual(expect.arrayContaining(['.', './server', './testing']));
    // Only modules can import it: what CommonJS and older resolvers do not find is no problem of it.
    const problems = result.problems.filter(
      (problem) =>
        !('resolutionKind' in problem && ['node10', 'node16-cjs'].includes(problem.resolutionKind)),
    );
    expect(problems).toEqual([]);
    // The client is found by older resolvers all the same.
    expect(result.entrypoints['.']?.resolutions.node10.resolution?.fileName).toContain(
      'dist/client/index.d.ts',
    );
  });
});

describe('an installed package', () => {
  test('imports only what it declares to need', () => {
    const names = new Set(
      filesOf(join(installed, 'dist'))
        .filter((path) => path.endsWith('.js'))
        .flatMap((path) => importsOf(path))
        .filter((name) => !name.startsWith('.') && !name.startsWith('node:'))
        .map(nameOf),
    );
    expect([...names].sort()).toEqual(Object.keys(manifest.dependencies).sort());
  });

  test('loads for a client nothing that only a node needs', () => {
    expect(packagesLoadedBy('.')).toEqual(['msgpackr', 'ws']);
    expect(packagesLoadedBy('./testing')).toEqual(['msgpackr']);
    expect(packagesLoadedBy('./server')).toEqual(['level', 'msgpackr', 'pino', 'prom-client', 'ws', 'zod']);
  });

  test('runs with nothing else, and with no native code but that of LevelDB', async () => {
    const loaded = `process.report.getReport().sharedObjects.filter((path) => path.endsWith('.node'))`;
    const client = await runInProject(`
      import { connect, KvorumError } from 'kvorum';
      import { testCluster } from 'kvorum/testing';
      const c = await testCluster({ nodes: 3, seed: 1 });
      await c.client().put('key', 'a value that is long enough for a string to be taken out of its frame');
      await c.close();
      console.log(typeof connect, KvorumError.name, ${loaded}.length);
    `);
    expect(client).toBe('function KvorumError 0');
    const server = await runInProject(`
      import { startServer } from 'kvorum/server';
      console.log(typeof startServer, ${loaded}.every((path) => path.includes('classic-level')));
    `);
    expect(server).toBe('function true');
    const { stdout } = await run(process.execPath, [join(installed, 'bin/kvorum.js'), '--version']);
    expect(stdout.trim()).toBe(manifest.version);
  });
});
