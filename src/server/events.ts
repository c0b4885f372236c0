// Everything that happens in a node and that somebody outside may want to know: the people who operate it,
// its metrics, the simulator, a chaos run. Lines of the log, counters, coverage marks and planned crashes are
// made from these, never from one another, and nothing in a node is decided by who listens. How an event
// reads is said in one place (operate/event-lines.ts).

import type { LinkId, Millis, NodeEnv, NodeId } from '../base/env.js';
import type { Contradiction } from '../raft/io.js';
import type { LogIndex, Term } from '../raft/types.js';
import type { HashDifference } from './replica/hash-comparison.js';
import type { StorageEvent } from '../storage/events.js';
import type { Damage } from '../storage/folder/damage.js';
import type { TransportEvent } from '../transport/events.js';

/** From the start of the process to its end. */
type ProcessEvent =
  | {
      readonly kind: 'nodeStarted';
      /** What others are told, and where it binds. */
      readonly address: string;
      readonly listen: string;
      readonly dataDirectory: string;
    }
  /** The own name is not known yet; it is asked for again. */
  | { readonly kind: 'ownNameUnknown'; readonly listen: string; readonly error: string }
  /** How many of the descriptors that this process may have are for whom. */
  | {
      readonly kind: 'descriptorsPlanned';
      readonly clientsMax: number;
      /** That is what the settings say; else it is what the limit leaves. */
      readonly isWhole: boolean;
      readonly strangersMax: number;
      readonly reserved: number;
      readonly limit: number;
      readonly limitFrom: string;
    }
  /** An error that stops the node. */
  | {
      readonly kind: 'nodeFailed';
      readonly code: string;
      readonly message: string;
      readonly stack: string;
      /** The disk, or its quota, had no room for what the node could not do without. */
      readonly isOutOfSpace: boolean;
    }
  /** The end waits for the disk; the data folder stays locked until it answers. */
  | { readonly kind: 'diskUnanswered' }
  | { readonly kind: 'folderNotClosed'; readonly error: string }
  /** The log had no room for them; now it has. */
  | { readonly kind: 'logLinesLost'; readonly lines: number };

/** How a node becomes part of its cluster. */
type FormingEvent =
  | { readonly kind: 'formingWaits'; readonly missing: readonly NodeId[] }
  /** Takes part: after forming, after a restart, and on each new store and log. */
  | { readonly kind: 'replicaStarted'; readonly clusterId: string }
  | { readonly kind: 'fileListsNoMember'; readonly nodeId: NodeId }
  | {
      readonly kind: 'fileMovesMember';
      readonly nodeId: NodeId;
      /** The address of the cluster file, and the one at the first start. */
      readonly file: string;
      readonly formed: string;
    };

/** The cluster file, while the node runs. */
type FileEvent =
  | { readonly kind: 'clusterFileRead' }
  /** It changed nothing. */
  | { readonly kind: 'clusterFileRefused'; readonly error: string }
  | { readonly kind: 'memberMoved'; readonly nodeId: NodeId; readonly from: string; readonly to: string }
  /** What it says otherwise than at the start, and is not taken before the next one. */
  | { readonly kind: 'settingsNeedRestart'; readonly settings: readonly string[] };

/** Members do not hold the same: an alarm. */
type DivergenceEvent =
  /** A member's committed entry is not in its leader's log; told by both, and the member stops. */
  | { readonly kind: 'historiesDiffer'; readonly contradiction: Contradiction }
  /** After the same entry members have other state hashes; told by each one that has compared. */
  | { readonly kind: 'stateHashesDiffer'; readonly difference: HashDifference }
  | { readonly kind: 'stateHashesAgree'; readonly index: LogIndex };

/** Damage of a disk, and what is done about it. */
type DamageEvent =
  | { readonly kind: 'damageNoted'; readonly damage: Damage }
  | { readonly kind: 'damageNotNoted'; readonly damage: Damage; readonly error: string }
  /** At its start a member takes its log or store for damaged, and waits for the others. */
  | {
      readonly kind: 'damageFound';
      readonly damage: Damage;
      /** The store is intact. */
      readonly keepsStore: boolean;
      readonly missing: readonly NodeId[];
    }
  | { readonly kind: 'repairWaits'; readonly missing: readonly NodeId[]; readonly damaged: readonly NodeId[] }
  /** Everybody was heard, and too many have lost their data. */
  | { readonly kind: 'repairImpossible'; readonly damaged: readonly NodeId[] }
  /** All others were heard: what is damaged is replaced from here on. */
  | { readonly kind: 'repairBegins'; readonly what: Damage['what']; readonly term: Term }
  | { readonly kind: 'repairHasNoRoom'; readonly error: string; readonly againMs: Millis }
  | {
      readonly kind: 'catchingUp';
      readonly leaderId: NodeId | undefined;
      readonly appliedIndex: LogIndex;
      readonly lastIndex: LogIndex;
    }
  | { readonly kind: 'votesAgain' }
  /** Another member has lost what it acknowledged. */
  | { readonly kind: 'peerReset'; readonly peer: NodeId };

type LeadershipEvent =
  /** This node asks the others for their votes. */
  | { readonly kind: 'electionBegun'; readonly term: Term }
  | {
      readonly kind: 'leaderChanged';
      readonly leaderId: NodeId | undefined;
      readonly term: Term;
      readonly isLeader: boolean;
    }
  /** The disk of this node, which leads, is nearly full: another member is to lead. */
  | { readonly kind: 'handsOverForRoom' }
  /** There is none for longer than an election takes: what stands in the way, as this node sees it. */
  | { readonly kind: 'noLeader'; readonly forMs: Millis; readonly reasons: string };

/** Slow, not dead: what an operator should know before it is worse. */
type SlownessEvent =
  | { readonly kind: 'diskSlow'; readonly syncMs: Millis }
  /** One sync has been under way for longer than `raft.diskHungMs`. */
  | { readonly kind: 'diskHung'; readonly forMs: Millis }
  | { readonly kind: 'diskQuick' }
  /** More than a third of the shortest election timeout. */
  | {
      readonly kind: 'roundTripLong';
      readonly peer: NodeId;
      readonly roundTripMs: Millis;
      readonly electionTimeoutMsMin: Millis;
    };

type FormatEvent =
  /** The state of this member went to another format level. */
  | { readonly kind: 'formatRaised'; readonly from: number; readonly to: number; readonly index: LogIndex }
  /** This node was asked to raise it, and does not propose that. */
  | {
      readonly kind: 'formatRaiseRefused';
      readonly level: number;
      readonly code: string;
      readonly reason: string;
    };

type SpaceEvent =
  | { readonly kind: 'diskNearlyFull'; readonly freeBytes: number }
  | { readonly kind: 'diskHasRoom'; readonly freeBytes: number }
  /** While it is so, each look at the disk: no snapshot is received. */
  | { readonly kind: 'stagingRoomLow'; readonly freeBytes: number; readonly keptFreeBytes: number }
  | { readonly kind: 'stagingHasRoom'; readonly freeBytes: number; readonly keptFreeBytes: number };

type LinkEvent =
  | {
      readonly kind: 'peerLinkClosed';
      readonly link: LinkId;
      readonly code: string;
      readonly message: string;
    }
  /** Two processes of one member are alive: its data folder was copied. */
  | { readonly kind: 'peerTwice'; readonly peer: NodeId }
  /** A message named a term too far above all that is known: a wrong bit, rather than elections. */
  | { readonly kind: 'termRefused'; readonly peer: NodeId; readonly term: Term; readonly known: Term }
  /** A frame for a client was made that has no bytes. */
  | {
      readonly kind: 'frameNotEncoded';
      readonly link: LinkId;
      readonly frame: string;
      readonly reason: string;
    }
  /** A topic did to a stream what no topic may do. */
  | { readonly kind: 'streamFailed'; readonly topic: string; readonly reason: string }
  | {
      readonly kind: 'clientClosed';
      readonly link: LinkId;
      readonly code: string;
      readonly message: string;
    };

/** At the leader, which sends. */
type SnapshotSendEvent =
  | { readonly kind: 'snapshotSendBegun'; readonly peer: NodeId; readonly sendingId: number }
  /** The peer holds it durably. */
  | {
      readonly kind: 'snapshotDelivered';
      readonly peer: NodeId;
      readonly sendingId: number;
      readonly index: LogIndex;
      readonly bytesSent: number;
    }
  | {
      readonly kind: 'snapshotSendFailed';
      readonly peer: NodeId;
      readonly sendingId: number;
      readonly bytesSent: number;
      readonly reason: string;
    };

/** At the member that receives. `peer` sends. */
type SnapshotReceiveEvent =
  | {
      readonly kind: 'snapshotOffered';
      readonly peer: NodeId;
      readonly sendingId: number;
      readonly index: LogIndex;
    }
  /** Refused: the own log and store have it all. */
  | { readonly kind: 'snapshotOfferUnneeded'; readonly peer: NodeId; readonly index: LogIndex }
  | {
      readonly kind: 'snapshotReceiveFailed';
      readonly peer: NodeId;
      readonly sendingId: number;
      readonly reason: string;
    }
  | ({ readonly kind: 'snapshotArrived' } & Staged)
  | ({ readonly kind: 'stagingDamaged' } & StagingFailure)
  | ({ readonly kind: 'stagingHasNoRoom' } & StagingFailure)
  | ({ readonly kind: 'stagingFailed' } & StagingFailure)
  | { readonly kind: 'stagingNotEnded'; readonly error: string }
  | { readonly kind: 'stagingRemoved'; readonly why: 'idle' | 'unneeded' };

/** What replaces log and store. */
type InstallEvent =
  /** The replica ends: another one takes its place from here on. */
  | ({ readonly kind: 'snapshotInstalling' } & Staged)
  | ({ readonly kind: 'snapshotInstalled' } & Staged)
  /** It arrived, and the log has come as far by itself. */
  | { readonly kind: 'snapshotUnneeded'; readonly index: LogIndex }
  | { readonly kind: 'snapshotUnusable'; readonly store: string; readonly error: string }
  | { readonly kind: 'installHasNoRoom'; readonly store: string; readonly error: string }
  | { readonly kind: 'snapshotNotRemoved'; readonly error: string }
  | { readonly kind: 'unusedStoreNotRemoved'; readonly error: string };

/** A snapshot that is whole, in the store of this name. */
interface Staged {
  readonly store: string;
  readonly index: LogIndex;
  readonly term: Term;
}

export interface StagingFailure {
  readonly error: string;
  /** Where, as the store says it. */
  readonly details: Readonly<Record<string, unknown>>;
}

export type NodeEvent =
  | ProcessEvent
  | FormingEvent
  | FileEvent
  | DamageEvent
  | DivergenceEvent
  | LeadershipEvent
  | SlownessEvent
  | FormatEvent
  | SpaceEvent
  | LinkEvent
  | SnapshotSendEvent
  | SnapshotReceiveEvent
  | InstallEvent
  | StorageEvent
  | TransportEvent;

export type NodeEventKind = NodeEvent['kind'];

/** The event of one kind. */
export type EventOf<K extends NodeEventKind> = Extract<NodeEvent, { readonly kind: K }>;

/** What the code of a node knows of the outside, and where it tells what happens. */
export type ServerEnv = NodeEnv<NodeEvent>;
