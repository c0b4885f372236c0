// The worker threads of `kvorum sim`. Each does one job at a time; one that dies or does not come to an end
// is a finding about its job and is replaced. `stop` ends them all at once, in the middle of whatever they
// do.

import { Worker } from 'node:worker_threads';
import type { Answer, Job } from './jobs.js';
import type * as simWorker from './worker.js';

/** The file of the worker; the type ties it to this one. */
const workerUrl = new URL('./worker.js', import.meta.url);
export type SimWorker = typeof simWorker;

/** A run takes seconds; one that takes this long never ends. */
const jobPatienceMs = 300_000;
/** The heap of one worker, megabytes. */
const heapMegabytesMax = 256;

/** What a job came to; `undefined`: the pool was stopped before. */
export type JobResult = Exclude<Answer, { kind: 'shrinking' }> | undefined;

export class SimPool {
  private readonly idle: Worker[] = [];
  private readonly workers = new Set<Worker>();
  private stopped = false;
  private readonly onStop = new Set<() => void>();

  get isStopped(): boolean {
    return this.stopped;
  }

  /** Runs a job on a worker of its own for that time. Never rejects. */
  run(job: Job, onProgress?: (answer: Extract<Answer, { kind: 'shrinking' }>) => void): Promise<JobResult> {
    if (this.stopped) return Promise.resolve(undefined);
    const worker = this.idle.pop() ?? this.start();
    return new Promise((resolve) => {
      const finish = (result: JobResult, isUsable: boolean): void => {
        clearTimeout(patience);
        this.onStop.delete(cancel);
        worker.off('message', onMessage).off('error', onError).off('exit', onExit);
        if (isUsable && !this.stopped) this.idle.push(worker);
        else this.end(worker);
        resolve(result);
      };
      const fail = (message: string): void => finish({ kind: 'error', message }, false);
      const cancel = (): void => finish(undefined, false);
      const patience = setTimeout(() => {
        fail(`the run did not come to its end within ${jobPatienceMs / 1000} s`);
      }, jobPatienceMs);
      const onMessage = (answer: Answer): void => {
        patience.refresh();
        if (answer.kind === 'shrinking') onProgress?.(answer);
        else finish(answer, true);
      };
      const onError = (error: unknown): void => fail(error instanceof Error ? error.message : String(error));
      const onExit = (code: number): void => fail(`the worker ended by itself with code ${code}`);
      this.onStop.add(cancel);
      worker.on('message', onMessage).on('error', onError).on('exit', onExit);
      worker.postMessage(job);
    });
  }

  /** Ends everything at once; jobs under way come to `undefined`. */
  stop(): void {
    this.stopped = true;
    for (const cancel of [...this.onStop]) cancel();
    for (const worker of [...this.workers]) this.end(worker);
  }

  private start(): Worker {
    const worker = new Worker(workerUrl, { resourceLimits: { maxOldGenerationSizeMb: heapMegabytesMax } });
    this.workers.add(worker);
    return worker;
  }

  private end(worker: Worker): void {
    this.workers.delete(worker);
    // What it still says about its end is of no interest.
    worker.on('error', () => undefined);
    void worker.terminate();
  }
}
