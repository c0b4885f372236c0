// What the command `sim` and its worker threads say to each other, and what a run comes to. Plain data.

import type { InvariantId } from '../../sim/checkers/violations.js';
import type { Divergence } from '../../sim/run/determinism.js';
import type { PlanOptions } from '../../sim/plan/draw.js';
import type { Plan } from '../../sim/plan/plan.js';
import type { ShrinkProgress } from '../../sim/run/shrink.js';
import type { SimulationResult } from '../../sim/run/simulator.js';

/** One thing for a worker to do; it answers with one `RunReport` or `ShrinkReport`, or with `error`. */
export type Job =
  /** `verify`: run it twice and compare, also when nothing broke. */
  | {
      readonly kind: 'seed';
      readonly seed: number;
      readonly options: PlanOptions;
      readonly verify: boolean;
    }
  | { readonly kind: 'plan'; readonly plan: Plan; readonly detail: 'words' | 'full' }
  /** Runs the plan and writes its trace as lines of JSON. */
  | { readonly kind: 'record'; readonly plan: Plan; readonly path: string }
  | { readonly kind: 'shrink'; readonly plan: Plan; readonly secondsMax: number };

/** What a run came to. */
export interface RunReport {
  readonly seed: number;
  readonly hash: string;
  readonly events: number;
  readonly virtualMs: number;
  readonly families: readonly string[];
  readonly nodes: number;
  readonly violations: SimulationResult['violations'];
  readonly divergence?: Divergence;
  readonly coverage: Readonly<Record<string, number>>;
  /** With the plan: only of a failed run, or when it was asked for. */
  readonly trace?: readonly string[];
  readonly plan?: Plan;
}

export interface ShrinkReport {
  readonly plan: Plan;
  readonly report: RunReport;
  readonly runs: number;
}

export type Answer =
  | { readonly kind: 'ran'; readonly report: RunReport }
  | { readonly kind: 'shrinking'; readonly progress: ShrinkProgress }
  | { readonly kind: 'shrunk'; readonly shrunk: ShrinkReport }
  /** The simulator itself fell over. */
  | { readonly kind: 'error'; readonly message: string };

/** What kind of failure a run is; `undefined`: it passed. */
export type FailureKind = 'safety' | 'liveness' | 'determinism' | 'exception';

/** The worst first: of several kinds in one run of the command the first one gives the exit code. */
export const failureKinds: readonly FailureKind[] = ['safety', 'exception', 'determinism', 'liveness'];

const livenessIds = new Set([
  'convergence',
  'availability',
  'steadiness',
  'deadline',
  'leaderWithoutQuorum',
  'leaderUnchecked',
]);
const exceptionIds = new Set(['exception', 'unexpectedStop', 'unexpectedError']);

export function failureKindOf({ violations, divergence }: RunReport): FailureKind | undefined {
  if (violations.length === 0) return divergence === undefined ? undefined : 'determinism';
  const kinds = new Set(violations.map(({ id }) => kindOf(id)));
  return failureKinds.find((kind) => kinds.has(kind));
}

function kindOf(id: InvariantId): FailureKind {
  if (livenessIds.has(id)) return 'liveness';
  return exceptionIds.has(id) ? 'exception' : 'safety';
}
