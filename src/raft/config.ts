// The core's numbers, all in one place: default, bounds and unit of each, and what two of them must be to
// each other.

import { KvorumError } from '../base/errors.js';
import {
  checkSettings,
  defaultsOf,
  gibibyte,
  kibibyte,
  mebibyte,
  type Settings,
  type ValuesOf,
} from '../base/settings.js';

const timeMsMax = 60_000;

export const raftSettings = {
  heartbeatIntervalMs: {
    default: 100,
    min: 1,
    max: timeMsMax,
    unit: 'ms',
    words: 'how often a leader sends to an idle follower; at most a third of `electionTimeoutMsMin`',
  },
  electionTimeoutMsMin: {
    default: 1_000,
    min: 1,
    max: timeMsMax,
    unit: 'ms',
    words: 'a follower that heard nothing for a random time between this …',
  },
  electionTimeoutMsMax: {
    default: 2_000,
    min: 1,
    max: timeMsMax,
    unit: 'ms',
    words: '… and this asks whether it could be elected',
  },
  linkDownElectionMsMin: {
    default: 20,
    min: 1,
    max: timeMsMax,
    unit: 'ms',
    words: 'after the link to the leader broke it asks after a random time between this …',
  },
  linkDownElectionMsMax: {
    default: 60,
    min: 1,
    max: timeMsMax,
    unit: 'ms',
    words: '… and this, if an election is not due before',
  },
  diskHungMs: {
    default: 5_000,
    min: 1,
    max: timeMsMax,
    unit: 'ms',
    words: 'a leader whose disk has had one write under way for longer hands over',
  },
  /** The default keeps a frame under 256 KiB; the maximum fits into one message. */
  appendBytesMax: {
    default: 224 * kibibyte,
    min: 1,
    max: 2 * mebibyte,
    unit: 'bytes',
    words: 'of one message with entries, or one larger entry',
  },
  /** The maximum is what a peer takes. */
  appendEntriesMax: { default: 512, min: 1, max: 10_000, unit: 'count', words: 'entries of one message' },
  inFlightBytesMax: {
    default: 8 * mebibyte,
    min: 1,
    max: gibibyte,
    unit: 'bytes',
    words: 'of entries sent to one follower and not acknowledged',
  },
  inFlightMessagesMax: {
    default: 256,
    min: 1,
    max: 65_536,
    unit: 'count',
    words: 'messages with entries sent to one follower and not acknowledged',
  },
  uncommittedBytesMax: {
    default: 64 * mebibyte,
    min: 1,
    max: gibibyte,
    unit: 'bytes',
    words: 'of entries that a leader has appended and not committed; beyond it writes are refused',
  },
  applyBytesMax: {
    default: 4 * mebibyte,
    min: 1,
    max: gibibyte,
    unit: 'bytes',
    words: 'of entries on their way to the state machine',
  },
  entryCacheBytesMax: {
    default: 32 * mebibyte,
    min: 1,
    max: gibibyte,
    unit: 'bytes',
    words: 'of durable entries kept in memory, applied or not',
  },
  readsMax: {
    default: 10_000,
    min: 1,
    max: 1_000_000,
    unit: 'count',
    words: 'rounds of reads waiting on one node, its own and those of followers; more are refused',
  },
} as const satisfies Settings;

/** Whole numbers within the bounds of `raftSettings`. */
export type RaftConfig = ValuesOf<typeof raftSettings>;

export const defaultRaftConfig: RaftConfig = defaultsOf(raftSettings);

/** Throws `CONFIG` naming the first field that is out of its bounds. */
export function validateRaftConfig(config: RaftConfig): void {
  checkSettings('raft.', config, raftSettings);
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
