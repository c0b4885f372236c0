// When a node leading must refuse growth: its log is at the quota, or its disk is nearly full. Refusing
// early is what keeps a failed write, which ends a node, from happening; deleting, reading and replicating
// go on for longer. A full disk of one member must not keep the others from taking writes, so that a node
// leading with one hands over.

import type { Millis } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { ClientCommand } from '../../kv/commands.js';
import type { Wal } from '../../storage/wal/wal.js';
import type { ServerEnv } from '../events.js';
import type { WalConfig } from '../config/node-config.js';

const checkIntervalMs = 500;
/** Deletes get this much more log than puts: they are how an operator makes room. */
const quotaSlackFraction = 0.1;
/** Free bytes below which puts, and below which all writes, are refused, in segments of the log. */
export const lowSegments = 4;
const fullSegments = 2;
/** Room again only above this multiple of the mark, so that the verdict does not flicker. */
export const recoveredFactor = 1.25;
/** From one attempt to hand over to the next: soon at first, rarely where all disks are full. */
const handOverIntervalMsMin = 1_000;
const handOverIntervalMsMax = 300_000;

export class DiskSpace {
  private readonly env: ServerEnv;
  private readonly wal: Wal;
  private readonly config: WalConfig;
  private freeBytes = Infinity;
  private isLow = false;
  private nextCheckMs: Millis = 0;
  private nextHandOverMs: Millis = 0;
  private handOverIntervalMs = handOverIntervalMsMin;

  constructor(env: ServerEnv, wal: Wal, config: WalConfig) {
    this.env = env;
    this.wal = wal;
    this.config = config;
  }

  /** Looks at the disk when it is time to. Called once per heartbeat. */
  check(): void {
    const { clock, disk, report } = this.env;
    if (clock.nowMs() < this.nextCheckMs) return;
    this.nextCheckMs = clock.nowMs() + checkIntervalMs;
    disk.freeBytes((error, freeBytes) => {
      if (error !== undefined) return;
      this.freeBytes = freeBytes;
      const mark = lowSegments * this.config.segmentBytes * (this.isLow ? recoveredFactor : 1);
      if (freeBytes < mark === this.isLow) return;
      this.isLow = !this.isLow;
      this.handOverIntervalMs = handOverIntervalMsMin;
      report({ kind: this.isLow ? 'diskNearlyFull' : 'diskHasRoom', freeBytes });
    });
  }

  /**
   * Whether a node leading should try now to let another one lead. Each true answer is the beginning of an
   * attempt: the next one comes an interval later, which doubles.
   */
  claimHandOver(): boolean {
    const nowMs = this.env.clock.nowMs();
    if (!this.isLow || nowMs < this.nextHandOverMs) return false;
    this.nextHandOverMs = nowMs + this.handOverIntervalMs;
    this.handOverIntervalMs = Math.min(2 * this.handOverIntervalMs, handOverIntervalMsMax);
    return true;
  }

  /** Why a write cannot be taken: `NO_SPACE`, or `undefined` when it can. */
  refuse(command: ClientCommand): KvorumError | undefined {
    if (!this.isLow && !this.wal.isOverQuota) return undefined;
    if (command.operation.kind !== 'put' && this.hasRoomToDelete()) return undefined;
    const place = this.isLow
      ? 'the disk of the leader is nearly full'
      : 'the log of the leader is at wal.quotaBytes or short of disk';
    return new KvorumError('NO_SPACE', `${place}: delete data, free the disk, or raise the quota`);
  }

  private hasRoomToDelete(): boolean {
    const { quotaBytes, segmentBytes } = this.config;
    if (this.freeBytes < fullSegments * segmentBytes) return false;
    return this.wal.logBytes < quotaBytes * (1 + quotaSlackFraction);
  }
}
