// How each event reads in the log of a node. People read these lines; no program may: the kind of the event
// stands beside the text in each line (event-log.ts).

import type { LogFields } from '../../base/env.js';
import type { EventOf, NodeEvent, NodeEventKind } from '../events.js';

export interface EventLine<E extends NodeEvent> {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  text(event: E): string;
  /** Beside the text; without it: all that the event holds. */
  fields?(event: E): LogFields;
  /**
   * What it comes from, such as a peer or a disk, when that can cause it without end: of each, one line is
   * written in a while, with how many there were beside it. Without it the kind as a whole counts, and a few
   * more lines of it are written.
   */
  source?(event: E): string;
  /**
   * Whoever reaches the port can cause it, as often and from as many places as he likes: the kind as a whole
   * counts, and few lines of it are written.
   */
  readonly byAnyone?: true;
}

/** Why a staging store goes that nothing went wrong with. */
export const whyRemoved: Readonly<Record<EventOf<'stagingRemoved'>['why'], string>> = {
  idle: 'nothing came for it',
  unneeded: 'it is not needed any more',
};

const none = (): LogFields => ({});
const ofDisk = (): string => 'disk';
const ofPeer = ({ peer }: { readonly peer: string }): string => peer;
const detailsOf = ({ details }: { readonly details: LogFields }): LogFields => ({ ...details });

const eventLines = {
  // The process.
  nodeStarted: { level: 'info', text: () => 'node started' },
  ownNameUnknown: {
    level: 'warn',
    text: () => 'the name this node is to listen on is not known here yet; it is asked for again',
    source: ({ listen }) => listen,
  },
  descriptorsPlanned: {
    level: 'info',
    text: ({ clientsMax, isWhole, limit, limitFrom, reserved }) => {
      const rest = `of ${limit} files and sockets that this process may have open (says ${limitFrom})`;
      const fact = `at most ${clientsMax} clients at once: ${rest}, ${reserved} are reserved`;
      return isWhole ? `${fact}; limits.clientsMax holds` : `${fact}; raise ulimit -n for more clients`;
    },
    fields: ({ clientsMax, strangersMax, reserved, limit }) => ({
      clientsMax,
      strangersMax,
      reserved,
      limit,
    }),
  },
  nodeFailed: {
    level: 'error',
    text: ({ message }) => `the node stops: ${message}`,
    fields: ({ code, isOutOfSpace, stack }) => ({ code, isOutOfSpace, stack }),
  },
  diskUnanswered: {
    level: 'warn',
    text: () => 'the disk has not answered yet: the data folder stays locked until it does',
  },
  logLinesLost: {
    level: 'warn',
    text: ({ lines }) =>
      `${lines.toLocaleString('en')} lines of this log were lost: they came faster than they were read`,
  },
  folderNotClosed: { level: 'warn', text: () => 'the folder cannot be closed' },
  // Becoming part of a cluster.
  formingWaits: {
    level: 'info',
    text: () => 'the cluster is not formed yet; members have not been heard',
  },
  replicaStarted: { level: 'info', text: () => 'member of a formed cluster' },
  fileListsNoMember: {
    level: 'warn',
    text: () => 'the cluster file lists a node that is not a member; editing the file adds no member',
  },
  fileMovesMember: {
    level: 'warn',
    text: () => 'the cluster file gives a member another address than at the first start; it is used',
  },
  clusterFileRead: { level: 'info', text: () => 'the cluster file was read again' },
  clusterFileRefused: {
    level: 'error',
    text: () => 'the cluster file was read again and is refused; the node goes on as before',
  },
  memberMoved: { level: 'info', text: () => 'a member has another address from now on' },
  settingsNeedRestart: {
    level: 'warn',
    text: () => 'the cluster file changes what is only taken at the next start of this node',
  },
  // Damage.
  damageNoted: {
    level: 'error',
    text: () => 'the next start replaces what is damaged with the data of the other members',
    fields: ({ damage }) => ({ ...damage }),
  },
  damageNotNoted: {
    level: 'error',
    text: ({ error }) => `that cannot be noted for the next start: ${error}`,
    fields: ({ damage }) => ({ ...damage }),
  },
  damageFound: {
    level: 'error',
    text: ({ damage, keepsStore, missing }) => {
      const kept = keepsStore ? 'its store is intact and kept' : 'all data comes from the other members';
      const now = `the node takes no part until it has heard from ${missing.join(', ')}; ${kept}`;
      return `this member recovers: ${damage.message}; ${now}`;
    },
    fields: ({ damage, missing }) => ({ damaged: damage.what, folder: damage.name, missing }),
  },
  repairWaits: {
    level: 'warn',
    text: ({ missing }) => `still recovering: start ${missing.join(', ')}, or replace what is lost for good`,
  },
  repairImpossible: {
    level: 'error',
    text: ({ damaged }) => {
      const fact = `${damaged.join(', ')} lost their data too, and what is left is no majority`;
      return `still recovering: ${fact}; restore one of their data folders`;
    },
  },
  repairBegins: {
    level: 'info',
    text: ({ what, term }) => {
      const next = `this node takes entries from term ${term} on, and votes again when it has caught up`;
      return `all members were heard: the damaged ${what} is replaced; ${next}`;
    },
    fields: ({ term }) => ({ term }),
  },
  repairHasNoRoom: {
    level: 'error',
    text: ({ error, againMs }) => {
      const advice = `it is tried again every ${againMs} ms: free the disk`;
      return `no room on the disk to replace what is damaged: ${error}; ${advice}`;
    },
    fields: none,
    source: ofDisk,
  },
  catchingUp: {
    level: 'info',
    text: ({ leaderId, appliedIndex }) => {
      const waits = leaderId === undefined ? 'no leader is known' : `node ${leaderId} leads`;
      return `still catching up and not voting: ${waits}, applied through ${appliedIndex}`;
    },
    fields: ({ leaderId = null, appliedIndex, lastIndex }) => ({ leaderId, appliedIndex, lastIndex }),
  },
  votesAgain: {
    level: 'info',
    text: () => 'this member holds everything again that it may have acknowledged: it votes from now on',
  },
  peerReset: {
    level: 'warn',
    text: ({ peer }) =>
      `node ${peer} has lost what it acknowledged: its disk was damaged; it is supplied anew`,
  },
  // Members that do not hold the same.
  historiesDiffer: {
    level: 'error',
    text: ({ contradiction: { memberId, leaderId, index, term } }) => {
      const fact = `node ${memberId} holds entry ${index} as committed`;
      const cause = 'the disk of a member was set back, and acknowledged writes are lost';
      return `${fact}, and the log of node ${leaderId}, which leads term ${term}, differs: ${cause}`;
    },
    fields: ({ contradiction }) => ({ ...contradiction }),
    source: ({ contradiction: { memberId } }) => memberId,
  },
  stateHashesDiffer: {
    level: 'error',
    text: ({ difference: { index, hashes } }) => {
      const list = hashes.map(([node, hash]) => `${node} ${hash}`).join(', ');
      return `members differ in their state after entry ${index}: ${list}; who differs from a majority stops`;
    },
    fields: ({ difference: { index } }) => ({ index }),
  },
  stateHashesAgree: {
    level: 'info',
    text: ({ index }) => `all members have the same state again, after entry ${index}`,
  },
  // Leadership.
  electionBegun: { level: 'info', text: ({ term }) => `this node stands for election in term ${term}` },
  leaderChanged: {
    level: 'info',
    text: ({ leaderId, isLeader }) => {
      if (isLeader) return 'this node leads';
      return leaderId === undefined ? 'no leader' : `node ${leaderId} leads`;
    },
    fields: ({ leaderId = null, term }) => ({ leaderId, term }),
  },
  noLeader: {
    level: 'warn',
    text: ({ forMs, reasons }) => `no leader for ${forMs} ms: ${reasons}`,
    fields: ({ forMs }) => ({ forMs }),
  },
  // Slowness.
  diskSlow: {
    level: 'warn',
    text: ({ syncMs }) => `the disk is slow: a sync took ${syncMs} ms; writes take as long`,
    source: ofDisk,
  },
  diskHung: {
    level: 'error',
    text: ({ forMs }) => `the disk hangs: a sync has taken ${forMs} ms so far; this node does not lead now`,
    source: ofDisk,
  },
  diskQuick: { level: 'info', text: () => 'the disk is quick again', source: ofDisk },
  roundTripLong: {
    level: 'warn',
    text: ({ peer, roundTripMs, electionTimeoutMsMin }) => {
      const fact = `a round trip to node ${peer} takes ${roundTripMs} ms`;
      const limit = `more than a third of raft.electionTimeoutMsMin, ${electionTimeoutMsMin} ms`;
      const advice = `set that to ${10 * roundTripMs} and its maximum to twice as much on all nodes`;
      return `${fact}, ${limit}: ${advice}`;
    },
    source: ofPeer,
  },
  handsOverForRoom: { level: 'warn', text: () => 'disk nearly full: leadership is handed over' },
  // The format level.
  formatRaised: { level: 'info', text: ({ from, to }) => `the format level goes from ${from} to ${to}` },
  formatRaiseRefused: {
    level: 'warn',
    text: ({ level, reason }) => `format level ${level} is refused: ${reason}`,
    fields: ({ level, code }) => ({ level, code }),
    byAnyone: true,
  },
  // Space.
  diskNearlyFull: { level: 'warn', text: () => 'disk nearly full: puts are refused' },
  diskHasRoom: { level: 'warn', text: () => 'the disk has room again' },
  stagingRoomLow: {
    level: 'warn',
    text: () =>
      'disk nearly full: no snapshot is received, and this member cannot catch up; ' +
      'it goes on when there is room',
    source: ofDisk,
  },
  stagingHasRoom: {
    level: 'info',
    text: () => 'the disk has room again: snapshots are received',
    source: ofDisk,
  },
  logRoomLow: { level: 'warn', text: () => 'no room to prepare the next log segment' },
  logRoomAgain: { level: 'info', text: () => 'the log has room again' },
  // Links.
  peerLinkClosed: {
    level: 'warn',
    text: ({ message }) => `peer link closed: ${message}`,
    byAnyone: true,
    fields: ({ link, code }) => ({ link, code }),
  },
  peerTwice: {
    level: 'error',
    text: ({ peer }) => `two processes of node ${peer} run, one on a copy of its data folder: stop that one`,
    fields: ({ peer }) => ({ peer }),
    source: ofPeer,
  },
  termRefused: {
    level: 'error',
    text: ({ peer, term, known }) => {
      const fact = `node ${peer} named term ${term}, far above ${known}`;
      return `${fact}: not followed unless it greets with it; if this repeats, check its memory and network`;
    },
    fields: ({ peer, term, known }) => ({ peer, term, known }),
    source: ofPeer,
  },
  frameNotEncoded: { level: 'error', text: () => 'a frame cannot be encoded' },
  streamFailed: {
    level: 'error',
    text: ({ reason }) => `a stream failed: ${reason}`,
    source: ({ topic }) => topic,
  },
  clientClosed: {
    level: 'debug',
    text: ({ message }) => `client connection closed: ${message}`,
    fields: ({ link, code }) => ({ link, code }),
  },
  peerUnreachable: { level: 'debug', text: () => 'peer cannot be reached' },
  linkGone: { level: 'debug', text: () => 'link is gone' },
  httpServerFailed: { level: 'error', text: () => 'HTTP server failed' },
  httpRequestFailed: { level: 'error', text: () => 'HTTP request failed', byAnyone: true },
  // Snapshots.
  snapshotSendBegun: {
    level: 'info',
    text: ({ peer }) => `a snapshot is sent to node ${peer}`,
    source: ofPeer,
  },
  snapshotDelivered: { level: 'info', text: ({ peer }) => `node ${peer} holds the snapshot` },
  snapshotSendFailed: {
    level: 'warn',
    text: ({ peer, reason }) => `the snapshot for node ${peer} ended: ${reason}`,
    fields: ({ peer, sendingId, bytesSent }) => ({ peer, sendingId, bytesSent }),
    source: ofPeer,
  },
  snapshotOffered: {
    level: 'info',
    text: ({ peer }) => `node ${peer} sends a snapshot`,
    source: ofPeer,
  },
  snapshotOfferUnneeded: {
    level: 'debug',
    text: ({ peer }) => `the snapshot that node ${peer} offers is not needed`,
    source: ofPeer,
  },
  snapshotReceiveFailed: {
    level: 'warn',
    text: ({ peer, reason }) => `the snapshot from node ${peer} ended: ${reason}`,
    fields: ({ peer, sendingId }) => ({ peer, sendingId }),
    source: ofPeer,
  },
  snapshotArrived: { level: 'info', text: () => 'a snapshot has arrived in full' },
  stagingDamaged: {
    level: 'error',
    text: ({ error }) => `the staging store is removed: ${error}`,
    fields: detailsOf,
  },
  stagingHasNoRoom: {
    level: 'warn',
    text: ({ error }) => `the staging store is removed to make room: ${error}`,
    fields: detailsOf,
  },
  stagingFailed: {
    level: 'warn',
    text: ({ error }) => `the staging store is closed: ${error}`,
    fields: detailsOf,
  },
  stagingNotEnded: {
    level: 'warn',
    text: ({ error }) => `ending the staging store: ${error}`,
    fields: none,
  },
  stagingRemoved: {
    level: 'info',
    text: ({ why }) => `the staging store was removed: ${whyRemoved[why]}`,
    fields: none,
  },
  snapshotInstalling: {
    level: 'info',
    text: () => 'a snapshot is being installed: it takes the place of the log and the store',
  },
  snapshotInstalled: { level: 'info', text: () => 'the snapshot is installed' },
  snapshotUnneeded: {
    level: 'info',
    text: () => 'the snapshot is not needed: the log has come as far by itself',
  },
  snapshotUnusable: {
    level: 'error',
    text: ({ error }) => `the snapshot is not used: ${error}`,
    fields: ({ store }) => ({ store }),
  },
  installHasNoRoom: {
    level: 'error',
    text: ({ error }) => {
      const advice = 'the member goes on without it, and tries again: free the disk';
      return `no room to install a snapshot: ${error}; ${advice}`;
    },
    fields: ({ store }) => ({ store }),
  },
  snapshotNotRemoved: {
    level: 'warn',
    text: ({ error }) => `the snapshot cannot be removed: ${error}`,
    fields: none,
  },
  unusedStoreNotRemoved: {
    level: 'warn',
    text: ({ error }) => `a store that is not in use cannot be removed: ${error}`,
    fields: none,
  },
  // The data folder, and the log in it.
  folderNarrowed: {
    level: 'warn',
    text: ({ mode }) =>
      `the data folder was open to other accounts (mode ${mode}); it is 0700 now: ` +
      'whoever could read it before may have',
    fields: ({ directory }) => ({ directory }),
  },
  folderOpenToOthers: {
    level: 'warn',
    text: ({ mode, error }) =>
      `the data folder is open to other accounts (mode ${mode}) and cannot be narrowed: ${error}; ` +
      'use a folder that this account owns',
    fields: ({ directory }) => ({ directory }),
  },
  descriptorsShort: {
    level: 'warn',
    text: ({ action, errno }) =>
      `no file descriptor to ${action} (${errno}): it is tried again; raise ulimit -n if this comes often`,
    source: ofDisk,
  },
  descriptorsAgain: {
    level: 'info',
    text: () => 'there are file descriptors again',
    source: ofDisk,
  },
  tornTailCut: { level: 'warn', text: () => 'cut off what a crash left of the last write to the log' },
} satisfies { readonly [K in NodeEventKind]: EventLine<EventOf<K>> };

/** What whoever reaches the port can cause in the log. */
export type KindByAnyone = {
  [K in NodeEventKind]: (typeof eventLines)[K] extends { readonly byAnyone: true } ? K : never;
}[NodeEventKind];

const lineOfKind: { readonly [K in NodeEventKind]: EventLine<EventOf<K>> } = eventLines;

export const nodeEventKinds = Object.keys(eventLines) as readonly NodeEventKind[];

export function lineOf(event: NodeEvent): EventLine<NodeEvent> {
  return lineOfKind[event.kind];
}
