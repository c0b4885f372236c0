// The commands that read and write keys: put, get, delete, range, count.

import { Option, type Command } from 'commander';
import { ConflictError, type ConsistencyLevel, type RangeSelection } from '../../client/index.js';
import { exitCodes, UsageError } from '../terminal/exit-codes.js';
import {
  addClientFlags,
  integerParser,
  parseConsistency,
  readStdin,
  withClient,
  type ClientFlags,
} from '../terminal/options.js';
import {
  absentToJson,
  entryToJson,
  escapeBytes,
  say,
  writeData,
  writeJson,
  writeLine,
} from '../terminal/output.js';

interface RangeFlags {
  readonly prefix?: string;
  readonly start?: string;
  readonly end?: string;
}

interface ReadFlags extends ClientFlags {
  readonly consistency?: ConsistencyLevel;
  readonly revision?: number;
}

export function addKeyCommands(program: Command): void {
  addPut(program);
  addGet(program);
  addDelete(program);
  addRange(program);
  addCount(program);
}

interface PutFlags extends ClientFlags {
  readonly ifRevision?: number;
  readonly ifAbsent?: boolean;
}

function addPut(program: Command): void {
  addClientFlags(program.command('put'))
    .description('write a key; prints the revision of the write')
    .argument('<key>')
    .argument('<value>', 'the value, or - to read it from stdin')
    .addOption(
      new Option(
        '--if-revision <revision>',
        'only if the key was last written at this revision; 0: only if it does not exist',
      ).argParser(integerParser(0)),
    )
    .option('--if-absent', 'only if the key does not exist')
    .action(async (key: string, value: string, flags: PutFlags) => {
      if (flags.ifAbsent && flags.ifRevision !== undefined) {
        throw new UsageError('--if-absent and --if-revision exclude each other');
      }
      const bytes = value === '-' ? await readStdin() : value;
      const condition = {
        ...(flags.ifRevision === undefined ? {} : { ifRevision: flags.ifRevision }),
        ...(flags.ifAbsent ? { ifAbsent: true } : {}),
      };
      const { revision } = await withClient(flags, (client) =>
        client.put(key, bytes, { ...condition, timeoutMs: flags.timeout }),
      );
      if (flags.json) await writeJson({ revision });
      else await writeLine(`revision ${revision}`);
    });
}

function addGet(program: Command): void {
  addReadFlags(addClientFlags(program.command('get')))
    .description('read a key; the bare bytes of the value go to stdout')
    .argument('<key>')
    .action(async (key: string, flags: ReadFlags) => {
      const entry = await withClient(flags, (client) => client.get(key, readOptions(flags)));
      if (entry === undefined) {
        process.exitCode = exitCodes.keyNotFound;
        if (flags.json) await writeJson(absentToJson(Buffer.from(key)));
        else say(`key not found: ${escapeBytes(Buffer.from(key))}`);
      } else if (flags.json) {
        await writeJson(entryToJson(entry));
      } else if (process.stdout.isTTY) {
        await writeLine(escapeBytes(entry.value));
      } else {
        await writeData(entry.value);
      }
    });
}

function addDelete(program: Command): void {
  addRangeFlags(addClientFlags(program.command('delete')))
    .description('delete a key, or every key of a range; prints how many were deleted')
    .argument('[key]')
    .action(async (key: string | undefined, flags: ClientFlags & RangeFlags) => {
      const range = rangeOf(flags);
      if ((key === undefined) === (range === undefined)) {
        throw new UsageError('name a key, or a range by --prefix, --start, --end');
      }
      if (flags.prefix === '') {
        throw new UsageError("--prefix must not be empty; to delete every key give --start ''");
      }
      const target = key ?? range ?? {};
      const { deleted, revision } = await withClient(flags, (client) =>
        client.delete(target, { timeoutMs: flags.timeout }),
      );
      if (flags.json) await writeJson({ deleted, revision });
      else await writeLine(`deleted ${deleted}, revision ${revision}`);
    });
}

interface RangeCommandFlags extends ReadFlags, RangeFlags {
  readonly limit?: number;
  readonly reverse?: boolean;
  readonly keysOnly?: boolean;
}

function addRange(program: Command): void {
  addReadFlags(addRangeFlags(addClientFlags(program.command('range'))))
    .description('read keys in byte order; one line per key, key and value separated by a tab')
    .addOption(new Option('--limit <count>', 'at most this many keys').argParser(integerParser(1)))
    .option('--reverse', 'from the last key downwards')
    .option('--keys-only', 'leave the values out')
    .action(async (flags: RangeCommandFlags) => {
      const keysOnly = flags.keysOnly === true;
      await withClient(flags, async (client) => {
        const entries = client.range({
          ...rangeOf(flags),
          ...readOptions(flags),
          ...(flags.limit === undefined ? {} : { limit: flags.limit }),
          reverse: flags.reverse === true,
          keysOnly,
        });
        for await (const entry of entries) {
          if (flags.json) await writeJson(entryToJson(entry, keysOnly));
          else if (keysOnly) await writeLine(escapeBytes(entry.key));
          else await writeLine(`${escapeBytes(entry.key)}\t${escapeBytes(entry.value)}`);
        }
      });
    });
}

function addCount(program: Command): void {
  addReadFlags(addRangeFlags(addClientFlags(program.command('count'))))
    .description('count the keys of a range')
    .action(async (flags: ReadFlags & RangeFlags) => {
      const count = await withClient(flags, (client) =>
        client.count({ ...rangeOf(flags), ...readOptions(flags) }),
      );
      if (flags.json) await writeJson({ count });
      else await writeLine(String(count));
    });
}

function addRangeFlags(command: Command): Command {
  return command
    .option('--prefix <text>', 'every key that begins with this')
    .option('--start <key>', 'from this key on')
    .option('--end <key>', 'up to this key, not included');
}

function addReadFlags(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--consistency <level>',
        'linearizable (default), leaderLease, serializable, or a time: the largest staleness, such as 2s',
      ).argParser(parseConsistency),
    )
    .addOption(
      new Option('--revision <revision>', 'as the store was at this revision').argParser(integerParser(1)),
    );
}

/** The range the flags name; `undefined` when they name none. */
function rangeOf(flags: RangeFlags): RangeSelection | undefined {
  const { prefix, start, end } = flags;
  if (prefix !== undefined) {
    if (start !== undefined || end !== undefined) {
      throw new UsageError('--prefix does not go together with --start and --end');
    }
    return { prefix };
  }
  if (start === undefined && end === undefined) return undefined;
  return { start, end };
}

function readOptions(flags: ReadFlags): {
  timeoutMs: number;
  consistency?: ConsistencyLevel;
  revision?: number;
} {
  return {
    timeoutMs: flags.timeout,
    ...(flags.consistency === undefined ? {} : { consistency: flags.consistency }),
    ...(flags.revision === undefined ? {} : { revision: flags.revision }),
  };
}

/** What to print beside the error of a condition that did not hold: the key as it is now. */
export function describeConflict(error: unknown): string | undefined {
  if (!(error instanceof ConflictError)) return undefined;
  const { current } = error;
  if (current === undefined) return 'the key does not exist';
  return `the key is at revision ${current.modRevision}: ${escapeBytes(current.value).slice(0, 200)}`;
}
