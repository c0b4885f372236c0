// What people who operate a node see of snapshots and of catching up: figures for the metrics, and a line in
// the log while a member waits. Only shown: nothing may be decided by them.

import type { Report, Timers } from '../../base/env.js';
import type { NodeEvent } from '../events.js';
import type { Installer } from '../life/install.js';
import type { Member } from '../replica/replica.js';
import type { SnapshotSender } from './sender.js';

/** Since the start of the process. */
export interface SnapshotFigures {
  /** Snapshots that their receivers hold durably, and the keys and values of all that were begun. */
  readonly sent: number;
  readonly bytesSent: number;
  /** Snapshots that took the place of log and store, and the keys and values made durable for any. */
  readonly installed: number;
  readonly bytesReceived: number;
}

const catchingUpReportMs = 10_000;

/** `before`: what earlier members of the process have sent. */
export function figuresOf(
  before: Pick<SnapshotFigures, 'sent' | 'bytesSent'>,
  sender: SnapshotSender | undefined,
  installer: Installer | undefined,
): SnapshotFigures {
  return {
    sent: before.sent + (sender?.installed ?? 0),
    bytesSent: before.bytesSent + (sender?.bytesSent ?? 0),
    installed: installer?.installed ?? 0,
    bytesReceived: installer?.receiver.bytesWritten ?? 0,
  };
}

export const nothingSent: Pick<SnapshotFigures, 'sent' | 'bytesSent'> = { sent: 0, bytesSent: 0 };

/** Says every ten seconds what a member whose disk was damaged waits for, until it votes again. */
export function reportCatchingUp(
  env: { readonly timers: Timers; readonly report: Report<NodeEvent> },
  member: Pick<Member, 'raft' | 'isHalted'>,
): void {
  if (!member.raft.isCatchingUp) return;
  env.timers.set(catchingUpReportMs, () => {
    const { raft, isHalted } = member;
    if (isHalted || !raft.isCatchingUp) return;
    const { leaderId, appliedIndex, lastIndex } = raft;
    env.report({ kind: 'catchingUp', leaderId, appliedIndex, lastIndex });
    reportCatchingUp(env, member);
  });
}
