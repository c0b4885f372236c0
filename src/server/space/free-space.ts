// When a node leading must refuse growth: its log is at the quota, or its disk is nearly full. Refusing
// early is what keeps a failed write, which ends a node, from happening; deleting, reading and replicating
// go on for longer. A full disk of one member must not keep the others from taking writes, so that a node
// leading with one hands over.

import type { Millis } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { ClientCommand } from '../../kv/commands.js';
import { operationRules } from '../../kv/operations/index.js';
import type { Wal } from '../../storage/wal/wal.js';
import type { ServerEnv } from '../events.js';
import type { WalConfig } from '../config/node-config.js';
import { LowDisk } from './low-disk.js';

const lookIntervalMs: Millis = 500;
/** Deletes get this much more log than puts: they are how an operator makes room. */
const quotaSlackFraction = 0.1;
/** Free bytes below which all writes are refused, in segments of the log. */
const fullSegments = 2;
/** From one attempt to hand over to the next: soon at first, rarely where all disks are full. */
const handOverIntervalMsMin = 1_000;
const handOverIntervalMsMax = 300_000;

export class FreeSpace {
  private readonly env: ServerEnv;
  private readonly wal: Pick<Wal, 'isOverQuota' | 'logBytes'>;
  private readonly config: WalConfig;
  private readonly disk: LowDisk;
  private nextHandOverMs: Millis = 0;
  private handOverIntervalMs = handOverIntervalMsMin;

  constructor(env: ServerEnv, wal: Pick<Wal, 'isOverQuota' | 'logBytes'>, config: WalConfig) {
    this.env = env;
    this.wal = wal;
    this.config = config;
    this.disk = new LowDisk({
      env,
      segmentBytes: config.segmentBytes,
      intervalMs: lookIntervalMs,
      looked: (isLow, wasLow) => {
        if (isLow !== wasLow) this.turned(isLow);
      },
    });
  }

  /** Looks at the disk when it is time to. Called once per heartbeat. */
  check(): void {
    this.disk.look();
  }

  /**
   * Whether a node leading should try now to let another one lead. Each true answer is the beginning of an
   * attempt: the next one comes an interval later, which doubles.
   */
  claimHandOver(): boolean {
    const nowMs = this.env.clock.nowMs();
    if (!this.disk.isLow || nowMs < this.nextHandOverMs) return false;
    this.nextHandOverMs = nowMs + this.handOverIntervalMs;
    this.handOverIntervalMs = Math.min(2 * this.handOverIntervalMs, handOverIntervalMsMax);
    return true;
  }

  /** Why a write cannot be taken: `NO_SPACE`, or `undefined` when it can. */
  refuse(command: ClientCommand): KvorumError | undefined {
    const { isLow } = this.disk;
    if (!isLow && !this.wal.isOverQuota) return undefined;
    if (!operationRules[command.operation.kind].growsStore && this.hasRoomToDelete()) return undefined;
    const place = isLow
      ? 'the disk of the leader is nearly full'
      : 'the log of the leader is at wal.quotaBytes or short of disk';
    return new KvorumError('NO_SPACE', `${place}: delete data, free the disk, or raise the quota`);
  }

  private turned(isLow: boolean): void {
    this.handOverIntervalMs = handOverIntervalMsMin;
    const { freeBytes } = this.disk;
    this.env.report({ kind: isLow ? 'diskNearlyFull' : 'diskHasRoom', freeBytes });
  }

  private hasRoomToDelete(): boolean {
    const { quotaBytes, segmentBytes } = this.config;
    if (this.disk.freeBytes < fullSegments * segmentBytes) return false;
    return this.wal.logBytes < quotaBytes * (1 + quotaSlackFraction);
  }
}
