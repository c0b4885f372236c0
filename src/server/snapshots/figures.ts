// What people who operate a node see of snapshots and of catching up: figures for the metrics, and a line in
// the log while a member waits. Only shown: nothing may be decided by them.

import type { Report, Timers } from '../../base/env.js';
import type { NodeEvent } from '../events.js';
import type { Raft } from '../../raft/raft.js';

/** Since the start of the process. */
export interface SnapshotFigures {
  /** Keys and values of all snapshots that were begun, and of those made durable here. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

type CatchingUp = Pick<Raft, 'isCatchingUp' | 'leaderId' | 'appliedIndex' | 'lastIndex'>;

const catchingUpReportMs = 10_000;

type Sent = Pick<SnapshotFigures, 'bytesSent'>;

/** A replica that runs, and what those before it in this process have sent. */
export interface SnapshotSource {
  readonly sentBefore: Sent;
  readonly replica: { readonly sender: { readonly bytesSent: number } };
  readonly installer: { readonly receiver: { readonly bytesWritten: number } };
}

/** All that this process has sent through the replica that runs; nothing before the first one. */
export function sentThrough(source: Omit<SnapshotSource, 'installer'> | undefined): Sent {
  if (source === undefined) return { bytesSent: 0 };
  const { sentBefore, replica } = source;
  return { bytesSent: sentBefore.bytesSent + replica.sender.bytesSent };
}

export function figuresOf(source: SnapshotSource | undefined): SnapshotFigures {
  return {
    ...sentThrough(source),
    bytesReceived: source?.installer.receiver.bytesWritten ?? 0,
  };
}

/** Says every ten seconds what a member whose disk was damaged waits for, until it votes again. */
export function reportCatchingUp(
  env: { readonly timers: Timers; readonly report: Report<NodeEvent> },
  replica: { readonly raft: CatchingUp; readonly isHalted: boolean },
): void {
  if (!replica.raft.isCatchingUp) return;
  env.timers.set(catchingUpReportMs, () => {
    const { raft, isHalted } = replica;
    if (isHalted || !raft.isCatchingUp) return;
    const { leaderId, appliedIndex, lastIndex } = raft;
    env.report({ kind: 'catchingUp', leaderId, appliedIndex, lastIndex });
    reportCatchingUp(env, replica);
  });
}
