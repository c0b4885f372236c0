// The contents of one file in the virtual disk: what programs read now (page cache) and what a power cut
// leaves. Only a sync moves bytes from the one to the other. A write is not atomic: each unit survives or not
// by itself, and of several writes to one unit any prefix may have reached the disk; where a disk tears
// units, a part of the last one may. A length that grew may survive without the bytes. Damage, which no crash
// does, is at the end.

import { assertNever } from '../../../base/assert.js';
import type { Dice } from '../dice.js';

/** The smallest piece that a disk writes whole, unless it says otherwise. */
export const diskUnitBytes = 512;

/** How the disk under a file writes. */
export interface UnitRules {
  /** The smallest piece that is written whole; a multiple of 512. */
  readonly unitBytes: number;
  /** Whether the last piece may be written in part all the same. */
  readonly tearsUnits: boolean;
}

export const ordinaryUnits: UnitRules = { unitBytes: diskUnitBytes, tearsUnits: false };

/** Syncs whose bytes are too new to be damaged. */
const newestKept = 3;

/** What survives of writes that no sync covered. */
export type UnsyncedFate = 'none' | 'prefix' | 'subset' | 'all';

interface PendingWrite {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export class VirtualFile {
  readonly ordinal: number;
  /** What programs see. Only the first `size` bytes count. */
  private current = Buffer.alloc(0);
  /** What is on the disk. Only the first `durableSize` bytes count. */
  private durable = Buffer.alloc(0);
  /** Bytes. */
  size = 0;
  private durableSize = 0;
  /** Writes in `current` that no sync has made durable, oldest first. */
  private pending: PendingWrite[] = [];
  /** Writes that have left `pending` since the file was made. */
  private settled = 0;
  private readonly units: UnitRules;
  /** Ends of the writes that were synced last, newest first; bounded. Damage stays below them. */
  private readonly newestEnds: number[] = [];

  constructor(ordinal: number, units: UnitRules = ordinaryUnits) {
    this.ordinal = ordinal;
    this.units = units;
  }

  read(offset: number, length: number): Uint8Array {
    const end = Math.min(offset + length, this.size);
    return offset >= end ? new Uint8Array(0) : new Uint8Array(this.current.subarray(offset, end));
  }

  /** Writes into the page cache. The bytes are copied. */
  write(offset: number, bytes: Uint8Array): void {
    this.current = grown(this.current, offset + bytes.length);
    this.current.set(bytes, offset);
    this.size = Math.max(this.size, offset + bytes.length);
    this.pending.push({ offset, bytes: new Uint8Array(bytes) });
  }

  /** A mark for `syncUpTo`: all writes so far. */
  mark(): number {
    return this.settled + this.pending.length;
  }

  /** The writes before the mark, and the length they gave, are durable. */
  syncUpTo(mark: number): void {
    const covered = this.pending.splice(0, Math.max(0, mark - this.settled));
    this.settled += covered.length;
    for (const { offset, bytes } of covered) this.makeDurable(offset, bytes);
    const last = covered.at(-1);
    if (last !== undefined) this.newestEnds.unshift(last.offset);
    this.newestEnds.length = Math.min(this.newestEnds.length, newestKept);
  }

  /** A sync failed: the kernel marks the pages clean, so no later sync writes them. */
  forgetPending(): void {
    this.settled += this.pending.length;
    this.pending = [];
  }

  /** Whether everything that programs see is also on the disk. */
  isDurable(): boolean {
    return this.size === this.durableSize && this.current.subarray(0, this.size).equals(this.durableBytes());
  }

  /**
   * The machine lost power: what was not synced meets its fate, decided by the dice.
   * A file that grew keeps the new length only as far as a surviving unit reaches.
   */
  losePower(fate: UnsyncedFate, dice: Dice): void {
    switch (fate) {
      case 'none':
        break;
      case 'all':
        this.syncUpTo(this.mark());
        break;
      case 'prefix':
        this.keepPrefix(dice);
        break;
      case 'subset':
        this.keepSubset(dice);
        // The length is kept apart from the bytes: it may be there without them, which then read as zeros.
        if (this.size > this.durableSize && dice.chance(0.3)) this.keepLength(this.size);
        break;
      default:
        assertNever(fate);
    }
    this.forgetPending();
    this.current = Buffer.from(this.durableBytes());
    this.size = this.durableSize;
  }

  /** A write that the dying program had under way: some of its units reached the page cache. */
  writePart(offset: number, bytes: Uint8Array, dice: Dice): void {
    const kept = dice.integer(0, bytes.length);
    if (kept > 0) this.write(offset, bytes.subarray(0, kept));
  }

  private keepPrefix(dice: Dice): void {
    const whole = dice.integer(0, this.pending.length);
    const torn = this.pending[whole];
    this.syncUpTo(this.settled + whole);
    if (torn === undefined) return;
    const length = dice.integer(0, torn.bytes.length);
    const { unitBytes, tearsUnits } = this.units;
    const kept = tearsUnits ? length : unitFloor(torn.offset, length, unitBytes);
    if (kept > 0) this.makeDurable(torn.offset, torn.bytes.subarray(0, kept));
  }

  private keepSubset(dice: Dice): void {
    // Once a unit has lost a write, the later ones to it may not be assumed lost too: each unit holds the
    // state after any prefix of its own writes, so a unit that is cut off takes no further write.
    const cutOff = new Set<number>();
    const survival = dice.fraction();
    const { unitBytes } = this.units;
    for (const { offset, bytes } of this.pending) {
      let position = 0;
      while (position < bytes.length) {
        const unit = Math.floor((offset + position) / unitBytes);
        const end = Math.min(bytes.length, (unit + 1) * unitBytes - offset);
        if (!cutOff.has(unit)) {
          if (dice.chance(survival)) this.makeDurable(offset + position, bytes.subarray(position, end));
          else cutOff.add(unit);
        }
        position = end;
      }
    }
  }

  /** Bytes that were synced long ago: below here they may be damaged, and what is newer may not. */
  get oldBytes(): number {
    return this.newestEnds.length < newestKept ? 0 : Math.min(this.durableSize, ...this.newestEnds);
  }

  /** Damage: one bit is another, for programs and on the disk. Only while no program has the file open. */
  flipBit(offset: number, bit: number): void {
    for (const bytes of [this.current, this.durable]) {
      const byte = bytes[offset];
      if (byte !== undefined) bytes[offset] = byte ^ (1 << bit);
    }
  }

  /** Damage: a write of the unit at `from` went to the unit at `to`, where it was not meant to go. */
  misdirect(from: number, to: number, length: number): void {
    for (const bytes of [this.current, this.durable]) {
      bytes.copyWithin(to, from, from + length);
      bytes.fill(0, from, from + length);
    }
  }

  /** A copy of what programs read now, all of it durable. */
  copy(): VirtualFile {
    const copy = new VirtualFile(this.ordinal, this.units);
    copy.write(0, this.current.subarray(0, this.size));
    copy.syncUpTo(copy.mark());
    return copy;
  }

  private keepLength(length: number): void {
    this.durable = grown(this.durable, length);
    this.durableSize = length;
  }

  private durableBytes(): Buffer {
    return this.durable.subarray(0, this.durableSize);
  }

  private makeDurable(offset: number, bytes: Uint8Array): void {
    this.durable = grown(this.durable, offset + bytes.length);
    this.durable.set(bytes, offset);
    this.durableSize = Math.max(this.durableSize, offset + bytes.length);
  }
}

/**
 * The longest length up to `length` at which a write at `offset` ends on the border of a unit; 0 if there
 * is none.
 */
function unitFloor(offset: number, length: number, unitBytes: number): number {
  return Math.max(0, Math.floor((offset + length) / unitBytes) * unitBytes - offset);
}

function grown(buffer: Buffer<ArrayBuffer>, length: number): Buffer<ArrayBuffer> {
  if (length <= buffer.length) return buffer;
  const larger = Buffer.alloc(Math.max(length, buffer.length * 2));
  larger.set(buffer);
  return larger;
}
