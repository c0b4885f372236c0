// Every number a node can be tuned by, with unit, default and bounds; all are whole numbers. Limits of the
// formats are not here: they are the same on all nodes (`kvLimits`, `wireLimits`, `entryLimits`).

import { checkBounds, type Bounds } from '../../base/bounds.js';
import type { Millis } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import { defaultRaftConfig, validateRaftConfig, type RaftConfig } from '../../raft/config.js';

export interface WalConfig {
  /** Bytes of one preallocated segment file. Default 64 MiB; 64 KiB to 1 GiB. */
  readonly segmentBytes: number;
  /** Bytes of log beyond which writes are refused with NO_SPACE. Default 8 GiB; at least 4 segments. */
  readonly quotaBytes: number;
}

export interface LimitsConfig {
  /** Writes received and not yet applied, in the log or not. Default 65,536; up to 10,000,000. */
  readonly pendingCommandsMax: number;
  /** Bytes of them. Default 64 MiB; up to 4 GiB. */
  readonly pendingCommandBytesMax: number;
  /** Reads received and not yet answered. Default 65,536; up to 10,000,000. */
  readonly pendingReadsMax: number;
  /** Requests of one connection not yet answered. Default 32,768; up to 10,000,000. */
  readonly connectionRequestsMax: number;
}

export interface StoreConfig {
  /**
   * The applied state is written to the store when this many bytes have gathered. Default 2 MiB; up to 1 GiB.
   */
  readonly groupBytesMax: number;
  /** … or this long after the first of them, whichever comes first. Default 100; up to 60,000. */
  readonly groupIntervalMs: Millis;
}

export interface SnapshotConfig {
  /** The log is shortened when it holds more entries than this. Default 100,000; at least 1. */
  readonly logEntriesMax: number;
  /** … or more bytes than this. Default 256 MiB; at least 64 KiB. */
  readonly logBytesMax: number;
  /** Bytes of one piece of a snapshot on its way to a member. Default 200 KiB; 4 KiB .. 1 MiB. */
  readonly chunkBytes: number;
}

export interface NodeConfig {
  readonly raft: RaftConfig;
  readonly wal: WalConfig;
  readonly limits: LimitsConfig;
  readonly store: StoreConfig;
  readonly snapshot: SnapshotConfig;
  /** Longest stretch of applying or reading before other events are looked at. Default 2; up to 60,000. */
  readonly sliceMs: Millis;
}

export const defaultNodeConfig: NodeConfig = {
  raft: defaultRaftConfig,
  wal: { segmentBytes: 64 * 1_048_576, quotaBytes: 8 * 1_073_741_824 },
  limits: {
    pendingCommandsMax: 65_536,
    pendingCommandBytesMax: 64 * 1_048_576,
    pendingReadsMax: 65_536,
    connectionRequestsMax: 32_768,
  },
  store: { groupBytesMax: 2 * 1_048_576, groupIntervalMs: 100 },
  snapshot: { logEntriesMax: 100_000, logBytesMax: 256 * 1_048_576, chunkBytes: 200 * 1_024 },
  sliceMs: 2,
};

const millisMax = 60_000;
const bytesMax = 1_073_741_824;

const walBounds: Bounds<keyof WalConfig> = {
  segmentBytes: [65_536, bytesMax],
  quotaBytes: [4 * 65_536, Number.MAX_SAFE_INTEGER],
};

const limitsBounds: Bounds<keyof LimitsConfig> = {
  pendingCommandsMax: [1, 10_000_000],
  pendingCommandBytesMax: [1, 4 * bytesMax],
  pendingReadsMax: [1, 10_000_000],
  connectionRequestsMax: [1, 10_000_000],
};

const storeBounds: Bounds<keyof StoreConfig> = {
  groupBytesMax: [1, bytesMax],
  groupIntervalMs: [1, millisMax],
};

const snapshotBounds: Bounds<keyof SnapshotConfig> = {
  logEntriesMax: [1, Number.MAX_SAFE_INTEGER],
  logBytesMax: [65_536, Number.MAX_SAFE_INTEGER],
  chunkBytes: [4_096, 1_048_576],
};

/** Throws `CONFIG` naming the first field out of its bounds. */
export function validateNodeConfig(config: NodeConfig): void {
  validateRaftConfig(config.raft);
  checkBounds('wal.', config.wal, walBounds);
  if (config.wal.quotaBytes < 4 * config.wal.segmentBytes) {
    const { quotaBytes } = config.wal;
    throw new KvorumError('CONFIG', `wal.quotaBytes must be at least four segments, not ${quotaBytes}`);
  }
  checkBounds('limits.', config.limits, limitsBounds);
  checkBounds('store.', config.store, storeBounds);
  checkBounds('snapshot.', config.snapshot, snapshotBounds);
  checkBounds('', { sliceMs: config.sliceMs }, { sliceMs: [1, millisMax] });
}
