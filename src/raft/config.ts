// The core's numbers, all in one place: unit, default and bound of each.

import { checkBounds, type Bounds } from '../base/bounds.js';
import { KvorumError } from '../base/errors.js';

/** Whole numbers; bounds are `raftConfigBounds`. */
export interface RaftConfig {
  /** Leader sends to an idle follower this often. Default 50; 1 .. electionTimeoutMsMin / 3. */
  readonly heartbeatIntervalMs: number;
  /**
   * A follower that heard nothing for a random time between min and max starts a pre-vote. Default 300 and
   * 600; up to 60,000.
   */
  readonly electionTimeoutMsMin: number;
  readonly electionTimeoutMsMax: number;
  /**
   * After the link to the leader broke: pre-vote after a random time between these, if an election is not due
   * before. Default 20 and 60; up to 60,000.
   */
  readonly linkDownElectionMsMin: number;
  readonly linkDownElectionMsMax: number;
  /**
   * Payload bytes of one AppendEntries, or one larger entry. Default 229,376 (a frame stays under 256 KiB);
   * up to 2 MiB, so that it fits into one message.
   */
  readonly appendBytesMax: number;
  /** Entries of one AppendEntries. Default 512; up to 10,000, which is what a peer takes. */
  readonly appendEntriesMax: number;
  /** Payload bytes sent to one follower and not acknowledged. Default 8 MiB; up to 1 GiB. */
  readonly inFlightBytesMax: number;
  /** AppendEntries messages sent to one follower and not acknowledged. Default 256; up to 65,536. */
  readonly inFlightMessagesMax: number;
  /**
   * Payload bytes appended by this leader and not committed; beyond it proposals are refused. Default 64 MiB;
   * up to 1 GiB.
   */
  readonly uncommittedBytesMax: number;
  /** Payload bytes handed to the state machine and not yet applied. Default 4 MiB; up to 1 GiB. */
  readonly applyBytesMax: number;
  /**
   * Payload bytes of entries kept in memory once they are durable, applied or not. Default 32 MiB; up to
   * 1 GiB.
   */
  readonly entryCacheBytesMax: number;
  /**
   * ReadIndex requests waiting at once on one node, own and those of followers; more are refused. Default
   * 10,000; up to 1,000,000.
   */
  readonly readsMax: number;
}

const timeMsMax = 60_000;
const bytesMax = 1_073_741_824;

export const raftConfigBounds: Bounds<keyof RaftConfig> = {
  heartbeatIntervalMs: [1, timeMsMax],
  electionTimeoutMsMin: [1, timeMsMax],
  electionTimeoutMsMax: [1, timeMsMax],
  linkDownElectionMsMin: [1, timeMsMax],
  linkDownElectionMsMax: [1, timeMsMax],
  appendBytesMax: [1, 2 * 1_048_576],
  appendEntriesMax: [1, 10_000],
  inFlightBytesMax: [1, bytesMax],
  inFlightMessagesMax: [1, 65_536],
  uncommittedBytesMax: [1, bytesMax],
  applyBytesMax: [1, bytesMax],
  entryCacheBytesMax: [1, bytesMax],
  readsMax: [1, 1_000_000],
};

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
  checkBounds('raft.', config, raftConfigBounds);
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
