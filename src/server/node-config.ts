// Every number a node can be tuned by, with unit and default. Limits of the formats are not here: they are
// the same on all nodes (`kvLimits`, `wireLimits`, `entryLimits`).

import type { Millis } from '../base/env.js';
import { KvorumError } from '../base/errors.js';
import { defaultRaftConfig, validateRaftConfig, type RaftConfig } from '../raft/config.js';

export interface WalConfig {
  /** Bytes of one preallocated segment file. Default 64 MiB; at least 64 KiB. */
  readonly segmentBytes: number;
  /** Bytes of log beyond which writes are refused with NO_SPACE. Default 8 GiB; at least 4 segments. */
  readonly quotaBytes: number;
}

export interface LimitsConfig {
  /** Writes received and not yet in the log. Default 65,536. */
  readonly pendingCommandsMax: number;
  /** Bytes of them. Default 64 MiB. */
  readonly pendingCommandBytesMax: number;
  /** Reads received and not yet answered. Default 65,536. */
  readonly pendingReadsMax: number;
  /** Requests of one connection not yet answered. Default 32,768. */
  readonly connectionRequestsMax: number;
}

export interface StoreConfig {
  /** The applied state is written to the store when this many bytes have gathered. Default 2 MiB. */
  readonly groupBytesMax: number;
  /** … or this long after the first of them, whichever comes first. Default 100. */
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
  /** Longest stretch of applying or reading before other events are looked at. Default 2. */
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

/** Throws `CONFIG` naming the first field out of its bounds. */
export function validateNodeConfig(config: NodeConfig): void {
  validateRaftConfig(config.raft);
  const { segmentBytes, quotaBytes } = config.wal;
  if (!Number.isSafeInteger(segmentBytes) || segmentBytes < 65_536 || segmentBytes > 1_073_741_824) {
    throw new KvorumError('CONFIG', `wal.segmentBytes must be 65,536 to 1,073,741,824, not ${segmentBytes}`);
  }
  if (!Number.isSafeInteger(quotaBytes) || quotaBytes < 4 * segmentBytes) {
    throw new KvorumError('CONFIG', `wal.quotaBytes must be at least four segments, not ${quotaBytes}`);
  }
  validateSnapshotConfig(config.snapshot);
  const positive: readonly (readonly [string, number])[] = [
    ...Object.entries(config.limits).map(([name, value]) => [`limits.${name}`, value as number] as const),
    ...Object.entries(config.store).map(([name, value]) => [`store.${name}`, value as number] as const),
    ['sliceMs', config.sliceMs],
  ];
  for (const [name, value] of positive) {
    if (!Number.isFinite(value) || value < 1) {
      throw new KvorumError('CONFIG', `${name} must be a number of at least 1, not ${value}`);
    }
  }
}

function validateSnapshotConfig(snapshot: SnapshotConfig): void {
  const bounds = {
    logEntriesMax: [1, Number.MAX_SAFE_INTEGER],
    logBytesMax: [65_536, Number.MAX_SAFE_INTEGER],
    chunkBytes: [4_096, 1_048_576],
  } as const;
  for (const name of ['logEntriesMax', 'logBytesMax', 'chunkBytes'] as const) {
    const value = snapshot[name];
    const [min, max] = bounds[name];
    if (Number.isSafeInteger(value) && value >= min && value <= max) continue;
    throw new KvorumError(
      'CONFIG',
      `snapshot.${name} must be a whole number from ${min} to ${max}, not ${value}`,
    );
  }
}
