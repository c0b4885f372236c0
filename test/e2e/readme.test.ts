// What the README tells people to type works, as it stands there.

import { mkdirSync, readFileSync, renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadCommandName } from '../../src/cli/chaos/processes.js';
import { exitCodes } from '../../src/cli/terminal/exit-codes.js';
import { createProgram } from '../../src/cli/main.js';
import {
  endAll,
  runUntil,
  startCluster,
  startProgram,
  temporaryFolder,
  type TestCluster,
} from './processes.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');

function blocks(language: string): string[] {
  const pattern = new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm');
  return [...readme.matchAll(pattern)].map((match) => match[1] ?? '');
}

const commandLines = blocks('sh').flatMap((block) => block.trim().split('\n'));

let shared: TestCluster;

beforeAll(async () => {
  shared = await startCluster();
});

afterAll(endAll);

describe('README', () => {
  test('is at most 300 lines', () => {
    expect(readme.split('\n').length).toBeLessThanOrEqual(300);
  });

  test('its client example runs and prints what it should', async () => {
    const [example] = blocks('js');
    const code = shared.cluster.endpoints.reduce(
      (text, endpoint, index) => text.replaceAll(`127.0.0.1:740${index + 1}`, endpoint),
      example ?? '',
    );
    // Inside the package its own name resolves to itself, through the `exports` that users get.
    const result = await startProgram(process.execPath, ['--input-type=module', '--eval', code], {
      cwd: root,
    }).result;
    expect(result.stderr).toBe('');
    expect(result.stdout.trim().split('\n')).toEqual([
      'Ada 1 true',
      'somebody was faster: Ada',
      'users/42 3',
      '1',
    ]);
    expect(result.code).toBe(0);
  });

  test('its examples compile with the settings that it names, and no others', () => {
    const examples = [...blocks('js'), ...blocks('ts')];
    expect(examples).toHaveLength(2);
    const settings = '`"target": "ES2022"`, `"module": "NodeNext"`, `@types/node` and `"types": ["node"]`';
    expect(readme).toContain(`\`strict\` with ${settings}`);
    // Declarations of the package are checked too: a user's compiler may look into them.
    const options: ts.CompilerOptions = {
      strict: true,
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.NodeNext,
      types: ['node'],
      noEmit: true,
      skipLibCheck: false,
    };
    const sources = new Map(
      examples.map((text, index) => [join(root, `test/e2e/example-of-readme-${index}.ts`), text]),
    );
    const host = ts.createCompilerHost(options);
    const { getSourceFile, fileExists } = host;
    host.fileExists = (file) => sources.has(file) || fileExists(file);
    host.getSourceFile = (file, version, ...rest) => {
      const text = sources.get(file);
      return text === undefined
        ? getSourceFile(file, version, ...rest)
        : ts.createSourceFile(file, text, version);
    };
    const problems = ts
      .getPreEmitDiagnostics(ts.createProgram([...sources.keys()], options, host))
      .filter(
        ({ file }) => file === undefined || sources.has(file.fileName) || file.fileName.includes('/dist/'),
      );
    expect(problems.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))).toEqual([]);
  });

  test('what it says to pack is a package that works where it is installed', async () => {
    const folder = temporaryFolder();
    // Without the scripts: these tests run on what is built.
    const words = ['pack', '--ignore-scripts', '--pack-destination', folder];
    const packed = await startProgram('npm', words, { cwd: root }).result;
    expect(packed.code, packed.stderr).toBe(0);
    const [file = ''] = /kvorum-[\d.]+\.tgz/.exec(readme) ?? [];
    const unpacked = await startProgram('tar', ['-xzf', join(folder, file), '-C', folder], {}).result;
    expect(unpacked.code, unpacked.stderr).toBe(0);
    const installed = join(folder, 'node_modules/kvorum');
    mkdirSync(join(folder, 'node_modules'));
    renameSync(join(folder, 'package'), installed);
    symlinkSync(join(root, 'node_modules'), join(installed, 'node_modules'));
    const code = `
      import { connect } from 'kvorum';
      import { startServer } from 'kvorum/server';
      import { testCluster } from 'kvorum/testing';
      const c = await testCluster();
      await c.client().put('a', '1');
      console.log(typeof connect, typeof startServer, c.leader !== undefined);
    `;
    const program = startProgram(process.execPath, ['--input-type=module', '--eval', code], { cwd: folder });
    const { stdout, stderr } = await program.result;
    expect(stderr).toBe('');
    expect(stdout).toBe('function function true\n');
    const command = await startProgram(process.execPath, [join(installed, 'bin/kvorum.js'), '--version'], {
      cwd: folder,
    }).result;
    expect(command).toMatchObject({ code: 0, stderr: '' });
    expect(file).toBe(`kvorum-${command.stdout.trim()}.tgz`);
  });

  test('only the commands it names take their cluster from the environment', () => {
    const names = createProgram()
      .commands.filter(({ options }) => options.some(({ envVar }) => envVar === 'KVORUM_ENDPOINTS'))
      .map((command) => command.name());
    expect(names).toEqual(['put', 'get', 'delete', 'range', 'count', 'status', 'upgrade']);
  });

  test('its commands against a cluster run', async () => {
    const environment = { KVORUM_ENDPOINTS: shared.cluster.endpoints.join(',') };
    const lines = commandLines.filter((line) => /^node bin\/kvorum\.js (?!start|dev)/.test(line));
    expect(lines.length).toBeGreaterThanOrEqual(4);
    for (const line of lines) {
      await runUntil(line.split(' ').slice(2), { environment });
    }
  });

  test('its start of a node runs, in a folder of its own', async () => {
    const line = commandLines.find((candidate) => candidate.startsWith('node bin/kvorum.js start')) ?? '';
    const example = readFileSync(join(root, 'cluster.example.json'), 'utf8');
    expect(JSON.parse(example)).toHaveProperty('members.2.address', '127.0.0.1:7403');
    const folder = temporaryFolder();
    const parts = line
      .replace('/var/lib/kvorum/n1', folder)
      .replace('cluster.example.json', shared.cluster.clusterFile);
    const words = parts.split(' ').slice(1);
    expect(words).toContain('--data-dir');
    // The shared cluster has that address: all that stands in the way is the port.
    const { stderr } = await startProgram(process.execPath, words, { cwd: root }).result;
    expect(stderr).toMatch(/in use/);
  });

  test('its first lines are the scripts of the package', async () => {
    expect(commandLines).toContain('npm ci && npm start');
    expect(commandLines).toContain('npm ci && npm test');
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    expect(scripts['start']).toBe('exec node bin/kvorum.js dev');
    expect(scripts['prepare']).toBe('npm run build');
    for (const [, name] of readme.matchAll(/`npm run ([a-z:]+)/g))
      expect(scripts, name).toHaveProperty([name ?? '']);
    const inCi = readFileSync(join(root, '.ci/run'), 'utf8');
    expect(inCi).toContain('npm ci && npm test');
  });

  test('its table of commands is the program, and its exit codes are those of the code', () => {
    const named = new Set([...readme.matchAll(/^\| `kvorum ([a-z]+)/gm)].map((match) => match[1]));
    expect([...named].sort()).toEqual(
      createProgram()
        .commands.filter((command) => command.name() !== loadCommandName)
        .map((command) => command.name())
        .sort(),
    );
    const codes = [...readme.matchAll(/^\| (\d+) \|/gm)].map((match) => Number(match[1]));
    expect(codes).toEqual(Object.values(exitCodes));
  });
});
