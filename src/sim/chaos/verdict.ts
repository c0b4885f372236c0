// The judgement of a chaos run: every check with its result in words, and of all together the verdict. A run
// passes only when every check could be made and held; what could not be decided is never called good.

import { checkLinearizability } from '../checkers/linearizability.js';
import { counted } from './html.js';
import type { HistoryOperation } from '../history-file.js';
import type { ChaosEvidence } from './run.js';

export type CheckResult = 'holds' | 'violated' | 'undecided' | 'skipped';

export interface Check {
  readonly name: string;
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
  const checks = [linearizability(evidence), agreement(evidence), convergence(evidence), processes(evidence)];
  return { ...conclude(evidence, checks), checks };
}

function conclude(
  { interrupted, operations, faults }: ChaosEvidence,
  checks: readonly Check[],
): Pick<Verdict, 'result' | 'words'> {
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
  if (interrupted) {
    return { result: 'interrupted', words: `Cut short: what there is holds (${through}).` };
  }
  return {
    result: 'holds',
    words: `Every guarantee held: ${through}, no acknowledged write lost, none applied twice.`,
  };
}

function linearizability({ operations }: ChaosEvidence): Check {
  const name = 'linearizable';
  const found = checkLinearizability(operations, {
    budgetMs: linearizabilityBudgetMs,
    nowMs: () => performance.now(),
  });
  switch (found.result) {
    case 'linearizable': {
      const keys = new Set(operations.map(({ k }) => k)).size;
      const words =
        `for each of ${keys} keys there is one order of all operations, each between its call and its ` +
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
  }
}

/** Equal states at equal indexes, and one leader per term, at every look. */
function agreement({ problems, leaderships }: ChaosEvidence): Check {
  const name = 'replicas agree';
  if (problems.length > 0) return { name, result: 'violated', words: problems.join('; '), proof: [] };
  const words =
    'no two nodes reported different states at one index; ' +
    `one leader in each of ${leaderships.length} terms`;
  return { name, result: 'holds', words, proof: [] };
}

function convergence({ convergence: found, unreadKeys }: ChaosEvidence): Check {
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
      const words = `${unreadKeys.length} keys could not be read after all faults were over`;
      return { name, result: 'violated', words, proof: [] };
    }
  }
}

/** Nodes end when they are killed, or told to, or when a full disk leaves them no choice. */
function processes({ exits }: ChaosEvidence): Check {
  const name = 'nodes stay up';
  const unexpected = exits.filter(({ lastLine }) => !/ENOSPC|NO_SPACE/.test(lastLine));
  if (unexpected.length > 0) {
    const words = unexpected.map(({ nodeId, how, lastLine }) => `${nodeId} ended with ${how}: ${lastLine}`);
    return { name, result: 'violated', words: words.slice(0, 5).join('; '), proof: [] };
  }
  const full = exits.length === 0 ? '' : `, but for ${exits.length} times on a full disk`;
  return { name, result: 'holds', words: `no node ended by itself${full}`, proof: [] };
}
