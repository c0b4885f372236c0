// A worker thread of `kvorum sim`: runs one job after the other. All of the simulator's work is done here, so
// that the command itself can draw, listen to Ctrl-C and end it at any moment.

import { closeSync, openSync, writeSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { assertNever } from '../../base/assert.js';
import { findDivergence } from '../../sim/run/determinism.js';
import { planOf } from '../../sim/plan/draw.js';
import type { Plan } from '../../sim/plan/plan.js';
import { TraceRecorder } from '../../sim/run/trace-recorder.js';
import { shrinkPlan } from '../../sim/run/shrink.js';
import { runSimulation, type SimulationResult } from '../../sim/run/simulator.js';
import type { Answer, Job, RunReport } from './jobs.js';

/** Lines of a trace are written to the file in pieces of about this size. */
const pieceLength = 1_048_576;
/** Between two reports of a shrinking. */
const progressMs = 100;

const port = parentPort;
port?.on('message', (job: Job) => {
  try {
    port.postMessage(run(job));
  } catch (error) {
    port.postMessage({ kind: 'error', message: wordsOf(error) } satisfies Answer);
  }
});

/** Where it comes from matters, unless it is from the operating system, such as ENOSPC for a trace. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'syscall' in error ? error.message : (error.stack ?? error.message);
}

function run(job: Job): Answer {
  switch (job.kind) {
    case 'seed': {
      const plan = planOf(job.seed, job.options);
      const result = runSimulation(plan);
      const isFailed = result.violations.length > 0;
      const divergence = isFailed || job.verify ? findDivergence(plan, result) : undefined;
      const isShown = isFailed || divergence !== undefined;
      const report = { ...reportOf(plan, result), ...(divergence === undefined ? {} : { divergence }) };
      return { kind: 'ran', report: isShown ? { ...report, plan, trace: result.trace } : report };
    }
    case 'plan': {
      const { plan, detail } = job;
      const result = runSimulation(plan, { trace: detail });
      const divergence = findDivergence(plan, result);
      const report = { ...reportOf(plan, result), plan, trace: result.trace };
      return { kind: 'ran', report: divergence === undefined ? report : { ...report, divergence } };
    }
    case 'record':
      return { kind: 'ran', report: reportOf(job.plan, record(job.plan, job.path)) };
    case 'shrink':
      return shrink(job.plan, job.secondsMax);
    default:
      return assertNever(job);
  }
}

function reportOf(plan: Plan, { trace: _trace, ...facts }: SimulationResult): RunReport {
  const { families, machines } = plan;
  return { ...facts, families, nodes: machines.length };
}

function record(plan: Plan, path: string): SimulationResult {
  const file = openSync(path, 'w');
  try {
    let piece = '';
    const flush = (): void => {
      writeSync(file, piece);
      piece = '';
    };
    const observer = new TraceRecorder((event) => {
      piece += `${JSON.stringify(event)}\n`;
      if (piece.length >= pieceLength) flush();
    });
    const result = runSimulation(plan, { observer });
    flush();
    return result;
  } finally {
    closeSync(file);
  }
}

function shrink(plan: Plan, secondsMax: number): Answer {
  const overAtMs = performance.now() + secondsMax * 1000;
  let reportedAtMs = 0;
  const { plan: small, runs } = shrinkPlan(plan, {
    isOver: () => performance.now() >= overAtMs,
    onProgress: (progress) => {
      if (performance.now() - reportedAtMs < progressMs) return;
      reportedAtMs = performance.now();
      port?.postMessage({ kind: 'shrinking', progress } satisfies Answer);
    },
  });
  const result = runSimulation(small, { trace: 'full' });
  const report = { ...reportOf(small, result), trace: result.trace };
  return { kind: 'shrunk', shrunk: { plan: small, report, runs } };
}
