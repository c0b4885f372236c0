// The options that several commands share, read once and the same everywhere: flag over environment over
// default.

import { InvalidArgumentError, Option, type Command } from 'commander';
import { connect, type ConsistencyLevel, type KvorumClient } from '../../client/index.js';
import { UsageError } from './exit-codes.js';

export const defaultDevPort = 7401;

/** Where a cluster of `kvorum dev` with default settings listens. */
export const defaultEndpoints = [0, 1, 2].map((offset) => `127.0.0.1:${defaultDevPort + offset}`);

/** Milliseconds that a command waits for the cluster unless told otherwise. */
export const defaultTimeoutMs = 5_000;

export interface ClientFlags {
  readonly endpoints: string[];
  readonly timeout: number;
  readonly json?: boolean;
}

/** Adds `--endpoints`, `--timeout` and `--json` to a command that talks to a cluster. */
export function addClientFlags(command: Command): Command {
  return command
    .addOption(
      new Option('--endpoints <list>', 'host:port of one or more nodes, separated by commas')
        .env('KVORUM_ENDPOINTS')
        .argParser(parseEndpoints)
        .default(defaultEndpoints, defaultEndpoints.join(',')),
    )
    .addOption(timeoutOption('give up after this long', defaultTimeoutMs))
    .option('--json', 'print JSON: one document, or one line per record');
}

/** `--timeout` with `words` for what it limits. The default is in milliseconds. */
export function timeoutOption(words: string, defaultMs: number): Option {
  return new Option(
    '--timeout <time>',
    `${words}: a number with its unit (ms, s or m), such as 500ms or 5s; a bare number is milliseconds`,
  )
    .env('KVORUM_TIMEOUT')
    .argParser(parseDuration)
    .default(defaultMs, formatSeconds(defaultMs));
}

/** Milliseconds as people and `--timeout` write them: `5s`, `250ms`. */
export function formatSeconds(milliseconds: number): string {
  return milliseconds % 1_000 === 0 ? `${milliseconds / 1_000}s` : `${milliseconds}ms`;
}

/**
 * Runs `action` with a client and closes it whatever happens. Nothing is waited for before: what needs no
 * leader, such as a status, works without one.
 */
export async function withClient<T>(
  flags: ClientFlags,
  action: (client: KvorumClient) => Promise<T>,
): Promise<T> {
  const client = await connect({ endpoints: flags.endpoints, timeoutMs: flags.timeout, lazy: true });
  try {
    return await action(client);
  } finally {
    await client.close();
  }
}

/** `a:1,b:2` as a list. The port of each is 1 to 65535; an IPv6 address stands in brackets. */
export function parseEndpoints(text: string): string[] {
  const endpoints = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  if (endpoints.length === 0) throw new InvalidArgumentError('it must name at least one host:port.');
  for (const endpoint of endpoints) {
    const match = /^(?:\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+):(\d{1,5})$/.exec(endpoint);
    const port = Number(match?.[1]);
    if (match === null || port < 1 || port > 65_535) {
      throw new InvalidArgumentError(
        `"${endpoint}" is not host:port with a port from 1 to 65535, ` +
          `for example 127.0.0.1:${defaultDevPort}.`,
      );
    }
  }
  return endpoints;
}

const unitsMs: Record<string, number> = { '': 1, ms: 1, s: 1_000, m: 60_000 };

/** `250`, `250ms`, `2.5s`, `1m` as whole milliseconds from 1 to 2^31-1. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text);
  const milliseconds = Math.round(Number(match?.[1]) * (unitsMs[match?.[2] ?? ''] ?? Number.NaN));
  if (!Number.isSafeInteger(milliseconds) || milliseconds < 1 || milliseconds > 2_147_483_647) {
    throw new InvalidArgumentError('it must be a time from 1ms to 24d, for example 500ms, 5s or 1m.');
  }
  return milliseconds;
}

/** A parser for whole numbers from `least` to `most`. */
export function integerParser(
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
): (text: string) => number {
  const top = most === Number.MAX_SAFE_INTEGER ? '' : ` to ${most}`;
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(value) || value < least || value > most) {
      throw new InvalidArgumentError(
        `it must be a whole number ${top === '' ? 'of at least ' : 'from '}${least}${top}.`,
      );
    }
    return value;
  };
}

/** A parser for lists of whole numbers separated by commas. */
export function integerListParser(least: number, most: number): (text: string) => number[] {
  const parse = integerParser(least, most);
  return (text) => text.split(',').map((part) => parse(part.trim()));
}

/** A parser for comma-separated words out of `allowed`. */
export function wordListParser<Word extends string>(allowed: readonly Word[]): (text: string) => Word[] {
  return (text) =>
    text.split(',').map((part) => {
      const word = allowed.find((candidate) => candidate === part.trim());
      if (word === undefined)
        throw new InvalidArgumentError(`"${part}" is not one of ${allowed.join(', ')}.`);
      return word;
    });
}

/** `linearizable`, `leaderLease`, `serializable`, or a time: the largest staleness allowed. */
export function parseConsistency(text: string): ConsistencyLevel {
  if (text === 'linearizable' || text === 'leaderLease' || text === 'serializable') return text;
  try {
    return { maxStalenessMs: parseDuration(text) };
  } catch {
    throw new InvalidArgumentError(
      'it must be linearizable, serializable, leaderLease, or a time such as 2s.',
    );
  }
}

/** Most bytes a command takes from stdin; what the cluster takes is less, and it says so. */
const stdinBytesMax = 16 * 1_048_576;

/** All of stdin. Throws `UsageError` beyond 16 MiB. */
export async function readStdin(): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of process.stdin as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > stdinBytesMax)
      throw new UsageError(`stdin holds more than ${stdinBytesMax} bytes: too large for a value`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}
