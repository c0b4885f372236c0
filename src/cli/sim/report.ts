// What `kvorum sim` gathers over its seeds and how it says it: sums, coverage, failures, exit code.

import { exitCodes } from '../terminal/exit-codes.js';
import { manySeeds, missedMarks } from '../../sim/run/coverage-marks.js';
import { alignColumns, paint } from '../terminal/output.js';
import { failureKindOf, failureKinds, type FailureKind, type RunReport } from './jobs.js';

/** A run that failed, as it is reported. */
export interface Failure {
  readonly seed: number;
  readonly kind: FailureKind;
  /**
   * The promise that broke; `determinism` when two runs differed, `exception` when the simulator fell over.
   */
  readonly promise: string;
  readonly where: string;
  readonly message: string;
  readonly families: readonly string[];
  readonly nodes: number;
  /** Files written about it. */
  readonly files: string[];
  /** Faults and operations of the smallest plan found. */
  events?: number;
}

/** More failures are only counted. */
export const failuresKept = 20;

export class SimReport {
  private readonly startedMs = performance.now();
  private readonly firstSeed: number;
  private endedMs: number | undefined;
  seeds = 0;
  failed = 0;
  private events = 0;
  private virtualMs = 0;
  private verified = 0;
  interrupted = false;
  /** Something that was asked for could not be written. */
  isIncomplete = false;
  /** Whether meeting too little of what is rare is a failure too; only over `manySeeds`. */
  hasFloors = false;
  readonly failures: Failure[] = [];
  /** Sum over all seeds, and seeds it occurred in. */
  private readonly coverage = new Map<string, { sum: number; seeds: number }>();
  private readonly kinds = new Map<FailureKind, number>();

  constructor(firstSeed: number) {
    this.firstSeed = firstSeed;
  }

  /** Takes in a run; the failure if it is one that is kept. */
  add(report: RunReport, isVerified: boolean): Failure | undefined {
    this.seeds++;
    this.events += report.events;
    this.virtualMs += report.virtualMs;
    if (isVerified) this.verified++;
    for (const [mark, count] of Object.entries(report.coverage)) {
      const seen = this.coverage.get(mark) ?? { sum: 0, seeds: 0 };
      seen.sum += count;
      if (count > 0) seen.seeds++;
      this.coverage.set(mark, seen);
    }
    const kind = failureKindOf(report);
    return kind === undefined ? undefined : this.fail(kind, failureOf(report, kind));
  }

  /** The simulator fell over in a seed. */
  addError(seed: number, message: string): Failure | undefined {
    this.seeds++;
    const facts = { promise: 'exception', where: 'simulator', message, families: [], nodes: 0, files: [] };
    return this.fail('exception', { seed, kind: 'exception', ...facts });
  }

  /** The clock of the rates stops. */
  end(): void {
    this.endedMs ??= performance.now();
  }

  /** One line for a progress display. */
  get progress(): string {
    const { seedsPerSecond, eventsPerSecond, virtualSecondsPerSecond } = this.rates;
    const failed = this.failed === 0 ? '' : `, ${this.failed} failed`;
    const speed = `${seedsPerSecond} seeds/s, ${eventsPerSecond} events/s`;
    const seeds = this.seeds === 1 ? '1 seed' : `${this.seeds} seeds`;
    return `${seeds}${failed}, ${speed}, ${virtualSecondsPerSecond} virtual s/s`;
  }

  get exitCode(): number {
    const worst = failureKinds.find((kind) => this.kinds.has(kind));
    if (worst !== undefined) return exitCodes[worst];
    if (this.missed !== undefined && this.missed.length > 0) return exitCodes.failure;
    if (this.interrupted) return exitCodes.interrupted;
    return this.isIncomplete ? exitCodes.failure : exitCodes.ok;
  }

  /** Rare things that happened in too few seeds; `undefined` when that was not looked at. */
  private get missed(): ReturnType<typeof missedMarks> | undefined {
    if (!this.hasFloors || this.seeds < manySeeds) return undefined;
    return missedMarks(this.seeds, (mark) => this.seedsWith(mark));
  }

  private seedsWith(mark: string): number {
    return this.coverage.get(mark)?.seeds ?? 0;
  }

  toJson(): Record<string, unknown> {
    const { firstSeed, seeds, failed, verified, interrupted, events, failures, kinds } = this;
    return {
      firstSeed,
      seeds,
      passed: seeds - failed,
      failed,
      verified,
      interrupted,
      kinds: Object.fromEntries(kinds),
      events,
      virtualSeconds: this.virtualMs / 1000,
      ...this.rates,
      failures,
      coverage: Object.fromEntries(this.coverage),
      tooRare: this.missed?.map(({ name }) => name) ?? null,
    };
  }

  lines(): string[] {
    const lines: string[] = [];
    if (this.coverage.size > 0) {
      const rows = [...this.coverage].sort().map(([mark, { sum, seeds }]) => {
        return [mark, String(sum), `${((100 * seeds) / this.seeds).toFixed(0)} %`];
      });
      lines.push(...alignColumns([['what happened', 'times', 'of seeds'], ...rows], [1, 2]), '');
    }
    for (const failure of this.failures) lines.push(...failureLines(failure));
    if (this.failed > this.failures.length)
      lines.push(`… ${this.failed - this.failures.length} more failures`);
    if (this.hasFloors && this.missed === undefined)
      lines.push(`whether anything is too rare was not looked at: ${this.seeds} of ${manySeeds} seeds`);
    for (const { name, seedsMin } of this.missed ?? []) {
      const fact = `in ${this.seedsWith(name)} of ${this.seeds} seeds, should be in ${seedsMin}`;
      lines.push(`${paint('red', 'too rare')}: ${name}: ${fact}`);
    }
    lines.push(`${this.outcome}${this.interrupted ? ', interrupted' : ''}`);
    lines.push(`${this.progress}, ${this.verified} run twice`);
    return lines;
  }

  private get outcome(): string {
    if (this.seeds === 0) return 'no seed finished';
    const last = (this.firstSeed + this.seeds - 1) >>> 0;
    const which = this.seeds === 1 ? `seed ${this.firstSeed}` : `seeds ${this.firstSeed} to ${last}`;
    return `${which}: ${this.seeds - this.failed} passed, ${this.failed} failed`;
  }

  private get rates(): Record<'seedsPerSecond' | 'eventsPerSecond' | 'virtualSecondsPerSecond', number> {
    const seconds = Math.max(0.001, ((this.endedMs ?? performance.now()) - this.startedMs) / 1000);
    return {
      seedsPerSecond: Math.round((10 * this.seeds) / seconds) / 10,
      eventsPerSecond: Math.round(this.events / seconds),
      virtualSecondsPerSecond: Math.round(this.virtualMs / 1000 / seconds),
    };
  }

  private fail(kind: FailureKind, failure: Failure): Failure | undefined {
    this.failed++;
    this.kinds.set(kind, (this.kinds.get(kind) ?? 0) + 1);
    if (this.failures.length >= failuresKept) return undefined;
    this.failures.push(failure);
    return failure;
  }
}

function failureOf(report: RunReport, kind: FailureKind): Failure {
  const { seed, families, nodes, divergence } = report;
  const [violation] = report.violations;
  const facts = { seed, kind, families, nodes, files: [] };
  if (violation !== undefined) {
    const { id: promise, where, message } = violation;
    return { ...facts, promise, where, message };
  }
  const first = divergence?.first;
  const differ =
    first === undefined ? 'in another place each time' : `first ${first.one}, then ${first.other}`;
  const message = `two runs of the plan part after event ${divergence?.eventsEqual}: ${differ}`;
  return { ...facts, promise: 'determinism', where: 'simulator', message };
}

/** A failure in words, with the commands that show it again. */
export function failureLines({
  seed,
  kind,
  promise,
  where,
  message,
  families,
  nodes,
  files,
  events,
}: Failure): string[] {
  const [head = '', ...rest] = message.split('\n');
  return [
    `${paint('red', `seed ${seed}`)}: ${kind}, breaks ${promise} on ${where}: ${head}`,
    ...rest.slice(0, 8).map((line) => `  ${line}`),
    `  ${nodes} nodes; faults: ${families.join(', ') || 'none'}`,
    ...(events === undefined ? [] : [`  made small: ${events} faults and operations`]),
    ...files.map((file) => `  ${file}`),
    '',
  ];
}
