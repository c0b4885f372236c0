// The checksums of a LevelDB table, which LevelDB does not look at when it reads: a flipped bit in a key, or
// in the index, makes keys that are there look absent. Versions (`V/`) are by far the most bytes of a store,
// and are left out: each has a check of its own, which is compared whenever it is read
// (kv/records/version-record.ts). Must never trust a length or an offset that is not within the file. Source:
// LevelDB's doc/table_format.md.

import { open, type FileHandle } from 'node:fs/promises';
import { crc32c, FieldReader, unmask } from './bytes.js';

/** Two places, each an offset and a length, padded; then eight bytes that are the same in all tables. */
const footerBytes = 48;
const magic = 0xdb47_7524_8b80_fb57n;
/** After each block: whether it is compressed, and its checksum. */
const trailerBytes = 5;
/** Read in one go; checking so much takes about a millisecond. */
const runBytesMax = 262_144;
/** After a key of the index: the number of the operation that wrote it. */
const keySuffixBytes = 8;
/** The folder of versions: first key, and the first one after it. */
const versionsStart = 'V/';
const versionsEnd = 'V0';

interface Place {
  readonly offset: number;
  readonly bytes: number;
}

/** What is damaged in the table, in words; versions are not looked at. `bytes`: the size of the file. */
export async function problemOfBlocks(path: string, bytes: number): Promise<string | undefined> {
  if (bytes < footerBytes) return 'it is shorter than the end of a table';
  const file = await open(path, 'r');
  try {
    const footer = await read(file, { offset: bytes - footerBytes, bytes: footerBytes });
    if (footer.readBigUInt64LE(footerBytes - 8) !== magic) return 'it does not end as a table';
    const fields = new FieldReader(footer);
    placeIn(fields);
    const indexPlace = placeIn(fields);
    const index = await readBlock(file, indexPlace, bytes);
    if (index === undefined) return wrongBlock(indexPlace);
    const blocks = blocksToCheck(index);
    if (blocks === undefined) return 'its index cannot be understood';
    for (const run of runsOf(blocks)) {
      const wrong = await wrongBlockOf(file, run, bytes);
      if (wrong !== undefined) return wrongBlock(wrong);
    }
    return undefined;
  } finally {
    await file.close();
  }
}

/** The blocks that hold something else than versions. `undefined` for an index that is none. */
function blocksToCheck(index: Buffer): Place[] | undefined {
  const restarts = index.length < 4 ? -1 : index.readUInt32LE(index.length - 4);
  const end = index.length - 4 - restarts * 4;
  if (restarts < 0 || end < 0) return undefined;
  const fields = new FieldReader(index.subarray(0, end));
  const places: Place[] = [];
  let key = '';
  while (!fields.atEnd) {
    const before = key;
    const shared = fields.number();
    const ownBytes = fields.number();
    fields.number();
    key = key.slice(0, shared) + fields.text(ownBytes).toString('latin1');
    const place = placeIn(fields);
    if (fields.isOver || key.length < keySuffixBytes) return undefined;
    // Every key of the block is after the one named before it, and not after its own.
    const first = before.slice(0, -keySuffixBytes);
    if (first < versionsStart || key.slice(0, -keySuffixBytes) >= versionsEnd) places.push(place);
  }
  return places;
}

/** Blocks that follow on each other, to be read in one go. */
function runsOf(blocks: readonly Place[]): Place[][] {
  const runs: Place[][] = [];
  let run: Place[] = [];
  let runBytes = 0;
  let end = -1;
  for (const place of blocks) {
    if (place.offset !== end || runBytes + place.bytes > runBytesMax) {
      run = [];
      runs.push(run);
      runBytes = 0;
    }
    run.push(place);
    runBytes += place.bytes + trailerBytes;
    end = place.offset + place.bytes + trailerBytes;
  }
  return runs;
}

/** The first block of a run that is not within the file, or has another checksum. */
async function wrongBlockOf(
  file: FileHandle,
  run: readonly Place[],
  fileBytes: number,
): Promise<Place | undefined> {
  const outside = run.find((place) => !isWithin(place, fileBytes));
  const [first] = run;
  const last = run.at(-1);
  if (outside !== undefined || first === undefined || last === undefined) return outside;
  const bytes = last.offset + last.bytes + trailerBytes - first.offset;
  const buffer = await read(file, { offset: first.offset, bytes });
  return run.find((place) => {
    const begin = place.offset - first.offset;
    return !isRight(buffer.subarray(begin, begin + place.bytes + trailerBytes));
  });
}

function placeIn(fields: FieldReader): Place {
  const offset = fields.number();
  return { offset, bytes: fields.number() };
}

/** `undefined` for one that is not within the file, or has another checksum. */
async function readBlock(file: FileHandle, place: Place, fileBytes: number): Promise<Buffer | undefined> {
  if (!isWithin(place, fileBytes)) return undefined;
  const block = await read(file, { offset: place.offset, bytes: place.bytes + trailerBytes });
  return isRight(block) ? block.subarray(0, place.bytes) : undefined;
}

function isWithin({ offset, bytes }: Place, fileBytes: number): boolean {
  return offset + bytes + trailerBytes <= fileBytes - footerBytes;
}

/** A block with its trailer. */
function isRight(block: Buffer): boolean {
  const checked = block.length - trailerBytes + 1;
  return unmask(block.readUInt32LE(checked)) === crc32c(block.subarray(0, checked));
}

async function read(file: FileHandle, { offset, bytes }: Place): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  await file.read(buffer, 0, bytes, offset);
  return buffer;
}

function wrongBlock({ offset, bytes }: Place): string {
  return `its block of ${bytes} bytes at offset ${offset} has another checksum`;
}
