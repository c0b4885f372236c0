// The output folder of `kvorum chaos`: plan.json, history.jsonl and faults.jsonl while the run goes on, and
// at its end the verdict and the report. What is there is always enough to check the run again with another
// tool.

import { createWriteStream, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import type { WriteStream } from 'node:fs';
import { join } from 'node:path';
import type { FaultRecord } from '../../chaos/faults/injector.js';
import type { ChaosPlan } from '../../chaos/plan.js';
import { figuresOf, type ChaosFigures } from '../../chaos/report/figures.js';
import { renderReport } from '../../chaos/report/report.js';
import type { ChaosEvidence } from '../../chaos/run.js';
import { counted, grouped } from '../../chaos/report/html.js';
import type { Check, Verdict } from '../../chaos/verdict.js';
import { formatHistory, type HistoryOperation } from '../../sim/history/file.js';
import { UsageError } from '../terminal/exit-codes.js';
import { makeFolder } from '../terminal/folders.js';
import { paint } from '../terminal/output.js';
import { shortPath } from '../terminal/paths.js';

/** The verdict as `--json` prints it and as it stands in verdict.json. */
export interface ChaosVerdictFile {
  readonly verdict: Verdict['result'];
  readonly words: string;
  readonly seed: number;
  readonly nodes: number;
  readonly report: string;
  readonly checks: readonly Check[];
  readonly figures: ChaosFigures;
  /** Why files of the folder are not complete; absent when they are. */
  readonly incomplete?: string;
}

const colors = {
  holds: 'green',
  violated: 'red',
  undecided: 'yellow',
  interrupted: 'yellow',
} as const satisfies Record<Verdict['result'], string>;

export class ChaosFolder {
  readonly path: string;
  readonly plan: ChaosPlan;
  private readonly history: WriteStream;
  private readonly faults: WriteStream;
  /** Where the nodes have their data, when they are of this run. */
  private readonly dataPath: string;
  private incompleteBy: string | undefined;
  private readonly onIncomplete: () => void;

  /**
   * Makes the folder, by default a new one below .kvorum/chaos. Throws `UsageError` for one that is in use or
   * cannot be made. `onIncomplete` is called once, when something cannot be written, such as on a full disk.
   */
  constructor(path: string | undefined, plan: ChaosPlan, onIncomplete: () => void) {
    this.path = path ?? defaultPath(plan.seed);
    this.dataPath = join(this.path, 'data');
    this.plan = plan;
    this.onIncomplete = onIncomplete;
    makeFolder('--out', this.path);
    if (readdirSync(this.path).length > 0) {
      throw new UsageError(`--out ${this.path} is not empty: give a new folder, or empty this one`);
    }
    writeFileSync(join(this.path, 'plan.json'), `${JSON.stringify(plan, undefined, 2)}\n`);
    this.history = createWriteStream(join(this.path, 'history.jsonl'));
    this.faults = createWriteStream(join(this.path, 'faults.jsonl'));
    for (const stream of [this.history, this.faults]) stream.on('error', (error) => this.cannotWrite(error));
  }

  /** Why files of the folder are not complete; `undefined`: they are. */
  get incomplete(): string | undefined {
    return this.incompleteBy;
  }

  /** Something that belongs into the folder could not be written. */
  cannotWrite(error: Error): void {
    if (this.incompleteBy !== undefined) return;
    this.incompleteBy = error.message;
    this.onIncomplete();
  }

  addOperations(operations: readonly HistoryOperation[]): void {
    if (!this.history.destroyed) this.history.write(formatHistory(operations));
  }

  addFault(record: FaultRecord): void {
    if (!this.faults.destroyed) this.faults.write(`${JSON.stringify(record)}\n`);
  }

  /**
   * Writes verdict and report; removes the nodes' data when there is nothing to look for in it. What cannot
   * be written must not hide the verdict.
   */
  async finish(evidence: ChaosEvidence, verdict: Verdict): Promise<ChaosVerdictFile> {
    await Promise.all([this.history, this.faults].map((stream) => ended(stream)));
    const report = join(this.path, 'report.html');
    this.write(report, renderReport(evidence, verdict));
    const file = (): ChaosVerdictFile => ({
      verdict: verdict.result,
      words: verdict.words,
      seed: this.plan.seed,
      nodes: this.plan.nodes,
      report,
      checks: verdict.checks,
      figures: figuresOf(evidence),
      ...(this.incompleteBy === undefined ? {} : { incomplete: this.incompleteBy }),
    });
    this.write(join(this.path, 'verdict.json'), `${JSON.stringify(file(), undefined, 2)}\n`);
    if (verdict.result === 'holds') rmSync(this.dataPath, { recursive: true, force: true, maxRetries: 5 });
    return file();
  }

  private write(path: string, text: string): void {
    try {
      writeFileSync(path, text);
    } catch (error) {
      this.cannotWrite(error as Error);
    }
  }

  /** The outcome for people, on stdout. */
  summary(evidence: ChaosEvidence, verdict: Verdict): string[] {
    const figures = figuresOf(evidence);
    return [
      paint(colors[verdict.result], verdict.words),
      ...verdict.checks.map(
        ({ name, result, words }) => `  ${name}: ${result === 'holds' ? '' : `${result}: `}${words}`,
      ),
      `  ${counted(figures.ok, 'operation')} acknowledged, ${grouped(figures.failed)} refused, ` +
        `${grouped(figures.unknown)} unknown`,
      `  longest time without an acknowledged write: ${(figures.longestGapMs / 1_000).toFixed(1)} s`,
      `report: ${join(shortPath(this.path), 'report.html')}`,
      `history: ${join(shortPath(this.path), 'history.jsonl')}, one operation per line`,
      ...(this.incompleteBy === undefined
        ? []
        : [paint('red', `the files in ${shortPath(this.path)} are not complete: ${this.incompleteBy}`)]),
      ...(existsSync(this.dataPath) ? [`data of the nodes: ${shortPath(this.dataPath)}`] : []),
    ];
  }
}

function defaultPath(seed: number): string {
  const stamp = new Date().toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
  return join('.kvorum', 'chaos', `${stamp}-${seed}`);
}

/** Also of a stream that has failed: its listener has heard of it. */
function ended(stream: WriteStream): Promise<void> {
  return new Promise((done) => stream.end(() => done()));
}
