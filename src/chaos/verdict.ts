// The judgement of a chaos run: every check with its result in words, and of all together the verdict. A run
// passes only when every check could be made and held; what could not be decided is never called good.

import { assertNever } from '../base/assert.js';
import type { ErrorCode } from '../base/errors.js';
import { checkDurability, type FinalState } from '../sim/checkers/raft/durability.js';
import { checkExactlyOnce } from '../sim/checkers/clients/exactly-once.js';
import type { Finding } from '../sim/checkers/findings.js';
import { checkLinearizability } from '../sim/checkers/clients/linearizability.js';
import { checkByRevisions } from '../sim/checkers/clients/revisions.js';
import type { HistoryOperation } from '../sim/history/file.js';
import { isEffectiveWrite } from './report/figures.js';
import { counted, grouped } from './report/html.js';
import type { FaultRecord } from './faults/injector.js';
import { finalClient, type ChaosEvidence } from './run.js';

export type CheckResult = 'holds' | 'violated' | 'undecided' | 'skipped';

/** The check whose proofs are as small as can be. */
export const linearizableName = 'linearizable';

export interface Check {
  readonly name: string;
  /** What a violation would mean: a wrong answer, no answer in the end, or a process that ended. */
  readonly about: 'safety' | 'liveness' | 'processes';
  readonly result: CheckResult;
  /** What was found. */
  readonly words: string;
  /** Of a violation, the few operations that prove it; empty where it is not about operations. */
  readonly proof: readonly HistoryOperation[];
}

export interface Verdict {
  /** `interrupted`: what there is holds, but the run was cut short. */
  readonly result: 'holds' | 'violated' | 'undecided' | 'interrupted';
  /** One sentence. */
  readonly words: string;
  readonly checks: readonly Check[];
}

/** Keys of a run are retired before their histories grow; a search that takes longer than this is stuck. */
const linearizabilityBudgetMs = 120_000;

export function judge(evidence: ChaosEvidence): Verdict {
  const about = (kind: Check['about'], found: readonly Judged[]): Check[] =>
    found.map((check) => ({ ...check, about: kind }));
  const ofHistory = [linearizability, revisions, exactlyOnce, durability].map((check) => check(evidence));
  const checks = [
    ...about(
      'safety',
      ofHistory.map((check) => withLimits(evidence, check)),
    ),
    ...about('safety', [agreement(evidence), ...damage(evidence)]),
    ...about('liveness', [convergence(evidence)]),
    ...about('processes', [processes(evidence)]),
  ];
  return { ...conclude(evidence, checks), checks };
}

type Judged = Omit<Check, 'about'>;

function hasAnswers({ operations }: ChaosEvidence): boolean {
  return operations.some(({ out }) => out.st === 'ok');
}

/**
 * What holds of an empty history says nothing, and what is broken in one that lacks its last operations may
 * not be: the value that nobody wrote was perhaps written by one of them.
 */
function withLimits(evidence: ChaosEvidence, check: Judged): Judged {
  const { lostLoad } = evidence;
  if (check.result === 'holds' && !hasAnswers(evidence)) {
    return { ...check, result: 'skipped', words: 'no operation succeeded' };
  }
  if (check.result === 'violated' && lostLoad !== undefined) {
    const words = `${lostLoad}, and what it did last is not known; without that: ${check.words}`;
    return { ...check, result: 'undecided', words, proof: [] };
  }
  return check;
}

function conclude(evidence: ChaosEvidence, checks: readonly Check[]): Pick<Verdict, 'result' | 'words'> {
  const { interrupted, operations, faults, lostLoad } = evidence;
  const done = faults.filter((fault) => fault.done === 'done').length;
  const through = `${counted(operations.length, 'operation')} through ${counted(done, 'fault')}`;
  const violated = checks.filter((check) => check.result === 'violated');
  if (violated.length > 0) {
    const names = violated.map((check) => check.name).join(', ');
    return { result: 'violated', words: `A guarantee was broken: ${names} (${through}).` };
  }
  const undecided = checks.filter((check) => check.result === 'undecided');
  if (undecided.length > 0) {
    const names = undecided.map((check) => check.name).join(', ');
    return { result: 'undecided', words: `No violation was found, but not all could be decided: ${names}.` };
  }
  if (!hasAnswers(evidence)) {
    const nothing = `no operation succeeded (${through})`;
    if (interrupted) return { result: 'interrupted', words: `Cut short: ${nothing}.` };
    return { result: 'undecided', words: `Nothing was shown: ${nothing}.` };
  }
  if (interrupted) {
    const lost = lostLoad === undefined ? '' : `; ${lostLoad}`;
    return { result: 'interrupted', words: `Cut short: what there is holds (${through}${lost}).` };
  }
  return {
    result: 'holds',
    words: `Every guarantee held: ${through}, no acknowledged write lost, none applied twice.`,
  };
}

function linearizability({ operations }: ChaosEvidence): Judged {
  const name = linearizableName;
  const found = checkLinearizability(operations, {
    budgetMs: linearizabilityBudgetMs,
    nowMs: () => performance.now(),
  });
  switch (found.result) {
    case 'linearizable': {
      const keys = counted(new Set(operations.map(({ k }) => k)).size, 'key');
      const words =
        `for each of ${keys} there is one order of all operations, each between its call and its ` +
        'return, in which every answer is right';
      return { name, result: 'holds', words, proof: [] };
    }
    case 'violation':
      return {
        name,
        result: 'violated',
        words: `key ${JSON.stringify(found.key)}: ${found.explanation}`,
        proof: found.smallest,
      };
    case 'undecided':
      return {
        name,
        result: 'undecided',
        words: `key ${JSON.stringify(found.key)}: ${found.reason}`,
        proof: [],
      };
    default:
      return assertNever(found);
  }
}

/** The second opinion, by the revisions that answers name. */
function revisions({ operations }: ChaosEvidence): Judged {
  const words = 'every answer fits the revision that it names, and revisions respect real time';
  return judged('revisions', checkByRevisions(operations), words);
}

function exactlyOnce({ operations, finalRevision }: ChaosEvidence): Judged {
  const name = 'exactly once';
  const acknowledged = operations.filter(isEffectiveWrite).length;
  const unknown = operations.filter(({ op, out }) => op !== 'get' && out.st === 'unknown').length;
  const words = `${counted(acknowledged, 'acknowledged write')}, each with a revision of its own`;
  const check = judged(name, checkExactlyOnce(operations), words);
  if (check.result !== 'holds' || finalRevision === undefined) return check;
  const others = finalRevision - acknowledged;
  if (others < 0 || others > unknown) {
    const sum =
      `the store counts ${counted(finalRevision, 'write')}; ${grouped(acknowledged)} were acknowledged ` +
      `and ${grouped(unknown)} had an unknown outcome`;
    return { name, result: 'violated', words: sum, proof: [] };
  }
  const more = `${grouped(others)} more, of ${grouped(unknown)} of unknown outcome`;
  return { ...check, words: `${words}; the store counts ${more}` };
}

/** Against what was read when all faults were over. */
function durability({ operations, convergence, unreadKeys }: ChaosEvidence): Judged {
  const name = 'durable';
  const unread = new Set(unreadKeys);
  const final = new Map<string, FinalState>();
  for (const { c, k, out } of operations) {
    if (c !== finalClient) continue;
    final.set(k, { value: out.v ?? null, version: out.ver ?? 0, rev: out.mod ?? 0 });
  }
  const earlier = operations.filter(({ c, k }) => c !== finalClient && !unread.has(k));
  if (final.size === 0 && (convergence.kind !== 'converged' || unread.size > 0)) {
    const words = 'there was no final read to compare with';
    return { name, result: 'skipped', words, proof: [] };
  }
  const words = `no acknowledged write is missing in the final read of ${counted(final.size, 'key')}`;
  return judged(name, checkDurability(earlier, final), words);
}

function judged(name: string, findings: readonly Finding[], words: string): Judged {
  const [first] = findings;
  if (first === undefined) return { name, result: 'holds', words, proof: [] };
  const more = findings.length === 1 ? '' : ` (and ${findings.length - 1} more)`;
  return { name, result: 'violated', words: `${first.id}: ${first.message}${more}`, proof: first.operations };
}

/** Equal states at equal indexes, and one leader per term, at every look. */
function agreement({ problems, leaderships }: ChaosEvidence): Judged {
  const name = 'replicas agree';
  if (problems.length > 0) return { name, result: 'violated', words: problems.join('; '), proof: [] };
  if (leaderships.length === 0) return { name, result: 'skipped', words: 'no leader was seen', proof: [] };
  const led =
    leaderships.length === 1
      ? 'one leader, in one term'
      : `one leader in each of ${leaderships.length} terms`;
  const words = `no two nodes reported different states at one index; ${led}`;
  return { name, result: 'holds', words, proof: [] };
}

function convergence({ convergence: found, unreadKeys }: ChaosEvidence): Judged {
  const name = 'recovers';
  switch (found.kind) {
    case 'skipped':
      return { name, result: 'skipped', words: 'the run was interrupted before', proof: [] };
    case 'not':
      return {
        name,
        result: 'violated',
        words: `the nodes did not come to one state ${found.reason}`,
        proof: [],
      };
    case 'converged': {
      const seconds = (found.afterMs / 1_000).toFixed(1);
      if (unreadKeys.length === 0) {
        const words = `all nodes had one state hash at one index ${seconds} s after the load ended`;
        return { name, result: 'holds', words, proof: [] };
      }
      const words = `${counted(unreadKeys.length, 'key')} could not be read after all faults were over`;
      return { name, result: 'violated', words, proof: [] };
    }
    default:
      return assertNever(found);
  }
}

/** Nodes end when they are killed, or told to, or when a full or rotten disk leaves them no choice. */
function processes({ exits, faults }: ChaosEvidence): Judged {
  const name = 'nodes stay up';
  const rotten = new Set(
    faults.flatMap(({ kind, nodes, done }) => (kind === 'rot' && done === 'done' ? nodes : [])),
  );
  const unexpected = exits.filter(({ nodeId, failure }) => {
    const isRotten = rotten.has(nodeId) && failure?.code === ('CORRUPT' satisfies ErrorCode);
    return failure?.isOutOfSpace !== true && !isRotten;
  });
  if (unexpected.length > 0) {
    const words = unexpected.map(({ nodeId, how, lastLine }) => `${nodeId} ended with ${how}: ${lastLine}`);
    return { name, result: 'violated', words: words.slice(0, 5).join('; '), proof: [] };
  }
  const forced =
    exits.length === 0 ? '' : `, but for ${counted(exits.length, 'time')} on a full or rotten disk`;
  return { name, result: 'holds', words: `no node ended by itself${forced}`, proof: [] };
}

/** Synced bytes that have changed must be noticed by the node that reads them, however small the change. */
function damage({ faults, noticed, interrupted }: ChaosEvidence): Judged[] {
  const name = 'damage is noticed';
  const done = faults.filter((fault) => fault.kind === 'damage' && fault.done === 'done');
  if (done.length === 0) return [];
  const missed = done.filter(({ nodes, fromNs }) => {
    const next = Math.min(
      ...done.filter((other) => isLater(other, nodes, fromNs)).map((other) => other.fromNs),
    );
    return !noticed.some(({ nodeId, atNs }) => nodes.includes(nodeId) && atNs > fromNs && atNs < next);
  });
  if (missed.length > 0 && !interrupted) {
    const words = missed.map(({ words: what }) => what).join('; ');
    return [{ name, result: 'violated', words: `not noticed: ${words}`, proof: [] }];
  }
  const words = `${counted(done.length, 'damaged log')} noticed and replaced from the other nodes`;
  return [{ name, result: missed.length > 0 ? 'skipped' : 'holds', words, proof: [] }];
}

function isLater({ nodes, fromNs }: FaultRecord, of: readonly string[], afterNs: number): boolean {
  return fromNs > afterNs && nodes.some((node) => of.includes(node));
}
