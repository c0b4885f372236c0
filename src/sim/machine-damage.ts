// Damage to the disk of a machine that is down: what time, a bad cable or a careless hand does, and no crash.
// Only bytes that were synced long before are hit: damage to the very last batch of the log cannot be told
// from a torn write by anyone (storage/README.md), so nothing may be demanded after it. Source: research
// §4.3.

import { decodeLive, liveRange, versionKey } from '../kv/schema.js';
import type { StoreRecord } from '../kv/store.js';
import { diskUnitBytes, type VirtualFile } from './virtual-file.js';
import type { DamageKind } from './faults.js';
import type { VirtualDisk } from './virtual-disk.js';
import type { VirtualStores } from './virtual-stores.js';

export interface DamageDone {
  /** What was done. */
  readonly words: string;
  /** A record of the store that is not any more what was written. */
  readonly rotten?: StoreRecord;
}

/**
 * Does it, at `position` (0 the oldest, 1 the newest of what may be hit). `undefined`: there was nothing to
 * hit.
 */
export function damageDisk(
  damage: DamageKind,
  position: number,
  disk: VirtualDisk,
  stores: VirtualStores,
): DamageDone | undefined {
  switch (damage) {
    case 'bitFlip': {
      const place = placeOf(disk, position);
      if (place === undefined) return undefined;
      const bit = Math.floor(position * 8_000) % 8;
      place.file.flipBit(place.offset, bit);
      return { words: `bit ${bit} of byte ${place.offset} of file ${place.file.ordinal} flips` };
    }
    case 'misdirected': {
      const place = placeOf(disk, position);
      if (place === undefined || place.file.oldBytes < 3 * diskUnitBytes) return undefined;
      const { file } = place;
      const units = Math.floor(file.oldBytes / diskUnitBytes);
      const from = Math.min(units - 2, Math.floor(place.offset / diskUnitBytes));
      const to = from + 1 + (Math.floor(position * 1_000_000) % (units - from - 1));
      file.misdirect(from * diskUnitBytes, to * diskUnitBytes, diskUnitBytes);
      return { words: `unit ${from} of file ${file.ordinal} had been written to unit ${to}` };
    }
    case 'storeOpen': {
      const [name] = stores.names();
      if (name === undefined) return undefined;
      stores.damage(name);
      return { words: `the store ${name} is damaged` };
    }
    case 'storeValue':
      return rotValue(position, stores);
    case 'wipe':
      disk.wipe();
      stores.wipe();
      return { words: 'the disk is empty' };
  }
}

/** A byte among all that may be hit. */
function placeOf(disk: VirtualDisk, position: number): { file: VirtualFile; offset: number } | undefined {
  const files = disk.folders.files().filter(({ oldBytes }) => oldBytes > 0);
  const total = files.reduce((sum, { oldBytes }) => sum + oldBytes, 0);
  let offset = Math.min(total - 1, Math.floor(position * total));
  for (const file of files) {
    if (offset < file.oldBytes) return { file, offset };
    offset -= file.oldBytes;
  }
  return undefined;
}

/**
 * A bit of the value of one of the keys that there are. Only those: what the store keeps of keys has no hash
 * of its own (README.md here), and versions that are superseded are compared with nothing.
 */
function rotValue(position: number, stores: VirtualStores): DamageDone | undefined {
  const [name] = stores.names();
  if (name === undefined) return undefined;
  const { start, end } = liveRange('', undefined, 1, false);
  const records = stores.records(name).filter(({ key }) => key >= start && key < end);
  const record = records[Math.min(records.length - 1, Math.floor(position * records.length))];
  if (record === undefined) return undefined;
  const head = decodeLive(record.value, record.key);
  const key = versionKey(head.modRevision, head.sub);
  const version = stores.records(name).find((candidate) => candidate.key === key);
  if (version === undefined || head.valueBytes === 0) return undefined;
  // The value is the end of the record.
  const offset = version.value.length - 1 - (Math.floor(position * 1_000_003) % head.valueBytes);
  if (!stores.flipBit(name, key, offset, Math.floor(position * 8_000) % 8)) return undefined;
  return {
    words: `a bit of the value of revision ${head.modRevision} in the store ${name} flips`,
    rotten: version,
  };
}
