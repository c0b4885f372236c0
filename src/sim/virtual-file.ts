// The contents of one file in the virtual disk: what programs read now (page cache) and what a power cut
// leaves. Only a sync moves bytes from the one to the other. A write is not atomic: each unit of 512 bytes
// survives or not by itself, and of several writes to one unit any prefix may have reached the disk.
// Source: research §4.3, rows 46-47.

import type { Dice } from './dice.js';

/** The smallest piece that a disk writes whole. */
export const diskUnitBytes = 512;

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

  constructor(ordinal: number) {
    this.ordinal = ordinal;
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
  }

  /** A sync failed: the kernel marks the pages clean, so no later sync writes them (research row 45). */
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
    if (fate === 'all') this.syncUpTo(this.mark());
    if (fate === 'prefix') this.keepPrefix(dice);
    if (fate === 'subset') this.keepSubset(dice);
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
    const kept = unitFloor(torn.offset, dice.integer(0, torn.bytes.length));
    if (kept > 0) this.makeDurable(torn.offset, torn.bytes.subarray(0, kept));
  }

  private keepSubset(dice: Dice): void {
    // Once a unit has lost a write, the later ones to it may not be assumed lost too: each unit holds the
    // state after any prefix of its own writes, so a unit that is cut off takes no further write.
    const cutOff = new Set<number>();
    const survival = dice.fraction();
    for (const { offset, bytes } of this.pending) {
      let position = 0;
      while (position < bytes.length) {
        const unit = Math.floor((offset + position) / diskUnitBytes);
        const end = Math.min(bytes.length, (unit + 1) * diskUnitBytes - offset);
        if (!cutOff.has(unit)) {
          if (dice.chance(survival)) this.makeDurable(offset + position, bytes.subarray(position, end));
          else cutOff.add(unit);
        }
        position = end;
      }
    }
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
function unitFloor(offset: number, length: number): number {
  return Math.max(0, Math.floor((offset + length) / diskUnitBytes) * diskUnitBytes - offset);
}

function grown(buffer: Buffer<ArrayBuffer>, length: number): Buffer<ArrayBuffer> {
  if (length <= buffer.length) return buffer;
  const larger = Buffer.alloc(Math.max(length, buffer.length * 2));
  larger.set(buffer);
  return larger;
}
