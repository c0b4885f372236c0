// The core's numbers, all in one place: unit, default and bound of each.

import { KvorumError } from '../base/errors.js';

export interface RaftConfig {
  /** Leader sends to an idle follower this often. Default 50; 1 .. electionTimeoutMsMin / 3. */
  readonly heartbeatIntervalMs: number;
  /**
   * A follower that heard nothing for a random time between min and max starts a pre-vote. Default 300 and
   * 600.
   */
  readonly electionTimeoutMsMin: number;
  readonly electionTimeoutMsMax: number;
  /** After the link to the leader broke: pre-vote after a random time between these. Default 20 and 60. */
  readonly linkDownElectionMsMin: number;
  readonly linkDownElectionMsMax: number;
  /**
   * Payload bytes of one AppendEntries, or one larger entry. Default 229,376 (a frame stays under 256 KiB).
   */
  readonly appendBytesMax: number;
  /** Entries of one AppendEntries. Default 512. */
  readonly appendEntriesMax: number;
  /** Payload bytes sent to one follower and not acknowledged. Default 8 MiB. */
  readonly inFlightBytesMax: number;
  /** AppendEntries messages sent to one follower and not acknowledged. Default 256. */
  readonly inFlightMessagesMax: number;
  /**
   * Payload bytes appended by this leader and not committed; beyond it proposals are refused. Default 64 MiB.
   */
  readonly uncommittedBytesMax: number;
  /** Payload bytes handed to the state machine and not yet applied. Default 4 MiB. */
  readonly applyBytesMax: number;
  /** Payload bytes of entries kept in memory once they are durable, applied or not. Default 32 MiB. */
  readonly entryCacheBytesMax: number;
  /**
   * ReadIndex requests waiting at once on one node, own and those of followers; more are refused. Default
   * 10,000.
   */
  readonly readsMax: number;
}

export const defaultRaftConfig: RaftConfig = {
  heartbeatIntervalMs: 50,
  electionTimeoutMsMin: 300,
  electionTimeoutMsMax: 600,
  linkDownElectionMsMin: 20,
  linkDownElectionMsMax: 60,
  appendBytesMax: 224 * 1024,
  appendEntriesMax: 512,
  inFlightBytesMax: 8 * 1024 * 1024,
  inFlightMessagesMax: 256,
  uncommittedBytesMax: 64 * 1024 * 1024,
  applyBytesMax: 4 * 1024 * 1024,
  entryCacheBytesMax: 32 * 1024 * 1024,
  readsMax: 10_000,
};

/** Throws `CONFIG` naming the first field that is out of its bounds. */
export function validateRaftConfig(config: RaftConfig): void {
  for (const [name, value] of Object.entries(config) as [keyof RaftConfig, number][]) {
    if (!Number.isFinite(value) || value < 1) {
      throw new KvorumError('CONFIG', `raft.${name} must be a number of at least 1, not ${value}`);
    }
  }
  if (config.electionTimeoutMsMax < config.electionTimeoutMsMin) {
    throw new KvorumError('CONFIG', 'raft.electionTimeoutMsMax must not be below raft.electionTimeoutMsMin');
  }
  if (config.linkDownElectionMsMax < config.linkDownElectionMsMin) {
    throw new KvorumError(
      'CONFIG',
      'raft.linkDownElectionMsMax must not be below raft.linkDownElectionMsMin',
    );
  }
  if (config.heartbeatIntervalMs > config.electionTimeoutMsMin / 3) {
    throw new KvorumError(
      'CONFIG',
      'raft.heartbeatIntervalMs must be at most a third of raft.electionTimeoutMsMin',
    );
  }
}
