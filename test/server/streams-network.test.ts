// Streams between production nodes and clients in the virtual world: over links with latency and a bound on
// their bandwidth, with readers that are fast, slow or cut off. What a node was asked for and no reader has
// yet is what is buffered for it, wherever it is.

import { describe, expect, test } from 'vitest';
import type { LinkId } from '../../src/base/env.js';
import type { KvorumError } from '../../src/base/errors.js';
import type { ClientEngine } from '../../src/client/engine/engine.js';
import type { ClientEnv, ClientNetworkHandler } from '../../src/client/engine/env.js';
import { World } from '../../src/sim/run/world.js';
import { calmPlan } from '../../src/sim/testing/plan.js';
import { clientProcess, createClient } from '../../src/sim/world/client.js';
import { decodeServerFrames } from '../../src/wire/clients/answer-codec.js';
import { encodeClientFrames } from '../../src/wire/clients/request-codec.js';
import type { ServerFrame, StreamData } from '../../src/wire/clients/answers.js';
import type { ClientFrame } from '../../src/wire/clients/requests.js';
import { clientHello } from './clients-world.js';
import { Held, Numbers, numberOf, numbersArgument } from './stream-topics.js';

const frameBytes = 1_000;

class StreamWorld {
  readonly topics = { fast: new Numbers(), slow: new Numbers(), narrow: new Numbers(), cut: new Numbers() };
  readonly held = new Held();
  readonly world: World;
  private clients = 0;

  constructor(seed: number) {
    const plan = calmPlan(seed, 3);
    const conditions = { ...plan.conditions, latencyUsMin: 2_000, latencyUsMean: 1_000 };
    this.world = new World({ ...plan, conditions }, 'words', undefined, { ...this.topics, held: this.held });
    this.until(() => this.world.machines.every(({ node }) => node?.isReady === true), 'the cluster');
  }

  get nowMs(): number {
    return this.world.scheduler.nowUs / 1_000;
  }

  /** Lets events happen until the condition holds. */
  until(condition: () => boolean, what: string, each: () => void = () => undefined): void {
    const giveUpUs = this.world.scheduler.nowUs + 120_000_000;
    while (!condition()) {
      if (this.world.step(giveUpUs) === undefined) throw new Error(`waited in vain for ${what}`);
      each();
    }
    expect(this.world.violations.list).toEqual([]);
  }

  /** A client that speaks in frames, connected to node n1. */
  connect(name: string): RawClient {
    const client = new RawClient(this.world, name, 100 + this.clients++);
    this.until(() => client.isGreeted, `the greeting of ${name}`);
    return client;
  }

  /** A client with the production engine. */
  engine(name: string): ClientEngine {
    const { scheduler, network, members } = this.world;
    const endpoints = members.map(({ address }) => address);
    return createClient(scheduler, network, 7, name, 100 + this.clients++, endpoints).engine;
  }
}

/** Reads one stream of numbers, giving credit as it reads, and keeps everything else. */
class RawClient {
  readonly name: string;
  readonly numbers: number[] = [];
  readonly others: ServerFrame[] = [];
  isGreeted = false;
  isClosed = false;
  end: string | undefined;
  endMs = 0;
  /** How long it is busy with each frame. */
  delayMs = 0;
  private readonly env: ClientEnv;
  private readonly link: LinkId;
  private readonly world: World;
  private sequence = 0;
  private firstMs: number | undefined;

  constructor(world: World, name: string, ordinal: number) {
    this.name = name;
    this.world = world;
    const handler: ClientNetworkHandler = {
      onOpen: () => this.say(clientHello),
      onMessage: (_link, message) => {
        for (const frame of decodeServerFrames(message)) this.receive(frame);
      },
      onClosed: () => (this.isClosed = true),
    };
    this.env = clientProcess(world.scheduler, world.network, 7, name, ordinal, () => handler).env;
    this.link = this.env.network.open(world.members[0]?.address ?? '');
  }

  say(...frames: readonly ClientFrame[]): void {
    expect(this.env.network.send(this.link, encodeClientFrames(frames))).toBe(true);
  }

  read(topic: string, count: number, creditBytes: number): void {
    const argument = numbersArgument({ count, bytes: frameBytes });
    this.say({ kind: 'openStream', requestId: 1, topic, argument, creditBytes });
  }

  private receive(frame: ServerFrame): void {
    switch (frame.kind) {
      case 'hello':
        this.isGreeted = true;
        return;
      case 'streamData':
        this.take(frame);
        return;
      case 'streamEnd':
        this.end = frame.code;
        this.endMs = this.world.scheduler.nowUs / 1_000;
        return;
      default:
        this.others.push(frame);
    }
  }

  private take({ requestId, sequence, payload }: StreamData): void {
    expect(sequence).toBe(++this.sequence);
    this.numbers.push(numberOf(payload));
    const give = (): void => {
      if (this.end === undefined) this.say({ kind: 'streamCredit', requestId, bytes: payload.length });
    };
    if (this.delayMs === 0) give();
    // One frame after the other: it is busy with those before.
    else this.env.timers.set(this.delayMs * this.numbers.length - this.sinceFirstMs(), give);
  }

  private sinceFirstMs(): number {
    const nowMs = this.world.scheduler.nowUs / 1_000;
    this.firstMs ??= nowMs;
    return Math.min(nowMs - this.firstMs, this.delayMs * this.numbers.length);
  }
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

describe.each([1, 2, 3])('streams over links of the virtual world, seed %i', (seed) => {
  test('are complete and in order for the fast, the slow, and one on a narrow way; one is cut', () => {
    const streams = new StreamWorld(seed);
    const { world, topics } = streams;
    const [fast, slow, narrow, cut] = ['fast', 'slow', 'narrow', 'cut'].map((name) => streams.connect(name));
    if (fast === undefined || slow === undefined || narrow === undefined || cut === undefined) return;
    world.network.narrow([['n1', 'narrow']], { bytesPerSecond: 250_000, bufferBytesMax: 16_000_000 });
    slow.delayMs = 50;
    fast.read('fast', 5_000, 64_000);
    slow.read('slow', 200, 8_000);
    narrow.read('narrow', 1_000, 16_000_000);
    cut.read('cut', 100_000, 64_000);

    const most = { slow: 0, narrow: 0 };
    const look = (): void => {
      most.slow = Math.max(most.slow, topics.slow.asked - slow.numbers.length);
      most.narrow = Math.max(most.narrow, topics.narrow.asked - narrow.numbers.length);
    };
    streams.until(() => cut.numbers.length >= 500, 'half of what is cut', look);
    world.network.reset([['n1', 'cut']]);
    streams.until(() => fast.end !== undefined, 'the fast one', look);
    // By then the slow ones had hardly begun.
    expect(slow.numbers.length).toBeLessThan(50);
    expect(narrow.numbers.length).toBeLessThan(500);
    streams.until(() => slow.end !== undefined && narrow.end !== undefined, 'the slow ones', look);
    streams.until(() => cut.isClosed && topics.cut.openNow === 0, 'the end of what was cut', look);

    expect([fast.end, slow.end, narrow.end, cut.end]).toEqual(['OK', 'OK', 'OK', undefined]);
    expect(fast.numbers).toEqual(upTo(5_000));
    expect(slow.numbers).toEqual(upTo(200));
    expect(narrow.numbers).toEqual(upTo(1_000));
    expect(cut.numbers).toEqual(upTo(cut.numbers.length));
    expect(cut.numbers.length).toBeLessThan(100_000);
    // Credit bounds what is under way to the one, its connection's backlog what is to the other.
    expect(most.slow).toBe(8);
    expect(most.narrow).toBeGreaterThan(100);
    expect(most.narrow * frameBytes).toBeLessThan(200_000);
    expect([slow.isClosed, narrow.isClosed]).toEqual([false, false]);
    expect(world.machines.map(({ node }) => node?.isReady)).toEqual([true, true, true]);
  });

  test('leave the other requests of a connection alone while they wait for credit', () => {
    const streams = new StreamWorld(seed);
    const client = streams.connect('slow');
    client.delayMs = 1_000_000;
    client.read('slow', 1_000, 100_000);
    streams.until(() => client.numbers.length === 100, 'what the credit allows');
    const askedMs = streams.nowMs;
    client.say({ kind: 'ping', requestId: 2 }, { kind: 'status', requestId: 3, timeoutMs: 1_000 });
    streams.until(() => client.others.length >= 2, 'the answers');
    expect(client.others.map(({ kind }) => kind).filter((kind) => kind !== 'leader')).toEqual([
      'pong',
      'status',
    ]);
    expect(streams.nowMs - askedMs).toBeLessThan(100);
    expect(client.numbers).toHaveLength(100);
  });

  test('end with their node: in order, or killed', () => {
    const streams = new StreamWorld(seed);
    const { world, held } = streams;
    for (const how of ['stop', 'kill'] as const) {
      const client = streams.connect(`of-${how}`);
      client.say({
        kind: 'openStream',
        requestId: 1,
        topic: 'held',
        argument: new Uint8Array(0),
        creditBytes: 10,
      });
      streams.until(() => held.sources.length === (how === 'stop' ? 1 : 2), 'the stream');
      const [machine] = world.machines;
      if (how === 'stop') machine?.restart(1);
      else {
        const { downMs, ...crash } = { downMs: 1, node: 1, atMs: 0, afterEffects: 0 };
        machine?.crash({ ...crash, downMs, kind: 'crash', machine: 'kill', unsynced: 'all', entries: 'all' });
      }
      streams.until(() => client.isClosed, 'the end');
      // A process that is killed closes nothing.
      expect(held.sources.map(({ closed }) => closed)).toEqual(how === 'stop' ? [1] : [1, 0]);
      streams.until(() => world.machines.every(({ node }) => node?.isReady === true), 'the node again');
    }
  });
});

describe('the client engine', () => {
  interface Read {
    readonly numbers: number[];
    end: KvorumError | 'OK' | undefined;
  }

  /** Reads a stream of numbers by the engine; `delayMs` for each frame. */
  function read(streams: StreamWorld, name: string, topic: string, count: number, creditBytes: number): Read {
    const engine = streams.engine(name);
    let isConnected = false;
    engine.submit({ kind: 'status', readFrom: 'nearest' } as never, 10_000, () => (isConnected = true));
    streams.until(() => isConnected, 'the connection');
    const found: Read = { numbers: [], end: undefined };
    const argument = numbersArgument({ count, bytes: frameBytes });
    const handle = engine.openStream(
      { topic, argument, creditBytes },
      {
        data: (payload) => {
          found.numbers.push(numberOf(payload));
          handle.consumed(payload.length);
        },
        end: (error) => (found.end = error ?? 'OK'),
      },
    );
    return found;
  }

  test('reads a stream to its end with a small window, and is told why one cannot be', () => {
    const streams = new StreamWorld(4);
    const whole = read(streams, 'c1', 'fast', 1_000, 3_000);
    const unknown = read(streams, 'c2', 'nothing', 1, 1_000);
    streams.until(() => whole.end !== undefined && unknown.end !== undefined, 'both ends');
    expect([whole.end, whole.numbers]).toEqual(['OK', upTo(1_000)]);
    expect(unknown.end).toMatchObject({ code: 'UNSUPPORTED' });
    expect(streams.topics.fast.openNow).toBe(0);
  });

  test('is told when the connection under its stream is lost', () => {
    const streams = new StreamWorld(5);
    const lost = read(streams, 'c1', 'cut', 1_000_000, 30_000);
    streams.until(() => lost.numbers.length > 300, 'some of it');
    streams.world.network.reset(['n1', 'n2', 'n3'].map((node) => [node, 'c1'] as const));
    streams.until(() => lost.end !== undefined && streams.topics.cut.openNow === 0, 'the end');
    expect(lost.end).toMatchObject({ code: 'UNAVAILABLE' });
    expect(lost.numbers).toEqual(upTo(lost.numbers.length));
  });
});
