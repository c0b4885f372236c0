// The production configuration with a plan's knobs turned. Must stay within what `validateNodeConfig` allows:
// it is checked here, since the simulated node does not read a configuration file.

import {
  defaultNodeConfig,
  validateNodeConfig,
  type NodeConfig,
} from '../../../server/config/node-config.js';
import type { Knobs } from '../../plan/plan.js';

/** `logEntriesMax`: the node's own limit. Throws `CONFIG` for knobs that no node would start with. */
export function nodeConfigOf(knobs: Knobs, logEntriesMax = knobs.snapshotLogEntriesMax): NodeConfig {
  const { raft, snapshot } = defaultNodeConfig;
  const config: NodeConfig = {
    ...defaultNodeConfig,
    raft: {
      ...raft,
      heartbeatIntervalMs: knobs.heartbeatIntervalMs ?? raft.heartbeatIntervalMs,
      electionTimeoutMsMin: knobs.electionTimeoutMsMin ?? raft.electionTimeoutMsMin,
      electionTimeoutMsMax: knobs.electionTimeoutMsMax ?? raft.electionTimeoutMsMax,
      diskHungMs: knobs.diskHungMs ?? raft.diskHungMs,
      appendEntriesMax: knobs.appendEntriesMax,
      appendBytesMax: knobs.appendBytesMax,
      inFlightMessagesMax: knobs.inFlightMessagesMax,
      inFlightBytesMax: knobs.inFlightBytesMax,
      applyBytesMax: knobs.applyBytesMax,
      entryCacheBytesMax: knobs.entryCacheBytesMax,
    },
    wal: { segmentBytes: knobs.segmentBytes, quotaBytes: knobs.quotaBytes },
    snapshot: {
      logEntriesMax: logEntriesMax ?? snapshot.logEntriesMax,
      logBytesMax: knobs.snapshotLogBytesMax ?? snapshot.logBytesMax,
      chunkBytes: knobs.snapshotChunkBytes ?? snapshot.chunkBytes,
    },
    store: { groupBytesMax: knobs.groupBytesMax, groupIntervalMs: knobs.groupIntervalMs },
    sliceMs: knobs.sliceMs,
  };
  validateNodeConfig(config);
  return config;
}
