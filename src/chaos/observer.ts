// Watches the nodes during a run, past the proxies, by asking each for its status: who leads in which term,
// what each is up to, and whether two nodes ever report different hashes of the state at one index. What it
// finds wrong is a violation; what it cannot see is not: a node that does not answer is only that.

import { connect, KvorumError, type KvorumClient, type NodeReport } from '../client/index.js';
import { pause, type RunClock } from './clock.js';

export interface ObservedNode {
  readonly id: string;
  /** host:port */
  readonly address: string;
}

/** A node was in one condition from one look to another. */
export interface NodePhase {
  readonly node: string;
  /** `down`: no answer. `leader`, `follower`, `candidate` …, or `recovering`, `catchingUp`, `forming`. */
  readonly condition: string;
  readonly term: number;
  readonly fromNs: number;
  toNs: number;
}

export interface Leadership {
  readonly term: number;
  readonly node: string;
  /** When it was first and last seen to lead. */
  readonly fromNs: number;
  toNs: number;
}

const intervalMs = 100;
const answerTimeoutMs = 400;
/** Indexes of which the first hash seen is remembered; older ones are forgotten first. */
const hashesMax = 50_000;
const phasesMax = 200_000;
const problemsMax = 20;

export class Observer {
  readonly phases: NodePhase[] = [];
  readonly leaderships: Leadership[] = [];
  /** What must never be, in words; the first ones. */
  readonly problems: string[] = [];
  private readonly nodes: readonly ObservedNode[];
  private readonly clock: RunClock;
  private readonly clients = new Map<string, KvorumClient>();
  private readonly latest = new Map<string, NodeReport>();
  /** When the question for it was asked. */
  private readonly latestAskedNs = new Map<string, number>();
  private readonly latestPhases = new Map<string, NodePhase>();
  private readonly hashes = new Map<number, { readonly hash: string; readonly node: string }>();
  private readonly stopping = new AbortController();
  private watching: Promise<unknown> = Promise.resolve();

  constructor(nodes: readonly ObservedNode[], clock: RunClock) {
    this.nodes = nodes;
    this.clock = clock;
  }

  /** Begins to watch, until `stop`. */
  async start(): Promise<void> {
    for (const { id, address } of this.nodes) {
      const limits = { dialTimeoutMs: 500, reconnectMsMax: 200, pingAfterMs: 500, pongTimeoutMs: 500 };
      const client = await connect({ endpoints: [address], endpointsOnly: true, lazy: true, limits });
      this.clients.set(id, client);
    }
    this.watching = Promise.all(this.nodes.map(({ id }) => this.watch(id)));
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all([...this.clients.values()].map((client) => client.close()));
    await this.watching;
  }

  /** Who leads as far as anyone can see, in the highest term. */
  get leader(): string | undefined {
    const leaders = [...this.latest.entries()].filter(
      ([, { reachable, role }]) => reachable && role === 'leader',
    );
    leaders.sort(([, a], [, b]) => (b.term ?? 0) - (a.term ?? 0));
    return leaders[0]?.[0];
  }

  /** The newest report of a node; `undefined` before the first. */
  report(nodeId: string): NodeReport | undefined {
    return this.latest.get(nodeId);
  }

  /** Whether a node answered a question asked after this time, and takes part fully. */
  isWhole(nodeId: string, afterNs: number): boolean {
    const report = this.latest.get(nodeId);
    const askedNs = this.latestAskedNs.get(nodeId) ?? 0;
    return askedNs > afterNs && report?.reachable === true && report.state === 'running';
  }

  /** Why the nodes are not all in one state yet, in words; `undefined`: they are, and one of them leads. */
  disagreement(): string | undefined {
    const reports = this.nodes.map(({ id }) => ({ id, report: this.latest.get(id) }));
    const missing = reports.filter(({ report }) => report?.reachable !== true);
    if (missing.length > 0) return `no answer from ${missing.map(({ id }) => id).join(', ')}`;
    const busy = reports.filter(({ report }) => report?.state !== 'running');
    if (busy.length > 0) return busy.map(({ id, report }) => `${id} is ${report?.state ?? '?'}`).join(', ');
    if (this.leader === undefined) return 'no leader';
    const states = reports.map(({ report }) => JSON.stringify([report?.stateHashIndex, report?.stateHash]));
    if (new Set(states).size > 1) return `not at one index: ${this.indexes()}`;
    if (new Set(reports.map(({ report }) => report?.revision)).size > 1) return 'not at one revision';
    return undefined;
  }

  private indexes(): string {
    return this.nodes.map(({ id }) => `${id} ${this.latest.get(id)?.appliedIndex ?? '?'}`).join(', ');
  }

  private async watch(nodeId: string): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      const askedNs = this.clock.nowNs();
      const report = await this.ask(nodeId);
      if (signal.aborted) return;
      this.latest.set(nodeId, report);
      this.latestAskedNs.set(nodeId, askedNs);
      this.note(nodeId, report);
      await pause(intervalMs, signal);
    }
  }

  private async ask(nodeId: string): Promise<NodeReport> {
    const down: NodeReport = { id: nodeId, address: '', reachable: false };
    try {
      const status = await this.clients.get(nodeId)?.status({ timeoutMs: answerTimeoutMs });
      return status?.nodes[0] ?? down;
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      return down;
    }
  }

  private note(nodeId: string, report: NodeReport): void {
    const nowNs = this.clock.nowNs();
    const { reachable, role, state, term = 0 } = report;
    const condition = !reachable ? 'down' : state === 'running' ? (role ?? 'down') : (state ?? 'down');
    const latest = this.latestPhases.get(nodeId);
    if (latest?.condition === condition && (latest.term === term || !reachable)) {
      latest.toNs = nowNs;
    } else if (this.phases.length < phasesMax) {
      if (latest !== undefined) latest.toNs = nowNs;
      const phase = { node: nodeId, condition, term, fromNs: nowNs, toNs: nowNs };
      this.phases.push(phase);
      this.latestPhases.set(nodeId, phase);
    }
    if (!reachable) return;
    if (role === 'leader') this.noteLeader(nodeId, term, nowNs);
    this.noteHash(nodeId, report);
  }

  private noteLeader(node: string, term: number, nowNs: number): void {
    const known = this.leaderships.find((leadership) => leadership.term === term);
    if (known === undefined) this.leaderships.push({ term, node, fromNs: nowNs, toNs: nowNs });
    else if (known.node === node) known.toNs = nowNs;
    else this.complain(`${known.node} and ${node} both lead in term ${term}`);
  }

  /** The state after an index is one and the same on every node, now and for ever. */
  private noteHash(node: string, { stateHash, stateHashIndex }: NodeReport): void {
    if (stateHash === undefined || stateHashIndex === undefined) return;
    const known = this.hashes.get(stateHashIndex);
    if (known === undefined) {
      this.hashes.set(stateHashIndex, { hash: stateHash, node });
      const oldest = this.hashes.size > hashesMax ? this.hashes.keys().next().value : undefined;
      if (oldest !== undefined) this.hashes.delete(oldest);
    } else if (known.hash !== stateHash) {
      this.complain(
        `after index ${stateHashIndex} the state of ${known.node} has hash ${known.hash}, ` +
          `that of ${node} has ${stateHash}`,
      );
    }
  }

  private complain(problem: string): void {
    if (this.problems.length < problemsMax && !this.problems.includes(problem)) this.problems.push(problem);
  }
}
