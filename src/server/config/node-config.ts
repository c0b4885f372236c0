// Every number a node can be tuned by: default, bounds, unit and words of each, in groups. Limits of the
// formats are not here: they are the same on all nodes (`kvLimits`, `wireLimits`, `entryLimits`).

import type { Millis } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import {
  checkSettings,
  defaultsOf,
  gibibyte,
  kibibyte,
  mebibyte,
  type Setting,
  type Settings,
  type ValuesOf,
} from '../../base/settings.js';
import { raftSettings, validateRaftConfig } from '../../raft/config.js';

const millisMax = 60_000;
const requestsMax = 10_000_000;
const streamsMax = 1_000_000;

const walSettings = {
  segmentBytes: {
    default: 64 * mebibyte,
    min: 64 * kibibyte,
    max: gibibyte,
    unit: 'bytes',
    words: 'of one file of the log, made ahead of its use',
  },
  quotaBytes: {
    default: 8 * gibibyte,
    min: 256 * kibibyte,
    max: Number.MAX_SAFE_INTEGER,
    unit: 'bytes',
    words: 'of log beyond which writes are refused; at least four segments',
  },
} as const satisfies Settings;

const limitsSettings = {
  pendingCommandsMax: {
    default: 65_536,
    min: 1,
    max: requestsMax,
    unit: 'count',
    words: 'writes received and not yet applied, in the log or not',
  },
  pendingCommandBytesMax: {
    default: 64 * mebibyte,
    min: 1,
    max: 4 * gibibyte,
    unit: 'bytes',
    words: 'of them',
  },
  pendingReadsMax: {
    default: 65_536,
    min: 1,
    max: requestsMax,
    unit: 'count',
    words: 'reads received and not yet answered',
  },
  clientsMax: {
    default: 10_000,
    min: 1,
    max: 1_000_000,
    unit: 'count',
    words: 'connections of clients; fewer where `ulimit -n` leaves no room for them, as the start says',
  },
  addressClientsPercent: {
    default: 25,
    min: 1,
    max: 100,
    unit: 'count',
    words: 'percent of them that may come from one address (of IPv6: /64) other than this machine',
  },
  connectionRequestsMax: {
    default: 32_768,
    min: 1,
    max: requestsMax,
    unit: 'count',
    words: 'requests of one connection not yet answered',
  },
  connectionStreamsMax: {
    default: 1_000,
    min: 1,
    max: streamsMax,
    unit: 'count',
    words: 'streams open on one connection',
  },
  streamsMax: {
    default: 100_000,
    min: 1,
    max: streamsMax,
    unit: 'count',
    words: 'streams open on this node',
  },
} as const satisfies Settings;

const storeSettings = {
  groupBytesMax: {
    default: 2 * mebibyte,
    min: 1,
    max: gibibyte,
    unit: 'bytes',
    words: 'the applied state is written to the store when this much has gathered …',
  },
  groupIntervalMs: {
    default: 100,
    min: 1,
    max: millisMax,
    unit: 'ms',
    words: '… or this long after the first of it, whichever comes first',
  },
} as const satisfies Settings;

const snapshotSettings = {
  logEntriesMax: {
    default: 100_000,
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    unit: 'count',
    words: 'the log is cut when it holds more entries than this …',
  },
  logBytesMax: {
    default: 256 * mebibyte,
    min: 64 * kibibyte,
    max: Number.MAX_SAFE_INTEGER,
    unit: 'bytes',
    words: '… or more bytes than this; half of `wal.quotaBytes` if that is less',
  },
  chunkBytes: {
    default: 200 * kibibyte,
    min: 4 * kibibyte,
    max: mebibyte,
    unit: 'bytes',
    words: 'of one piece of a snapshot on its way to a member',
  },
} as const satisfies Settings;

/** What a cluster file may say, by group. */
export const nodeSettings = {
  raft: raftSettings,
  wal: walSettings,
  limits: limitsSettings,
  store: storeSettings,
  snapshot: snapshotSettings,
} as const satisfies Readonly<Record<string, Settings>>;

export type SettingGroup = keyof typeof nodeSettings;

const sliceMs = {
  default: 2,
  min: 1,
  max: millisMax,
  unit: 'ms',
  words: 'longest stretch of applying or reading before other events are looked at',
} as const satisfies Setting;

export type WalConfig = ValuesOf<typeof walSettings>;

export type NodeConfig = {
  readonly [Group in SettingGroup]: ValuesOf<(typeof nodeSettings)[Group]>;
} & {
  /** Longest stretch of applying or reading before other events are looked at. Not in a cluster file. */
  readonly sliceMs: Millis;
};

export const defaultNodeConfig: NodeConfig = {
  raft: defaultsOf(nodeSettings.raft),
  wal: defaultsOf(nodeSettings.wal),
  limits: defaultsOf(nodeSettings.limits),
  store: defaultsOf(nodeSettings.store),
  snapshot: defaultsOf(nodeSettings.snapshot),
  sliceMs: sliceMs.default,
};

/** Throws `CONFIG` naming the first field out of its bounds. */
export function validateNodeConfig(config: NodeConfig): void {
  for (const [group, settings] of Object.entries(nodeSettings)) {
    checkSettings(`${group}.`, config[group as SettingGroup] as ValuesOf<Settings>, settings);
  }
  checkSettings('', { sliceMs: config.sliceMs }, { sliceMs });
  validateRaftConfig(config.raft);
  if (config.wal.quotaBytes < 4 * config.wal.segmentBytes) {
    const { quotaBytes } = config.wal;
    throw new KvorumError('CONFIG', `wal.quotaBytes must be at least four segments, not ${quotaBytes}`);
  }
}

/** The settings in which two configurations differ, as a cluster file names them. */
export function changedSettings(before: NodeConfig, after: NodeConfig): string[] {
  return (Object.keys(nodeSettings) as SettingGroup[]).flatMap((group) => {
    const [old, now]: ValuesOf<Settings>[] = [before[group], after[group]];
    const names = Object.keys(nodeSettings[group]).filter((name) => old?.[name] !== now?.[name]);
    return names.map((name) => `${group}.${name}`);
  });
}
