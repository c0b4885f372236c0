// What commands print: data on stdout, words on stderr. Bytes of keys and values never reach a terminal as
// control sequences: text that is printed for people is escaped, raw bytes go only to pipes and files. A
// reader that goes away (`kvorum range | head`) ends the command quietly.

import { Buffer } from 'node:buffer';
import { writeSync } from 'node:fs';

/** One stored key as commands print it. */
export interface PrintableEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly leaseId: number;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text the bytes encode, or `undefined` when they are not UTF-8. */
export function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/**
 * One line of visible text that stands for exactly these bytes: control characters and bytes that are not
 * UTF-8 as `\n`, `\t`, `\r` or `\xNN`, a backslash as `\\`.
 */
export function escapeBytes(bytes: Uint8Array): string {
  const text = decodeText(bytes);
  if (text === undefined) {
    return [...bytes]
      .map((byte) => (byte < 0x80 ? escapeText(String.fromCharCode(byte)) : hex(byte)))
      .join('');
  }
  return escapeText(text);
}

const shortEscapes = new Map([
  ['\\', '\\\\'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
]);

function escapeText(text: string): string {
  // The C0 and C1 control characters, and what turns the direction of the line around it.
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\\]/g, (character) => {
    const short = shortEscapes.get(character);
    return short ?? [...Buffer.from(character)].map(hex).join('');
  });
}

function hex(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}

/** The entry as a JSON object: bytes that are not UTF-8 stand as base64 in `keyBase64`, `valueBase64`. */
export function entryToJson(entry: PrintableEntry, keysOnly = false): Record<string, unknown> {
  const { createRevision, modRevision, version, leaseId } = entry;
  return {
    ...bytesToJson('key', entry.key),
    ...(keysOnly ? {} : bytesToJson('value', entry.value)),
    createRevision,
    modRevision,
    version,
    leaseId,
  };
}

/** The document of a key that does not exist: of the same shape, with no value and version 0. */
export function absentToJson(key: Uint8Array): Record<string, unknown> {
  const none = { value: null, createRevision: 0, modRevision: 0, version: 0, leaseId: 0 };
  return { ...bytesToJson('key', key), ...none };
}

function bytesToJson(name: string, bytes: Uint8Array): Record<string, string> {
  const text = decodeText(bytes);
  return text === undefined ? { [`${name}Base64`]: Buffer.from(bytes).toString('base64') } : { [name]: text };
}

/** Resolves when stdout takes more, so that a long stream never gathers in memory. */
export async function writeData(data: string | Uint8Array): Promise<void> {
  if (process.stdout.write(data)) return;
  await new Promise<void>((resolve) => process.stdout.once('drain', resolve));
}

export async function writeLine(line: string): Promise<void> {
  await writeData(`${line}\n`);
}

export async function writeJson(value: unknown): Promise<void> {
  await writeLine(JSON.stringify(value));
}

/** What waits for a reader of stderr; beyond, words are left out. */
const waitingBytesMax = 1_048_576;
let unsaid = 0;

/** Words for people, on stderr. Never waits for who reads them, and takes no memory without end. */
export function say(text: string): void {
  const { stderr } = process;
  if (stderr.writableLength > waitingBytesMax) {
    unsaid += 1;
    return;
  }
  if (unsaid > 0) stderr.write(`(${unsaid} lines were left out: nobody read them)\n`);
  unsaid = 0;
  stderr.write(`${text}\n`);
}

/** How long the end of a process waits for who reads what it has said. */
const lastWordsMs = 1_000;

/**
 * As `say`, for a process that goes no further: waits for who reads, but not for long, and holds up
 * everything else meanwhile.
 */
export function sayAtOnce(text: string): void {
  const endMs = performance.now() + lastWordsMs;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let rest = Buffer.from(`${text}\n`); rest.length > 0 && performance.now() < endMs;) {
    try {
      rest = rest.subarray(writeSync(2, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      Atomics.wait(pause, 0, 0, 5);
    }
  }
}

/** Ends the process once what it said was read, or nobody reads it. */
export async function endProcess(code: number): Promise<never> {
  const said = (stream: NodeJS.WriteStream): Promise<void> =>
    stream.writableLength === 0 ? Promise.resolve() : new Promise((done) => stream.write('', () => done()));
  const enough = new Promise((done) => setTimeout(done, lastWordsMs));
  await Promise.race([Promise.all([said(process.stdout), said(process.stderr)]), enough]);
  process.exit(code);
}

/** Ends the process quietly when the reader of stdout or stderr is gone. */
export function endOnBrokenPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      process.exit(error.code === 'EPIPE' ? 0 : 1);
    });
  }
}

/** Whether to colour stderr: FORCE_COLOR, then NO_COLOR, then whether it is a terminal. */
export function useColor(): boolean {
  const force = process.env['FORCE_COLOR'];
  if (force !== undefined && force !== '' && force !== '0') return true;
  const refuse = process.env['NO_COLOR'];
  return (refuse === undefined || refuse === '') && process.stderr.isTTY && process.env['TERM'] !== 'dumb';
}

export type Color = 'red' | 'green' | 'yellow' | 'dim' | 'bold';

const colorNumbers: Record<Color, number> = { red: 31, green: 32, yellow: 33, dim: 2, bold: 1 };

/** The text, coloured when stderr takes colours. */
export function paint(color: Color, text: string): string {
  return useColor() ? `\u001b[${colorNumbers[color]}m${text}\u001b[0m` : text;
}

/** Rows as lines of aligned columns, two spaces between. `rightAligned`: column numbers of figures. */
export function alignColumns(
  rows: readonly (readonly string[])[],
  rightAligned: readonly number[] = [],
): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  }
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return rightAligned.includes(column) ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd(),
  );
}

/** Bytes as people read them: `0 B`, `12.3 MB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  for (const [unit, size] of [['kB', 1e3] as const, ['MB', 1e6] as const]) {
    if (bytes < size * 999.95) return `${(bytes / size).toFixed(1)} ${unit}`;
  }
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
