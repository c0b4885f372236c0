// Looks at the files of a LevelDB folder before LevelDB opens it, for the damage that LevelDB itself passes
// over. It skips the records of its log that have a wrong checksum and takes those after them: what it then
// holds is no state that ever was. Without CURRENT it begins anew on top of the files that are there. It does
// not verify tables when it reads them. Must never call damaged what a crash can leave: only one batch is
// ever written and not yet synced, so only the last one of the log may be torn.
// Source: LevelDB's doc/log_format.md and db/version_edit.cc.

import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32c, FieldReader, unmask } from './bytes.js';
import { problemOfBlocks } from './tables.js';

const blockBytes = 32_768;
const headerBytes = 7;
/** Blocks read and checked in one go: about a millisecond. */
const blocksPerRead = 8;
/** Of a batch: the number of its first operation, then how many it holds. */
const batchHeaderBytes = 12;

/** What LevelDB's own record of its files says. */
interface Manifest {
  /** Logs of smaller numbers are in the tables already. */
  readonly firstLog: number;
  /** Operations through this one are in the tables or in the logs. */
  readonly lastSequence: number;
  /** Bytes of each table in use, by number. */
  readonly tables: ReadonlyMap<number, number>;
}

/** What is damaged in the store of `directory`, in words; `undefined` when nothing is found. */
export async function findStoreDamage(directory: string): Promise<string | undefined> {
  const names = await namesIn(directory);
  const numbered = names.some((name) => /^\d+\.(log|ldb|sst)$/.test(name));
  if (!names.includes('CURRENT')) return numbered ? 'its file CURRENT is missing' : undefined;
  const manifestName = /^(MANIFEST-\d+)\n$/.exec(await readFile(join(directory, 'CURRENT'), 'latin1'))?.[1];
  if (manifestName === undefined || !names.includes(manifestName)) {
    return 'its file CURRENT does not name a MANIFEST that is there';
  }
  const manifest = await readManifest(join(directory, manifestName));
  if (manifest === undefined) return `its file ${manifestName} cannot be understood`;
  for (const [table, bytes] of manifest.tables) {
    const problem = await problemOfTable(directory, names, table, bytes);
    if (problem !== undefined) return problem;
  }
  return problemOfLogs(directory, names, manifest);
}

async function problemOfTable(
  directory: string,
  names: readonly string[],
  table: number,
  bytes: number,
): Promise<string | undefined> {
  const base = String(table).padStart(6, '0');
  const name = [`${base}.ldb`, `${base}.sst`].find((candidate) => names.includes(candidate));
  if (name === undefined) return `its file ${base}.ldb is missing`;
  const { size } = await stat(join(directory, name));
  if (size !== bytes) return `its file ${name} has ${size} bytes, but was made with ${bytes}`;
  const problem = await problemOfBlocks(join(directory, name), bytes);
  return problem === undefined ? undefined : `its file ${name} is damaged: ${problem}`;
}

/** Whether a batch is missing between two others, or before the first one. */
async function problemOfLogs(
  directory: string,
  names: readonly string[],
  { firstLog, lastSequence }: Manifest,
): Promise<string | undefined> {
  const logs = names
    .filter((name) => /^\d+\.log$/.test(name) && Number.parseInt(name, 10) >= firstLog)
    .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
  /** Of the operation that comes next. */
  let next: number | undefined;
  let damaged: string | undefined;
  for (const name of logs) {
    for await (const record of readRecords(join(directory, name))) {
      if (record.kind === 'bad') {
        damaged ??= `its file ${name} is damaged at offset ${record.offset}`;
        continue;
      }
      const place = `the batch at offset ${record.offset} of ${name}`;
      // The batch after the bad place was begun when that one had been synced.
      if (damaged !== undefined) return `${damaged}, and ${place} comes after it`;
      if (record.bytes.length < batchHeaderBytes) return `${place} has ${record.bytes.length} bytes`;
      const sequence = Number(record.bytes.readBigUInt64LE(0));
      if (next === undefined ? sequence > lastSequence + 1 : sequence !== next) {
        return `${place} begins with operation ${sequence}, where ${next ?? lastSequence + 1} was due`;
      }
      next = sequence + record.bytes.readUInt32LE(8);
    }
  }
  return undefined;
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    // A store that is to be made.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

// ---- the file of records that logs and manifests are

type LogRecord =
  | { readonly kind: 'whole'; readonly offset: number; readonly bytes: Buffer }
  | { readonly kind: 'bad'; readonly offset: number };

const pieceKinds = { zero: 0, full: 1, first: 2, middle: 3, last: 4 } as const;

/** The records of a file in order, and each place where one cannot be read. */
async function* readRecords(path: string): AsyncGenerator<LogRecord> {
  const file = await open(path, 'r');
  try {
    const assembly = new Assembly();
    const buffer = Buffer.allocUnsafe(blocksPerRead * blockBytes);
    for (let from = 0; ;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, from);
      for (let block = 0; block < bytesRead; block += blockBytes) {
        const bytes = buffer.subarray(block, Math.min(block + blockBytes, bytesRead));
        yield* assembly.takeBlock(bytes, from + block);
      }
      from += bytesRead;
      if (bytesRead < buffer.length) break;
    }
    const unfinished = assembly.end();
    if (unfinished !== undefined) yield unfinished;
  } finally {
    await file.close();
  }
}

/** Puts the pieces of records together: none crosses the end of a block. */
class Assembly {
  private pieces: Buffer[] = [];
  /** Of the record whose pieces are being gathered. */
  private begun: number | undefined;

  *takeBlock(block: Buffer, blockOffset: number): Generator<LogRecord> {
    for (let at = 0; at + headerBytes <= block.length;) {
      const length = block.readUInt16LE(at + 4);
      const kind = block[at + 6] ?? 0;
      const offset = blockOffset + at;
      const end = at + headerBytes + length;
      // Space that was allocated and never written.
      if (kind === pieceKinds.zero && length === 0) return;
      if (end > block.length || unmask(block.readUInt32LE(at)) !== crc32c(block.subarray(at + 6, end))) {
        // Its length is not to be trusted: LevelDB goes on with the next block, too.
        this.forget();
        yield { kind: 'bad', offset };
        return;
      }
      // The buffer is used again for the blocks to come.
      yield* this.takePiece(kind, offset, Buffer.from(block.subarray(at + headerBytes, end)));
      at = end;
    }
  }

  /** A record whose last piece is missing. */
  end(): LogRecord | undefined {
    return this.begun === undefined ? undefined : { kind: 'bad', offset: this.begun };
  }

  private *takePiece(kind: number, offset: number, piece: Buffer): Generator<LogRecord> {
    const isFirst = kind === pieceKinds.full || kind === pieceKinds.first;
    if (isFirst ? this.begun !== undefined : this.begun === undefined) {
      yield { kind: 'bad', offset: this.begun ?? offset };
      if (!isFirst) return;
      this.forget();
    }
    this.begun ??= offset;
    this.pieces.push(piece);
    if (kind !== pieceKinds.full && kind !== pieceKinds.last) return;
    const bytes = Buffer.concat(this.pieces);
    const begun = this.begun;
    this.forget();
    yield { kind: 'whole', offset: begun, bytes };
  }

  private forget(): void {
    this.pieces = [];
    this.begun = undefined;
  }
}

// ---- the manifest

/** Fields of a record of the manifest, by their tag. */
const tags = {
  comparator: 1,
  logNumber: 2,
  nextFile: 3,
  lastSequence: 4,
  compactPointer: 5,
  deletedFile: 6,
  newFile: 7,
  previousLog: 9,
} as const;

/** `undefined` when a record of it is not understood. What is after a bad place is not in use. */
async function readManifest(path: string): Promise<Manifest | undefined> {
  const manifest = { firstLog: 0, lastSequence: 0, tables: new Map<number, number>() };
  for await (const record of readRecords(path)) {
    // LevelDB takes a file that was cut short as it is, and refuses all else by itself.
    if (record.kind === 'bad') break;
    const fields = new FieldReader(record.bytes);
    while (!fields.atEnd) if (!takeField(fields, manifest)) return undefined;
  }
  return manifest;
}

function takeField(
  fields: FieldReader,
  manifest: { firstLog: number; lastSequence: number; readonly tables: Map<number, number> },
): boolean {
  switch (fields.number()) {
    case tags.logNumber:
      manifest.firstLog = fields.number();
      break;
    case tags.lastSequence:
      manifest.lastSequence = fields.number();
      break;
    case tags.nextFile:
    case tags.previousLog:
      fields.number();
      break;
    case tags.comparator:
      fields.text();
      break;
    case tags.compactPointer:
      fields.number();
      fields.text();
      break;
    case tags.deletedFile:
      fields.number();
      manifest.tables.delete(fields.number());
      break;
    case tags.newFile: {
      fields.number();
      const table = fields.number();
      manifest.tables.set(table, fields.number());
      fields.text();
      fields.text();
      break;
    }
    default:
      return false;
  }
  return !fields.isOver;
}
