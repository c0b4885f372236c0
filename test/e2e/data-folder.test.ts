// The data folder of a real node, LevelDB's files included: for the account of the node alone, whatever its
// umask. And what its default place is named after.

import { chmodSync, existsSync, lstatSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { freePorts } from '../../src/cli/local-cluster.js';
import {
  commandPath,
  connectTo,
  endAll,
  runCommand,
  startProgram,
  temporaryFolder,
  untilSays,
} from './processes.js';

afterEach(endAll);

async function oneNode(): Promise<{ folder: string; file: string; data: string; endpoint: string }> {
  const folder = temporaryFolder();
  const [port] = await freePorts(1);
  const endpoint = `127.0.0.1:${port}`;
  const file = join(folder, 'cluster.json');
  writeFileSync(file, JSON.stringify({ members: [{ id: 'n1', address: endpoint }] }));
  return { folder, file, data: join(folder, 'n1'), endpoint };
}

/** The modes of the folder and of all that is in it, each once. */
function modesBelow(data: string): { folders: string[]; files: string[] } {
  const all = readdirSync(data, { recursive: true, encoding: 'utf8' }).map((name) => join(data, name));
  const modes = (isFolder: boolean): string[] => {
    const some = [data, ...all].map((path) => lstatSync(path)).filter((s) => s.isDirectory() === isFolder);
    return [...new Set(some.map(({ mode }) => (mode & 0o777).toString(8)))];
  };
  return { folders: modes(true), files: modes(false) };
}

test.each(['000', '077'])('under umask %s nobody else may read what a node stores', async (umask) => {
  const { file, data, endpoint } = await oneNode();
  const run = `umask ${umask}; exec "$0" "$1" start --cluster "$2" --node n1 --data-dir "$3"`;
  const start = (): ReturnType<typeof startProgram> =>
    startProgram('/bin/sh', ['-c', run, process.execPath, commandPath, file, data]);
  const first = start();
  await untilSays(first, /this node leads/);
  const client = await connectTo([endpoint]);
  await client.put('secret', 'value');
  expect(modesBelow(data)).toEqual({ folders: ['700'], files: ['600'] });
  first.child.kill('SIGTERM');
  await first.result;
  expect(first.stderr()).not.toContain('folderNarrowed');
  // Somebody opens all of it: the next start closes it again, and says so.
  for (const name of readdirSync(data, { recursive: true, encoding: 'utf8' })) {
    chmodSync(join(data, name), lstatSync(join(data, name)).isDirectory() ? 0o755 : 0o644);
  }
  chmodSync(data, 0o755);
  const second = start();
  await untilSays(second, /this node leads/);
  expect(modesBelow(data)).toEqual({ folders: ['700'], files: ['600'] });
  expect(second.stderr()).toContain('"event":"folderNarrowed"');
  expect(second.stderr()).toContain('open to other accounts (mode 0755)');
});

test.each(['..', '../n1', '-n1'])('start --node=%s is refused with the rule', async (id) => {
  const { folder, file } = await oneNode();
  const { code, stderr } = await runCommand(['start', '--cluster', file, `--node=${id}`], { cwd: folder });
  expect(code).toBe(2);
  expect(stderr).toContain('it must be 1 to 64 letters, digits, ".", "_" or "-"');
  expect(existsSync(join(folder, '.kvorum'))).toBe(false);
});
