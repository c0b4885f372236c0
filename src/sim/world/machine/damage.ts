// Damage to the disk of a machine that is down: what time, a bad cable or a careless hand does, and no crash.
// Only bytes that were synced long before are hit: damage to the very last batch of the log cannot be told
// from a torn write by anyone (storage/README.md), so nothing may be demanded after it.

import { assertNever } from '../../../base/assert.js';
import type { StoreRecord } from '../../../kv/store.js';
import { diskUnitBytes, type VirtualFile } from '../disk/file.js';
import type { DamageKind } from '../../plan/faults.js';
import type { VirtualDisk } from '../disk/disk.js';
import type { VirtualStores } from '../disk/stores.js';

export interface DamageDone {
  /** What was done. */
  readonly words: string;
  /** A record of the store that is not any more what was written. */
  readonly rotten?: RottenRecord;
}

export interface RottenRecord {
  readonly written: StoreRecord;
  /** Its bytes now. */
  readonly isNow: Uint8Array;
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
      return rotRecord(position, stores);
    case 'wipe':
      disk.wipe();
      stores.wipe();
      return { words: 'the disk is empty' };
    default:
      return assertNever(damage);
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

/** A bit of any record of the store: of a version, a key, a tombstone, a session, or of the store itself. */
function rotRecord(position: number, stores: VirtualStores): DamageDone | undefined {
  const [name] = stores.names();
  if (name === undefined) return undefined;
  const records = stores.records(name);
  const record = records[Math.min(records.length - 1, Math.floor(position * records.length))];
  if (record === undefined || record.value.length === 0) return undefined;
  const offset = Math.floor(position * 1_000_003) % record.value.length;
  const bit = Math.floor(position * 8_000) % 8;
  if (!stores.flipBit(name, record.key, offset, bit)) return undefined;
  const isNow = stores.records(name).find(({ key }) => key === record.key)?.value;
  const words = `bit ${bit} of byte ${offset} of ${JSON.stringify(record.key)} in the store ${name} flips`;
  return isNow === undefined ? { words } : { words, rotten: { written: record, isNow } };
}
