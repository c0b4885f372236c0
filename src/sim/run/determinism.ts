// Whether a plan means the same each time it is run: runs it again and compares. A simulator whose runs
// differ proves nothing, since no failure can be repeated; and the usual cause, state that outlives a run or
// a look at the real clock, is a bug of its own. The hash over all events tells whether two runs differ, a
// bounded list of checkpoints tells about where, and two more runs tell the first event that differs.

import type { Plan } from '../plan/plan.js';
import type { SimulationObserver } from './trace-recorder.js';
import type { ScheduledEvent } from '../world/scheduler.js';
import { runSimulation, type SimulationOptions, type SimulationResult } from './simulator.js';

/** Where two runs of one plan parted. */
export interface Divergence {
  /** Events that both runs had in common, at least. */
  readonly eventsEqual: number;
  /**
   * The first event that differed, as each run had it; `undefined` when they parted in another place again.
   */
  readonly first: { readonly one: string; readonly other: string } | undefined;
  /** The hashes of the whole runs. */
  readonly hashes: readonly [string, string];
}

type Run = (plan: Plan, options: SimulationOptions) => SimulationResult;

/** Most checkpoints kept of a run; twice as far apart each time the list is full. */
const checkpointsMax = 1_024;

/** The hash after every so many events of a run, from its beginning to its end, in bounded memory. */
export class Checkpoints implements SimulationObserver {
  /** Events between two checkpoints. */
  interval = 64;
  readonly hashes: string[] = [];
  private events = 0;

  event(_event: ScheduledEvent, hash: () => string): void {
    this.events++;
    if (this.events % this.interval !== 0) return;
    this.hashes.push(hash());
    if (this.hashes.length < checkpointsMax) return;
    this.hashes.splice(0, this.hashes.length, ...this.hashes.filter((_, position) => position % 2 === 1));
    this.interval *= 2;
  }
}

/**
 * Runs the plan again after `before`, its first result. `undefined` when both are the same; otherwise where
 * they part, for which it is run up to four times more. `run`: the simulator.
 */
export function findDivergence(
  plan: Plan,
  before: SimulationResult,
  run: Run = runSimulation,
): Divergence | undefined {
  const again = run(plan, {});
  if (again.hash === before.hash && again.events === before.events) return undefined;
  const hashes = [before.hash, again.hash] as const;
  const one = new Checkpoints();
  const other = new Checkpoints();
  run(plan, { observer: one });
  run(plan, { observer: other });
  const eventsEqual = commonEvents(one, other);
  const window = one.interval > other.interval ? one.interval : other.interval;
  const events = [new EventList(eventsEqual, window), new EventList(eventsEqual, window)] as const;
  for (const observer of events) run(plan, { observer });
  const first = firstDifference(events[0].events, events[1].events);
  return { eventsEqual: eventsEqual + (first?.position ?? 0), first, hashes };
}

/** The describing lines of some events of a run, from the one after `skipped` on. */
class EventList implements SimulationObserver {
  readonly events: string[] = [];
  private readonly skipped: number;
  private readonly count: number;
  private seen = 0;

  constructor(skipped: number, count: number) {
    this.skipped = skipped;
    this.count = count;
  }

  event(event: ScheduledEvent, hash: () => string): void {
    this.seen++;
    if (this.seen > this.skipped && this.events.length < this.count) {
      this.events.push(describe(event, hash()));
    }
  }
}

function commonEvents(one: Checkpoints, other: Checkpoints): number {
  // Both lists double at the same counts; one that is longer by a doubling is compared at its own distance.
  const interval = Math.max(one.interval, other.interval);
  let common = 0;
  for (;;) {
    const next = common + interval;
    const hash = one.hashes[next / one.interval - 1];
    if (hash === undefined || hash !== other.hashes[next / other.interval - 1]) return common;
    common = next;
  }
}

function firstDifference(
  one: readonly string[],
  other: readonly string[],
): { position: number; one: string; other: string } | undefined {
  for (let position = 0; position < Math.max(one.length, other.length); position++) {
    const [a, b] = [one[position] ?? 'no event', other[position] ?? 'no event'];
    if (a !== b) return { position, one: a, other: b };
  }
  return undefined;
}

function describe({ timeUs, kind, process, payload }: ScheduledEvent, hash: string): string {
  const who = process?.name ?? 'world';
  const bytes = payload === undefined ? '' : `, ${payload.length} bytes`;
  return `[${(timeUs / 1000).toFixed(3)}] ${who}: ${kind}${bytes}, hash ${hash}`;
}
