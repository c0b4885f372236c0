// One step of a member as text: the event, then, indented, what came of it. The text is the protocol itself,
// so that a scenario file reads like the paper.

import type { Output } from '../../src/raft/io.js';
import type { Message } from '../../src/raft/messages.js';
import type { LogEntry } from '../../src/raft/types.js';
import type { VirtualInput } from './virtual-cluster.js';

/** `index/term` of each entry, runs of a term shortened. */
export function entriesText(entries: readonly LogEntry[]): string {
  if (entries.length === 0) return 'none';
  return entries
    .map(({ index, term, kind }) => `${index}/${term}${kind === 'noop' ? '(noop)' : ''}`)
    .join(' ');
}

export function messageText(message: Message): string {
  return `${message.from}->${message.to} ${message.kind} term ${message.term}${detailText(message)}`;
}

function detailText(message: Message): string {
  switch (message.kind) {
    case 'preVote':
      return ` log ${message.lastLogIndex}/${message.lastLogTerm}`;
    case 'requestVote': {
      const log = ` log ${message.lastLogIndex}/${message.lastLogTerm}`;
      return message.leadershipTransfer ? `${log} for a transfer` : log;
    }
    case 'preVoteResult':
    case 'requestVoteResult':
      return message.voteGranted ? ' granted' : ' refused';
    case 'appendEntries': {
      const { prevLogIndex, prevLogTerm, entries, leaderCommit } = message;
      return ` prev ${prevLogIndex}/${prevLogTerm} entries ${entriesText(entries)} commit ${leaderCommit}`;
    }
    case 'appendEntriesResult': {
      if (message.success) return ` matches through ${message.matchIndex}`;
      return ` refused at ${message.matchIndex}, hint ${message.hintIndex}/${message.hintTerm}`;
    }
    case 'heartbeat':
      return ` round ${message.round} commit ${message.leaderCommit}`;
    case 'heartbeatResult':
      return ` round ${message.round}`;
    case 'historyDiffers':
      return ` at ${message.index}, here of term ${message.leaderTerm}`;
    case 'readIndex':
      return ` request ${message.requestId}`;
    case 'readIndexResult':
      return ` request ${message.requestId} at ${message.readIndex}`;
    case 'timeoutNow':
      return '';
    default:
      return message satisfies never;
  }
}

export function inputText(input: VirtualInput): string {
  switch (input.kind) {
    case 'message':
      return `receives ${messageText(input.message)}`;
    case 'propose':
      return `is asked to append ${input.proposals.length}`;
    case 'persisted':
      return `unit ${input.sequence} is durable`;
    case 'applied':
      return `applied through ${input.index}`;
    case 'entriesRead':
      return `the disk returns ${entriesText(input.entries)}`;
    case 'readIndex':
      return `read ${input.requestId} arrives`;
    case 'transferLeadership':
      return `is asked to hand over to ${input.to ?? 'anybody'}`;
    case 'peerDown':
      return `the link to ${input.peer} breaks`;
    case 'peerUp':
      return `the link to ${input.peer} opens`;
    case 'truncatePrefix':
      return `truncates its log through ${input.index}`;
    case 'snapshotEnded':
      return `the snapshot for ${input.peer} ${input.installed ? 'is installed' : 'was broken off'}`;
    case 'peerReset':
      return `learns that ${input.peer} has lost its log`;
    case 'caughtUp':
      return 'has caught up';
    case 'timeout':
      return 'timeout';
    default:
      return input satisfies never;
  }
}

/** What came of a step, one line each. */
export function outputLines(output: Output): string[] {
  const lines: string[] = [];
  if (output.proposal?.accepted === false) lines.push(`refuses: ${output.proposal.reason}`);
  if (output.persist !== undefined) lines.push(unitText(output, output.persist.sequence));
  for (const message of output.messages) lines.push(`sends ${messageText(message)}`);
  for (const message of output.messagesAfterPersist) lines.push(`sends when durable ${messageText(message)}`);
  if (output.committed.length > 0) lines.push(`applies ${entriesText(output.committed)}`);
  for (const { reader, firstIndex, lastIndex } of output.readEntries) {
    lines.push(
      `reads ${firstIndex} to ${lastIndex} from disk, ${reader.for === 'apply' ? 'to apply' : reader.peer}`,
    );
  }
  for (const peer of output.sendSnapshots) lines.push(`needs a snapshot sent to ${peer}`);
  for (const { requestId, readIndex } of output.reads) lines.push(`read ${requestId} at ${readIndex}`);
  for (const requestId of output.readsFailed) lines.push(`read ${requestId} fails`);
  return lines;
}

function unitText(output: Output, sequence: number): string {
  const parts: string[] = [];
  const { hardState, truncateSuffix, entries } = output;
  if (hardState !== undefined) {
    const { currentTerm, votedFor, commitIndex } = hardState;
    parts.push(`term ${currentTerm}, vote ${votedFor ?? 'none'}, commit ${commitIndex}`);
  }
  if (truncateSuffix !== undefined) parts.push(`remove from ${truncateSuffix}`);
  if (entries.length > 0) parts.push(`append ${entriesText(entries)}`);
  return `puts unit ${sequence} on disk: ${parts.join('; ')}`;
}
