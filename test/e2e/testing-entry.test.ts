// `kvorum/testing` as a package's user gets it: what importing it loads, that its types are usable, and that
// a program with a test cluster in it ends by itself.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';
import { startProgram } from './processes.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly exports: Readonly<Record<string, { readonly types: string; readonly default: string }>>;
};
const entry = manifest.exports['./testing'];

interface Graph {
  /** All files that importing a file loads, itself too. */
  readonly files: Set<string>;
  /** All modules from outside that they import. */
  readonly modules: Set<string>;
}

function graphOf(file: string, graph: Graph = { files: new Set(), modules: new Set() }): Graph {
  if (graph.files.has(file)) return graph;
  graph.files.add(file);
  const { importedFiles } = ts.preProcessFile(readFileSync(file, 'utf8'), true, true);
  for (const { fileName } of importedFiles) {
    if (fileName.startsWith('.')) graphOf(resolve(dirname(file), fileName), graph);
    else graph.modules.add(fileName);
  }
  return graph;
}

async function run(code: string): Promise<{ stdout: string; stderr: string; code: number | null }> {
  // Inside the package its own name resolves to itself, through the `exports` that users get.
  const words = ['--input-type=module', '--eval', code];
  return startProgram(process.execPath, words, { cwd: root }).result;
}

describe('kvorum/testing', () => {
  test('is light to import: no sockets, no LevelDB, no logger, no files', () => {
    const { files, modules } = graphOf(join(root, entry?.default ?? ''));
    expect(files.size).toBeGreaterThan(50);
    expect([...files].filter((file) => /[\\/]dist[\\/](transport|cli)[\\/]|chaos/.test(file))).toEqual([]);
    expect([...modules].filter((name) => !name.startsWith('node:'))).toEqual(['msgpackr/pack']);
    expect([...modules].filter((name) => /^node:(fs|net|http|child|worker|dgram)/.test(name))).toEqual([]);
  });

  test('runs in a program of its own, which ends by itself', async () => {
    const { stdout, stderr, code } = await run(`
      import { testCluster } from 'kvorum/testing';
      const c = await testCluster({ nodes: 3, seed: 42 });
      const kv = c.client();
      await kv.put('a', '1');
      const failed = c.leader;
      c.crash(failed);
      await kv.put('a', '2', { ifRevision: 1 });
      c.restart(failed);
      await c.waitFor(() => c.isReady);
      c.check();
      console.log((await kv.get('a')).text(), c.leader !== failed);
      // Neither disposed nor closed: nothing of it keeps a process alive.
    `);
    expect(stderr).toBe('');
    expect(stdout.trim()).toBe('2 true');
    expect(code).toBe(0);
  });

  test('is closed in a `finally` by JavaScript that has no `await using`', async () => {
    const { stdout, stderr, code } = await run(`
      import { testCluster } from 'kvorum/testing';
      const c = await testCluster({ seed: 42 });
      const waiting = c.waitFor(() => new Promise(() => {})).catch((error) => error.code);
      try {
        const kv = c.client();
        await kv.put('a', '1');
        console.log((await kv.range().all()).length);
        // A test that fails here leaves this behind.
        kv.range().all();
      } finally {
        await c.close();
        await c.close();
      }
      console.log(await waiting);
    `);
    expect(stderr).toBe('');
    expect(stdout.trim().split('\n')).toEqual(['1', 'CLOSED']);
    expect(code).toBe(0);
  });

  test('its example in the README runs, and prints what it should', async () => {
    const readme = readFileSync(join(root, 'README.md'), 'utf8');
    const example = /^```ts\n([^]*?)^```$/m.exec(readme)?.[1] ?? '';
    expect(example).toContain('kvorum/testing');
    // What TypeScript makes of `await using` needs nothing but Node 20.
    const { outputText } = ts.transpileModule(example, {
      compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
    });
    const { stdout, stderr } = await run(outputText);
    expect(stderr).toBe('');
    expect(stdout.trim().split('\n')).toEqual(['3 true', 'UNAVAILABLE']);
  });

  test('exports what its documentation names', async () => {
    const { stdout, stderr } = await run(`
      import * as testing from 'kvorum/testing';
      const { planOf, runSimulation, readPlan, writePlan } = testing;
      const plan = planOf(1, { safetyMs: 1_000, healMs: 15_000 });
      const copy = readPlan(writePlan(plan));
      console.log(runSimulation(plan).hash === runSimulation(copy).hash, Object.keys(testing).sort().join());
    `);
    expect(stderr).toBe('');
    const [isSame, names] = stdout.trim().split(' ');
    expect(isSame).toBe('true');
    const checkers = ['checkLinearizability', 'formatHistory', 'parseHistory'];
    const simulator = ['planOf', 'readPlan', 'runSimulation', 'shrinkPlan', 'writePlan'];
    expect(names?.split(',')).toEqual(expect.arrayContaining([...checkers, ...simulator, 'testCluster']));
  });

  test('has types that a strict program can use, with `await using`', () => {
    expect(existsSync(join(root, entry?.types ?? ''))).toBe(true);
    const consumer = join(root, 'test/e2e/consumer-of-testing.ts');
    const code = `
      import type { KvorumClient } from 'kvorum';
      import { testCluster, type TestCluster, type NodeView } from 'kvorum/testing';
      export async function story(): Promise<string> {
        await using c: TestCluster = await testCluster({ nodes: 3, seed: 42 });
        await using kv: KvorumClient = c.client({ name: 'shop', timeoutMs: 500 });
        c.partition(['n1', 'shop'], ['n2', 'n3']);
        const leader: string = await c.waitFor(() => c.leader, { timeoutMs: 5_000 });
        const value: Uint8Array = (await c.waitFor(() => kv.get('a'))).value;
        const held: true = await c.waitFor(() => value.length > 0);
        const { state }: NodeView = c.status(leader);
        const closed: Promise<void> = c.close();
        await closed;
        // @ts-expect-error The leader may be unknown.
        const certain: string = c.leader;
        // @ts-expect-error There is no such option.
        await testCluster({ size: 3 });
        return state + held + certain;
      }
    `;
    const options: ts.CompilerOptions = {
      target: ts.ScriptTarget.ES2022,
      lib: ['lib.es2022.d.ts', 'lib.esnext.disposable.d.ts'],
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      types: ['node'],
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      skipLibCheck: true,
    };
    const host = ts.createCompilerHost(options);
    const { getSourceFile, fileExists } = host;
    host.fileExists = (file) => file === consumer || fileExists(file);
    host.getSourceFile = (file, version, ...rest) =>
      file === consumer ? ts.createSourceFile(file, code, version) : getSourceFile(file, version, ...rest);
    const program = ts.createProgram([consumer], options, host);
    const problems = ts.getPreEmitDiagnostics(program);
    expect(problems.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))).toEqual([]);
  });
});
