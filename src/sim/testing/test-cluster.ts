// A whole cluster inside a test: production nodes and clients in a virtual world, without ports, files and
// processes, in virtual time. This is the shell for tests of services that use kvorum; it decides nothing
// about consensus, and what it finds broken it never keeps to itself. Source: design §2, "kvorum/testing".

import { KvorumError } from '../../base/errors.js';
import { timeoutOf } from '../../client/arguments.js';
import type { KvorumClient } from '../../client/client.js';
import { defaultCallTimeoutMs, resolveLimits } from '../../client/engine/limits.js';
import type { Violation } from '../checkers/violations.js';
import { clientProcess } from '../world/client.js';
import type { Machine } from '../world/machine/machine.js';
import { AwaitedEngine, clientOver, type ClientSurroundings } from './client.js';
import { brokenError, compareReplicas, type NodeView, viewOf } from './check.js';
import * as check from './arguments.js';
import type { TestClientOptions, TestClusterOptions, WaitOptions } from './arguments.js';
import { calmPlan } from './plan.js';
import { disposedError, OpenCalls, VirtualTime } from './time.js';
import { firstClientOrdinal, World } from '../run/world.js';

/** A cluster forms in less than a tenth of this. */
const formingMs = 10_000;
/** Virtual milliseconds between two looks of an asynchronous condition. */
const pollMs = 10;

/**
 * Makes a cluster and waits until it has a leader that all nodes know; some milliseconds of real time.
 * Rejects with INVALID_ARGUMENT naming the option that is wrong.
 */
export async function testCluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  const cluster = new TestCluster(check.optionsOf(options));
  await cluster.waitFor(() => cluster.isReady, { timeoutMs: formingMs });
  return cluster;
}

type Falsy = undefined | null | false | 0 | '';

function isTruthy<T>(value: T): value is Exclude<T, Falsy> {
  return Boolean(value);
}

/**
 * Nodes are called n1, n2, …; what takes a node also takes `leader`, and says so when there is none.
 * Everything but `client`, `advance`, `waitFor` and the end happens at once, in the moment of virtual time
 * that `now` shows. Every method throws CLOSED after the cluster was disposed, but `trace`, `hash` and
 * `check`, which still tell how it ended.
 */
export class TestCluster implements AsyncDisposable {
  /** The names of all nodes. */
  readonly nodes: readonly string[];
  readonly seed: number;
  readonly #world: World;
  readonly #time: VirtualTime;
  readonly #calls: OpenCalls;
  readonly #clients = new Map<string, KvorumClient>();
  /** Blocked ways, `from>to`. */
  readonly #cuts = new Set<string>();
  #disposed: Promise<void> | undefined;
  #isDisposed = false;
  /** What is broken was told to somebody. */
  #isTold = false;

  /** @internal Use `testCluster`. */
  constructor({ seed, nodes }: { readonly seed: number; readonly nodes: number }) {
    this.seed = seed;
    this.#world = new World(calmPlan(seed, nodes), 'words');
    this.#time = new VirtualTime(this.#world, () => this.#failure());
    this.#calls = new OpenCalls();
    this.nodes = Object.freeze(this.#world.machines.map(({ name }) => name));
  }

  /** Virtual milliseconds since the cluster was made. */
  get now(): number {
    return this.#world.scheduler.nowUs / 1000;
  }

  /** Events that have happened so far. */
  get events(): number {
    return this.#world.scheduler.eventCount;
  }

  /**
   * The running node that holds itself for the leader; of several the one in the newest term. A leader that
   * was cut off holds itself for one until it has missed its followers for an election timeout.
   */
  get leader(): string | undefined {
    this.#use();
    let [leader, newestTerm]: [string | undefined, number] = [undefined, 0];
    for (const { name, process, node } of this.#world.machines) {
      const raft = node?.raft;
      if (process?.state !== 'running' || raft?.role !== 'leader' || raft.currentTerm <= newestTerm) continue;
      [leader, newestTerm] = [name, raft.currentTerm];
    }
    return leader;
  }

  /** All nodes run and know one leader. */
  get isReady(): boolean {
    const { leader } = this;
    const knows = ({ process, node }: Machine): boolean =>
      process?.state === 'running' && node?.raft?.leaderId === leader;
    return leader !== undefined && this.#world.machines.every(knows);
  }

  /**
   * A new client, on a machine of its own: `name` (default c1, c2, …) is how `partition` and `cut` call it.
   * It connects with its first call. At most 100.
   */
  client(options: TestClientOptions = {}): KvorumClient {
    this.#use();
    const { scheduler, network, members } = this.#world;
    const taken = [...this.nodes, ...this.#clients.keys()];
    const name = check.clientNameOf(options, taken, this.#clients.size);
    const timeoutMs = timeoutOf(options.timeoutMs, defaultCallTimeoutMs);
    const limits = resolveLimits(options.limits);
    const ordinal = firstClientOrdinal + this.#clients.size;
    const { env } = clientProcess(scheduler, network, this.seed, name, ordinal, () => engine.handler);
    const endpoints = members.map(({ address }) => address);
    const engine = new AwaitedEngine(name, this.#surroundings(), env, { endpoints, limits });
    engine.start();
    const client = clientOver(engine, timeoutMs, this.#calls);
    this.#clients.set(name, client);
    return client;
  }

  /**
   * Cuts all ways between hosts of different groups, in both directions; within a group, and to hosts that
   * are in none, nothing changes. Hosts are nodes and clients. Cuts add up until `heal`.
   */
  partition(...groups: readonly (readonly string[])[]): void {
    this.#use();
    check.checkGroups(groups, this.#hosts());
    this.#tell(`partition ${groups.map((group) => group.join(' ')).join(' | ')}`);
    for (const [i, group] of groups.entries()) {
      const others = groups.filter((_, j) => j !== i).flat();
      for (const from of group) this.#block(others.map((to) => [from, to] as const));
    }
  }

  /**
   * Cuts one way only: what `from` sends does not reach `to` until `heal`. Connections that miss an answer
   * by that break after some time, up to three seconds, as they do in real networks.
   */
  cut(from: string, to: string): void {
    this.#use();
    check.checkWay(from, to, this.#hosts());
    this.#tell(`cut ${from} > ${to}`);
    this.#block([[from, to]]);
  }

  /** Mends everything that `partition` and `cut` cut. Nodes that are down or paused stay so. */
  heal(): void {
    this.#use();
    this.#tell('heal');
    const ways = [...this.#cuts].map((way) => way.split('>') as [string, string]);
    this.#cuts.clear();
    this.#world.network.unblock(ways);
  }

  /**
   * The machine of a node loses power: what no sync had made durable is lost in part, nobody is told that its
   * connections are gone. It stays down until `restart`.
   */
  crash(node: string | undefined): void {
    const machine = this.#machineThatRuns(node, 'crash');
    this.#tell(`crash ${machine.name}`);
    this.#takeDown(machine, 'power');
  }

  /**
   * The process of a node is killed, as with `kill -9`: its files stay as it left them, its connections are
   * closed. It stays down until `restart`.
   */
  kill(node: string | undefined): void {
    const machine = this.#machineThatRuns(node, 'kill');
    this.#tell(`kill ${machine.name}`);
    this.#takeDown(machine, 'kill');
  }

  /** Starts a node that is down on what its disk holds. */
  restart(node: string | undefined): void {
    const machine = this.#machine(node);
    if (machine.isUp) {
      throw check.wrongState(machine.name, this.status(node).state, 'restart', 'crash or kill it first');
    }
    this.#tell(`restart ${machine.name}`);
    machine.start();
  }

  /** A node stands still, as with SIGSTOP: it neither hears, sends nor notices time until `resume`. */
  pause(node: string | undefined): void {
    const machine = this.#machineThatRuns(node, 'pause');
    const { state } = this.status(node);
    if (state === 'paused') throw check.wrongState(machine.name, state, 'pause', 'resume it first');
    this.#tell(`pause ${machine.name}`);
    machine.pause();
  }

  /** A paused node goes on, with all that came due meanwhile. */
  resume(node: string | undefined): void {
    const machine = this.#machine(node);
    const { state } = this.status(node);
    if (state !== 'paused')
      throw check.wrongState(machine.name, state, 'resume', 'only a paused node is resumed');
    this.#tell(`resume ${machine.name}`);
    machine.resume('messagesFirst');
  }

  /** A node as it is now. */
  status(node: string | undefined): NodeView {
    return viewOf(this.#machine(node));
  }

  /**
   * Lets so much virtual time pass; 0 lets happen what is due now. Also the way to sleep in code under test.
   * Rejects with INTERNAL as soon as an invariant is broken.
   */
  advance(ms: number): Promise<void> {
    return this.#calls.make(async () => {
      this.#use();
      await this.#time.wait(this.#microsecondsFrom(check.durationOf(ms)));
    });
  }

  /**
   * Lets virtual time pass until `condition` returns something truthy, and resolves with it. It is asked
   * after every event; one that returns a promise, 10 ms after that settled. Rejects with TIMEOUT after
   * `timeoutMs` (default 10,000) of virtual time, but not while such a promise is pending, with what
   * `condition` throws, with CLOSED at the end, and with INTERNAL as soon as an invariant is broken.
   */
  waitFor<T>(condition: () => T | Promise<T>, options: WaitOptions = {}): Promise<Exclude<T, Falsy>> {
    return this.#calls.make(() => this.#waitFor(condition, options));
  }

  /** What happened, a line each with its virtual time, oldest first; the newest 4,000 lines. */
  trace(): readonly string[] {
    return this.#world.trace.text;
  }

  /**
   * Of everything that happened so far, 16 hexadecimal digits: the same for the same seed and the same calls
   * at the same moments.
   */
  hash(): string {
    return this.#world.scheduler.hash();
  }

  /**
   * Throws INTERNAL if anything is broken that must never be: an invariant of the consensus, looked at after
   * each event, a node that stopped by itself, or replicas that differ. That is a bug in kvorum, not in the
   * code under test.
   */
  check(): void {
    compareReplicas(this.#world);
    const error = this.#failure();
    if (error !== undefined) throw error;
  }

  /**
   * Ends everything: what waits fails with CLOSED. Belongs into a `finally` where `await using` cannot be
   * written, as in JavaScript on Node 20. Rejects with INTERNAL if something is broken that nobody was told
   * of yet. May be called again, and returns the same promise then.
   */
  close(): Promise<void> {
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  /** The same as `close`, by `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #dispose(): Promise<void> {
    this.#isDisposed = true;
    this.#tell('dispose');
    compareReplicas(this.#world);
    this.#calls.silence();
    const closing = [...this.#clients.values()].map((client) => client.close());
    this.#time.abandon(disposedError());
    await Promise.all(closing);
    for (const machine of this.#world.machines) this.#takeDown(machine, 'kill');
    if (this.#isTold) return;
    const error = this.#failure();
    if (error !== undefined) throw error;
  }

  async #waitFor<T>(condition: () => T | Promise<T>, { timeoutMs }: WaitOptions): Promise<Exclude<T, Falsy>> {
    this.#use();
    check.checkCondition(condition);
    const patienceMs = timeoutOf(timeoutMs, defaultCallTimeoutMs);
    const untilUs = this.#microsecondsFrom(patienceMs);
    for (;;) {
      let answer = condition();
      const isAsynchronous = answer instanceof Promise;
      const value = await this.#time.waitOutside(answer);
      if (isTruthy(value)) return value;
      if (this.#world.scheduler.nowUs >= untilUs) throw this.#notHeld(patienceMs);
      if (isAsynchronous) {
        await this.#time.wait(Math.min(this.#microsecondsFrom(pollMs), untilUs));
        continue;
      }
      await this.#time.wait(untilUs, () => {
        answer = condition();
        return Boolean(answer);
      });
      const seen = await this.#time.waitOutside(answer);
      if (isTruthy(seen)) return seen;
    }
  }

  /** In so many milliseconds from now. Whole microseconds, so that a deadline is reached and not neared. */
  #microsecondsFrom(ms: number): number {
    return this.#world.scheduler.nowUs + Math.round(ms * 1000);
  }

  #notHeld(patienceMs: number): KvorumError {
    const states = this.nodes.map((node) => {
      const { state, role } = this.status(node);
      return `${node} ${state === 'running' ? (role ?? 'forming') : state}`;
    });
    const message = `the condition did not hold within ${patienceMs} ms of virtual time`;
    return new KvorumError('TIMEOUT', `${message}; ${states.join(', ')}`);
  }

  #use(): void {
    if (this.#isDisposed) throw disposedError();
  }

  #surroundings(): ClientSurroundings {
    return {
      time: this.#time,
      calls: this.#calls,
      tell: (name, what) => this.#world.trace.add(name, what),
      isDisposed: () => this.#isDisposed,
    };
  }

  #failure(): KvorumError | undefined {
    const violations: readonly Violation[] = this.#world.violations.list;
    if (violations.length === 0) return undefined;
    this.#isTold = true;
    return brokenError(violations, this.seed, this.#world.trace.text);
  }

  /** What the test does is part of the run, and of its hash. */
  #tell(what: string): void {
    this.#world.trace.add('test', what);
    this.#world.scheduler.note(what);
  }

  #hosts(): string[] {
    return [...this.nodes, ...this.#clients.keys()];
  }

  #machine(node: string | undefined): Machine {
    this.#use();
    return check.nodeOf(node, this.#world.machines);
  }

  #machineThatRuns(node: string | undefined, action: string): Machine {
    const machine = this.#machine(node);
    const { name } = machine;
    if (!machine.isUp) throw check.wrongState(name, 'down', action, `start it with restart('${name}')`);
    return machine;
  }

  #takeDown(machine: Machine, kind: 'power' | 'kill'): void {
    machine.crash({
      kind: 'crash',
      atMs: this.now,
      node: machine.ordinal - 1,
      afterEffects: 0,
      downMs: Infinity,
      machine: kind,
      unsynced: 'subset',
      entries: 'subset',
    });
  }

  #block(ways: readonly (readonly [from: string, to: string])[]): void {
    const open = ways.filter(([from, to]) => !this.#cuts.has(`${from}>${to}`));
    for (const [from, to] of open) this.#cuts.add(`${from}>${to}`);
    this.#world.network.block(open);
  }
}
