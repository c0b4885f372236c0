// The output folder of `kvorum chaos`: plan.json, history.jsonl and faults.jsonl while the run goes on, and
// at its end the verdict and the report. What is there is always enough to check the run again with another
// tool.

import { createWriteStream, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import type { WriteStream } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import type { FaultRecord } from '../sim/chaos/injector.js';
import type { ChaosPlan } from '../sim/chaos/plan.js';
import { figuresOf, type ChaosFigures } from '../sim/chaos/figures.js';
import { renderReport } from '../sim/chaos/report.js';
import type { ChaosEvidence } from '../sim/chaos/run.js';
import type { Check, Verdict } from '../sim/chaos/verdict.js';
import { formatHistory, type HistoryOperation } from '../sim/history-file.js';
import { UsageError } from './exit-codes.js';
import { paint } from './output.js';

/** The verdict as `--json` prints it and as it stands in verdict.json. */
export interface ChaosVerdictFile {
  readonly verdict: Verdict['result'];
  readonly words: string;
  readonly seed: number;
  readonly nodes: number;
  readonly report: string;
  readonly checks: readonly Check[];
  readonly figures: ChaosFigures;
}

export class ChaosFolder {
  readonly path: string;
  readonly plan: ChaosPlan;
  private readonly history: WriteStream;
  private readonly faults: WriteStream;
  /** Where the nodes have their data, when they are of this run. */
  private readonly dataPath: string;

  /**
   * Makes the folder, by default a new one below .kvorum/chaos. Throws `UsageError` for one that is in use.
   */
  constructor(path: string | undefined, plan: ChaosPlan) {
    this.path = path ?? defaultPath(plan.seed);
    this.dataPath = join(this.path, 'data');
    this.plan = plan;
    if (existsSync(this.path) && readdirSync(this.path).length > 0) {
      throw new UsageError(`--out ${this.path} is not empty: give a new folder, or empty this one`);
    }
    mkdirSync(this.path, { recursive: true });
    writeFileSync(join(this.path, 'plan.json'), `${JSON.stringify(plan, undefined, 2)}\n`);
    this.history = createWriteStream(join(this.path, 'history.jsonl'));
    this.faults = createWriteStream(join(this.path, 'faults.jsonl'));
  }

  addOperations(operations: readonly HistoryOperation[]): void {
    this.history.write(formatHistory(operations));
  }

  addFault(record: FaultRecord): void {
    this.faults.write(`${JSON.stringify(record)}\n`);
  }

  /** Writes verdict and report; removes the nodes' data when there is nothing to look for in it. */
  async finish(evidence: ChaosEvidence, verdict: Verdict): Promise<ChaosVerdictFile> {
    await Promise.all([this.history, this.faults].map((stream) => ended(stream)));
    const reportPath = join(this.path, 'report.html');
    writeFileSync(reportPath, renderReport(evidence, verdict));
    const file: ChaosVerdictFile = {
      verdict: verdict.result,
      words: verdict.words,
      seed: this.plan.seed,
      nodes: this.plan.nodes,
      report: reportPath,
      checks: verdict.checks,
      figures: figuresOf(evidence),
    };
    writeFileSync(join(this.path, 'verdict.json'), `${JSON.stringify(file, undefined, 2)}\n`);
    if (verdict.result === 'holds') rmSync(this.dataPath, { recursive: true, force: true, maxRetries: 5 });
    return file;
  }

  /** The outcome for people, on stdout. */
  summary(evidence: ChaosEvidence, verdict: Verdict): string[] {
    const figures = figuresOf(evidence);
    const color = verdict.result === 'holds' ? 'green' : verdict.result === 'violated' ? 'red' : 'yellow';
    return [
      paint(color, verdict.words),
      ...verdict.checks.map(
        ({ name, result, words }) => `  ${name}: ${result === 'holds' ? '' : `${result}: `}${words}`,
      ),
      `  ${figures.ok} operations acknowledged, ${figures.failed} refused, ${figures.unknown} unknown`,
      `  longest time without an acknowledged write: ${(figures.longestGapMs / 1_000).toFixed(1)} s`,
      `report: ${join(shortPath(this.path), 'report.html')}`,
      `history: ${join(shortPath(this.path), 'history.jsonl')}, one operation per line`,
      ...(existsSync(this.dataPath) ? [`data of the nodes: ${shortPath(this.dataPath)}`] : []),
    ];
  }
}

function defaultPath(seed: number): string {
  const stamp = new Date().toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
  return join('.kvorum', 'chaos', `${stamp}-${seed}`);
}

function shortPath(path: string): string {
  const below = relative('', resolve(path));
  return below === '' || below.startsWith('..') ? path : below;
}

function ended(stream: WriteStream): Promise<void> {
  return new Promise((done, fail) => {
    stream.once('error', fail);
    stream.end(() => done());
  });
}
