// Damage to the disk of a machine that is down: what time, a bad cable or a careless hand does, and no crash.
// Only bytes that were synced long before are hit: damage to the very last batch of the log cannot be told
// from a torn write by anyone (storage/README.md), so nothing may be demanded after it. Source: research §4.3.

import { diskUnitBytes, type VirtualFile } from './virtual-file.js';
import type { DamageKind } from './faults.js';
import type { VirtualDisk } from './virtual-disk.js';
import type { VirtualStores } from './virtual-stores.js';

/**
 * Does it, at `position` (0 the oldest, 1 the newest of what may be hit). Returns what was done, in words;
 * `undefined` when there was nothing to hit.
 */
export function damageDisk(
  damage: DamageKind,
  position: number,
  disk: VirtualDisk,
  stores: VirtualStores,
): string | undefined {
  switch (damage) {
    case 'bitFlip': {
      const place = placeOf(disk, position);
      if (place === undefined) return undefined;
      const bit = Math.floor(position * 8_000) % 8;
      place.file.flipBit(place.offset, bit);
      return `bit ${bit} of the byte at ${place.offset} of file ${place.file.ordinal} flips`;
    }
    case 'misdirected': {
      const place = placeOf(disk, position);
      if (place === undefined || place.file.oldBytes < 3 * diskUnitBytes) return undefined;
      const { file } = place;
      const units = Math.floor(file.oldBytes / diskUnitBytes);
      const from = Math.min(units - 2, Math.floor(place.offset / diskUnitBytes));
      const to = from + 1 + (Math.floor(position * 1_000_000) % (units - from - 1));
      file.misdirect(from * diskUnitBytes, to * diskUnitBytes, diskUnitBytes);
      return `unit ${from} of file ${file.ordinal} had been written to unit ${to}`;
    }
    case 'storeOpen':
    case 'storeValue': {
      const [name] = stores.names();
      if (name === undefined) return undefined;
      if (damage === 'storeOpen') stores.damage(name);
      else if (!stores.flipBit(name, position)) return undefined;
      return damage === 'storeOpen' ? `the store ${name} is damaged` : `a value in the store ${name} rots`;
    }
    case 'wipe':
      disk.wipe();
      stores.wipe();
      return 'the disk is empty';
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
