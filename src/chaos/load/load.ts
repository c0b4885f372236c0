// A load process: logical clients that write, read and delete a few hot keys through the public client
// library, and write down what they asked and what they were told. Every value is written once in a whole
// run. Must never record an operation as more certain than the library said: a write whose outcome is unknown
// stays unknown, with the time at which its error came.

import { setMaxListeners } from 'node:events';
import { connect, ConflictError, KvorumError, type Entry, type KvorumClient } from '../../client/index.js';
import { Prng } from '../../base/prng.js';
import type { HistoryOperation, HistoryOutcome } from '../../sim/history/file.js';
import { pause, RunClock } from '../clock.js';
import type { LoadReport, LoadSettings } from './messages.js';

/**
 * How long an operation may take is drawn from these: short ones give unknown outcomes, long ones retries.
 */
const timeoutsMs = [400, 1_500, 4_000, 8_000];
/** Operations are reported this often. */
const reportIntervalMs = 100;

type Unsettled = Omit<HistoryOperation, 'c' | 'call' | 'ret' | 'out'>;

/** Runs the load until it is stopped; resolves when all has been reported and the client is closed. */
export class Load {
  private readonly settings: LoadSettings;
  private readonly report: (report: LoadReport) => void;
  private readonly clock: RunClock;
  private readonly stopping = new AbortController();
  private readonly giveUp = new AbortController();
  private operations: HistoryOperation[] = [];

  constructor(settings: LoadSettings, report: (report: LoadReport) => void) {
    this.settings = settings;
    this.report = report;
    this.clock = new RunClock(BigInt(settings.clockBase));
    // Every client waits on them, and there may be many.
    setMaxListeners(0, this.stopping.signal, this.giveUp.signal);
  }

  async run(): Promise<void> {
    const { endpoints, clients, seed, id } = this.settings;
    const client = await connect({ endpoints, endpointsOnly: true, lazy: true });
    const timer = setInterval(() => this.flush(), reportIntervalMs);
    const seeds = new Prng(seed);
    try {
      const names = Array.from({ length: clients }, (_, index) => `${id}.${index + 1}`);
      await Promise.all(names.map((name) => this.loop(client, name, new Prng(seeds.uint32()))));
    } finally {
      clearInterval(timer);
      await client.close();
      this.flush();
    }
  }

  /** `atOnce`: calls under way are given up too; their outcome is then unknown. */
  stop(atOnce: boolean): void {
    this.stopping.abort();
    if (atOnce) this.giveUp.abort();
  }

  private flush(): void {
    if (this.operations.length === 0) return;
    const { operations } = this;
    this.operations = [];
    this.report({ kind: 'operations', operations });
  }

  private async loop(client: KvorumClient, name: string, prng: Prng): Promise<void> {
    const logical = new LogicalClient(client, name, prng, {
      signal: this.giveUp.signal,
      key: () => this.drawKey(prng),
      perform: (operation, run) => this.perform(name, operation, run),
    });
    const { signal } = this.stopping;
    while (!signal.aborted) {
      await logical.step();
      await pause(prng.fraction() * 2 * this.settings.pauseMs, signal);
    }
  }

  private drawKey(prng: Prng): string {
    const { keyPrefix, keys, keyLifeMs } = this.settings;
    const life = Math.floor(this.clock.nowNs() / 1e6 / keyLifeMs);
    return `${keyPrefix}${life}/${prng.integer(1, keys)}`;
  }

  private async perform<T>(
    c: string,
    operation: Unsettled,
    run: () => Promise<{ readonly out: HistoryOutcome; readonly value: T }>,
  ): Promise<T | undefined> {
    const call = this.clock.nowNs();
    let out: HistoryOutcome;
    let value: T | undefined;
    try {
      ({ out, value } = await run());
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      out = { st: error.outcome === 'unknown' ? 'unknown' : 'fail' };
    }
    this.operations.push({ c, ...operation, call, ret: this.clock.nowNs(), out });
    return value;
  }
}

interface LogicalContext {
  readonly signal: AbortSignal;
  key(): string;
  perform<T>(
    operation: Unsettled,
    run: () => Promise<{ readonly out: HistoryOutcome; readonly value: T }>,
  ): Promise<T | undefined>;
}

/** One thread of control: what it has seen is what its conditions are about. */
class LogicalClient {
  private readonly client: KvorumClient;
  private readonly name: string;
  private readonly prng: Prng;
  private readonly context: LogicalContext;
  /** The last one seen: its conditions may be out of date by the time they are used. */
  private seen: { readonly key: string; readonly entry: Entry } | undefined;
  private writes = 0;

  constructor(client: KvorumClient, name: string, prng: Prng, context: LogicalContext) {
    this.client = client;
    this.name = name;
    this.prng = prng;
    this.context = context;
  }

  /** One operation. Never rejects for what a cluster may answer. */
  async step(): Promise<void> {
    const { prng, seen } = this;
    const dice = prng.fraction();
    if (seen !== undefined && prng.chance(0.5)) {
      this.seen = undefined;
      await (dice < 0.85 ? this.putIf(seen.key, seen.entry) : this.deleteIf(seen.key, seen.entry));
      return;
    }
    const key = this.context.key();
    if (dice < 0.5) await this.get(key);
    else if (dice < 0.85) await this.put(key);
    else if (dice < 0.93) await this.putIf(key, undefined);
    else await this.delete(key);
  }

  private get options(): { timeoutMs: number; signal: AbortSignal } {
    return { timeoutMs: this.prng.pick(timeoutsMs), signal: this.context.signal };
  }

  private get nextValue(): string {
    this.writes += 1;
    return `${this.name}/${this.writes}`;
  }

  private async get(key: string): Promise<void> {
    const readFrom = this.prng.chance(0.4) ? 'nearest' : 'leader';
    const entry = await this.context.perform({ op: 'get', k: key }, async () => {
      const found = await this.client.get(key, { ...this.options, readFrom });
      return { out: { st: 'ok', ...describe(found) }, value: found };
    });
    if (entry !== undefined) this.seen = { key, entry };
  }

  private async put(key: string): Promise<void> {
    const v = this.nextValue;
    await this.context.perform({ op: 'put', k: key, v }, async () => {
      const { revision } = await this.client.put(key, v, this.options);
      return { out: { st: 'ok', rev: revision }, value: undefined };
    });
  }

  /** Only over the entry, or, without one, only if the key is absent. */
  private async putIf(key: string, entry: Entry | undefined): Promise<void> {
    const v = this.nextValue;
    const exp = entry?.text() ?? null;
    await this.context.perform({ op: 'cas', k: key, v, exp }, () =>
      this.judged(async () => {
        const condition = entry === undefined ? { ifAbsent: true } : { ifRevision: entry.modRevision };
        const { revision } = await this.client.put(key, v, { ...this.options, ...condition });
        return { st: 'ok', rev: revision, ver: (entry?.version ?? 0) + 1 };
      }),
    );
  }

  private async deleteIf(key: string, entry: Entry): Promise<void> {
    await this.context.perform({ op: 'cas', k: key, v: null, exp: entry.text() }, () =>
      this.judged(async () => {
        const options = { ...this.options, ifRevision: entry.modRevision };
        const { revision } = await this.client.delete(key, options);
        return { st: 'ok', rev: revision };
      }),
    );
  }

  private async delete(key: string): Promise<void> {
    await this.context.perform({ op: 'delete', k: key }, async () => {
      const { deleted, revision } = await this.client.delete(key, this.options);
      return { out: { st: 'ok', rev: revision, n: deleted }, value: undefined };
    });
  }

  /** A conflict is an answer: the condition was judged, against what the error carries. */
  private async judged(
    run: () => Promise<HistoryOutcome>,
  ): Promise<{ readonly out: HistoryOutcome; readonly value: undefined }> {
    try {
      return { out: await run(), value: undefined };
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
      const revision = error.details['revision'];
      const rev = typeof revision === 'number' ? { rev: revision } : {};
      return { out: { st: 'fail', ...rev, ...describe(error.current) }, value: undefined };
    }
  }
}

/** What was found, as a history tells it. */
export function describe(entry: Entry | undefined): { v: string | null; mod?: number; ver: number } {
  if (entry === undefined) return { v: null, ver: 0 };
  return { v: entry.text(), mod: entry.modRevision, ver: entry.version };
}
