// What the README tells people to type works, as it stands there.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadCommandName } from '../../src/cli/chaos-processes.js';
import { exitCodes } from '../../src/cli/exit-codes.js';
import { createProgram } from '../../src/cli/main.js';
import {
  endAll,
  runCommand,
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

  test('its commands against a cluster run', async () => {
    const environment = { KVORUM_ENDPOINTS: shared.cluster.endpoints.join(',') };
    const lines = commandLines.filter((line) => /^node bin\/kvorum\.js (?!start|dev)/.test(line));
    expect(lines.length).toBeGreaterThanOrEqual(4);
    for (const line of lines) {
      const { code, stderr } = await runCommand(line.split(' ').slice(2), { environment });
      expect(code, `${line}: ${stderr}`).toBe(0);
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
