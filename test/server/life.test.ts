// A node whose store and log are replaced: a stop waits until it is over, a full disk until there is room.

import { describe, expect, it } from 'vitest';
import type { Done } from '../../src/base/env.js';
import { KvorumError } from '../../src/base/errors.js';
import { termMax } from '../../src/base/terms.js';
import { thisSoftware, type Software } from '../../src/kv/format-level.js';
import { appliedKey } from '../../src/kv/records/schema.js';
import type { OpenStore } from '../../src/kv/store.js';
import type { Clients } from '../../src/server/front/clients.js';
import { ClusterView } from '../../src/server/life/cluster-view.js';
import { Life } from '../../src/server/life/life.js';
import type { Peers, ProvedPeer } from '../../src/server/peers/peers.js';
import { writeFormationRecord } from '../../src/server/life/formation-record.js';
import { firstCurrent } from '../../src/storage/folder/current.js';
import { readDamage, writeDamage } from '../../src/storage/folder/damage.js';
import type { SnapshotFrame } from '../../src/wire/snapshots/frames.js';
import { ownVersions } from '../../src/wire/versions.js';
import { hashChunk } from '../../src/wire/snapshots/codec.js';
import { encodeCommand } from '../../src/wire/commands/command-codec.js';
import { encodeEntryPayload } from '../../src/wire/commands/entry-codec.js';
import { storeOf } from '../../src/server/life/standing.js';
import { command, put } from '../kv/helpers.js';
import { FakeCaller } from './clients-world.js';
import { appliedAt, MemoryStores, PairBench } from './pair-world.js';

/** Stores of which the test can hold back lists and openings. */
class HeldStores extends MemoryStores {
  holdsLists = false;
  holdsOpenings = false;
  readonly lists: (() => void)[] = [];
  readonly openings: (() => void)[] = [];

  override list(done: (error: Error | undefined, names: readonly string[]) => void): void {
    if (this.holdsLists) this.lists.push(() => super.list(done));
    else super.list(done);
  }

  override open(name: string, done: (error: Error | undefined, store: OpenStore | undefined) => void): void {
    if (this.holdsOpenings) this.openings.push(() => super.open(name, done));
    else super.open(name, done);
  }
}

/** Member n1 of three, alone with what the test tells it. */
class Bench {
  readonly pair: PairBench;
  readonly stores: HeldStores;
  readonly sent: SnapshotFrame[] = [];
  readonly failures: Error[] = [];
  readonly life: Life;
  settled = 0;

  constructor(software = thisSoftware, pair = PairBench.fresh(1)) {
    this.pair = pair;
    pair.software = software;
    const { timers } = pair.world.options();
    this.stores = new HeldStores((callback) => timers.defer(callback));
    for (const [name, snapshot] of pair.stores.contents) this.stores.contents.set(name, snapshot);
    const { env, config } = pair.options;
    const nothing = (): void => undefined;
    const peers = {
      isUp: () => false,
      send: nothing,
      sendSnapshot: (_peer: string, frame: SnapshotFrame) => this.sent.push(frame) > 0,
      reconnectAll: nothing,
    };
    const clients = { closeAll: nothing, notifyLeader: nothing };
    this.life = new Life({
      env,
      stores: this.stores,
      nodeId: 'n1',
      view: new ClusterView('n1', pair.formation.members),
      config,
      software: this.pair.options.software,
      version: '0.0.0',
      pid: 1,
      clients: clients as unknown as Clients,
      peers: peers as unknown as Peers,
      fail: (error) => this.failures.push(error),
      wake: nothing,
      contain: (run) => {
        try {
          run();
        } catch (error) {
          this.failures.push(error as Error);
        }
      },
    });
  }

  open(): void {
    this.life.open(() => undefined);
    this.run();
  }

  run(): void {
    this.pair.world.run();
  }

  /** Node `nodeId` proves itself. */
  answer(nodeId: string): void {
    const peer = this.peer(nodeId);
    expect(this.life.judge(peer)).toBeUndefined();
    this.life.heard(peer, false);
    this.run();
  }

  peer(nodeId: string): ProvedPeer {
    const { formatLevelMax } = ownVersions;
    const incarnation = nodeId.padEnd(32, '0');
    return { nodeId, formatLevelMax, formatLevel: 1, incarnation, currentTerm: 7, catchingUp: false };
  }

  /** n2 sends a snapshot of an empty history; `beforeEnd`: it is not yet whole. */
  sendSnapshot(appliedIndex: number, appliedTerm: number, beforeEnd = (): void => undefined): void {
    const receiver = this.life.running?.installer.receiver;
    const sendingId = 1;
    const offer = { sendingId, appliedIndex, appliedTerm, revision: 0, formatLevel: 1 };
    receiver?.receive('n2', { kind: 'snapshotOffer', ...offer });
    this.run();
    expect(this.sent.at(-1)?.kind).toBe('snapshotCursor');
    beforeEnd();
    const records = appliedAt(appliedIndex, appliedTerm).filter(({ key }) => key === appliedKey);
    const chunk = { sendingId, sequence: 1, part: 'end', records } as const;
    receiver?.receive('n2', { kind: 'snapshotChunk', ...chunk, hash: hashChunk('end', 1, records) });
    this.run();
    expect(this.sent.at(-1)).toMatchObject({ kind: 'snapshotResult', state: 'staged' });
  }

  settle(): void {
    this.life.settle(() => this.settled++);
    this.run();
  }

  close(): void {
    let closed: Parameters<Done>[0] | 'no' = 'no';
    this.life.close((error) => (closed = error));
    this.run();
    expect(closed).toBeUndefined();
    expect(this.failures).toEqual([]);
  }
}

const release = (held: (() => void)[]): void => held.splice(0).forEach((run) => run());

describe('a node that stops while a snapshot is installed and the rest of a repair is removed', () => {
  /** A member that was repaired, whose unused stores are still to be removed. */
  function repaired(): Bench {
    const bench = new Bench();
    writeDamage(bench.pair.world.disk, { what: 'log', name: 'wal', message: 'bad' });
    bench.open();
    expect(bench.life.standing.kind).toBe('recovering');
    bench.stores.holdsLists = true;
    bench.answer('n2');
    bench.answer('n3');
    expect(bench.life.standing.kind).toBe('running');
    expect(bench.stores.lists).toHaveLength(1);
    return bench;
  }

  it('waits for the install when the rest is gone first', () => {
    const bench = repaired();
    bench.sendSnapshot(90, 8, () => (bench.stores.holdsOpenings = true));
    expect(bench.stores.openings).toHaveLength(1);
    bench.settle();
    release(bench.stores.lists);
    bench.run();
    expect(bench.settled).toBe(0);
    release(bench.stores.openings);
    bench.run();
    expect(bench.settled).toBe(0);
    release(bench.stores.lists);
    bench.run();
    expect(bench.life.standing.current.store).toBe('db-2');
    expect(bench.settled).toBe(1);
    bench.close();
  });

  it('waits for the rest when the install is done first', () => {
    const bench = repaired();
    bench.sendSnapshot(90, 8);
    expect(bench.life.standing.current.store).toBe('db-2');
    const [ofRepair, ofInstall] = bench.stores.lists.splice(0);
    ofInstall?.();
    bench.run();
    bench.settle();
    expect(bench.settled).toBe(0);
    ofRepair?.();
    bench.run();
    expect(bench.settled).toBe(1);
    bench.close();
  });
});

describe('a member whose own log names a term that nobody follows', () => {
  it('repairs it from the others, and goes on in the largest term that they know', () => {
    const bench = new Bench(thisSoftware, PairBench.fresh(1, undefined, termMax + 1));
    bench.open();
    expect(bench.life.standing.kind).toBe('recovering');
    bench.answer('n2');
    bench.answer('n3');
    expect(bench.life.standing.kind).toBe('running');
    expect(bench.life.running?.replica.raft.currentTerm).toBe(7);
    bench.close();
  });

  it('is none of these up to that term', () => {
    const bench = new Bench(thisSoftware, PairBench.fresh(1, undefined, termMax));
    bench.open();
    expect(bench.life.running?.replica.raft.currentTerm).toBe(termMax);
  });
});

describe('a full disk', () => {
  it('makes a repair wait until there is room', () => {
    const bench = new Bench();
    const { world } = bench.pair;
    writeDamage(world.disk, { what: 'log', name: 'wal', message: 'bad' });
    bench.open();
    world.disk.capacityBytes = 0;
    bench.answer('n2');
    bench.answer('n3');
    world.advance(25_000);
    expect(bench.life.standing.kind).toBe('recovering');
    world.disk.capacityBytes = Number.POSITIVE_INFINITY;
    world.advance(10_000);
    expect(bench.life.standing.kind).toBe('running');
    expect(bench.life.standing.current).toEqual({ store: 'db', log: 'wal-2', catchingUp: true });
    bench.settle();
    expect(bench.settled).toBe(1);
    bench.close();
  });

  it('gives up a snapshot, takes none for a while, and the member goes on', () => {
    const bench = new Bench();
    bench.open();
    const { world } = bench.pair;
    const replica = bench.life.running?.replica;
    bench.sendSnapshot(90, 8, () => (world.disk.capacityBytes = 0));
    expect(bench.life.standing.current.store).toBe('db');
    expect(replica?.isHalted).toBe(false);
    expect(bench.life.running?.replica).toBe(replica);
    world.disk.capacityBytes = Number.POSITIVE_INFINITY;
    const { receiver } = bench.life.running?.installer ?? expect.unreachable();
    receiver.receive('n2', {
      kind: 'snapshotOffer',
      sendingId: 2,
      appliedIndex: 91,
      appliedTerm: 8,
      revision: 0,
      formatLevel: 1,
    });
    expect(bench.sent.at(-1)).toMatchObject({ kind: 'snapshotResult', state: 'refused' });
    world.advance(10_000);
    bench.sendSnapshot(90, 8);
    expect(bench.life.standing.current.store).toBe('db-2');
    bench.settle();
    expect(bench.settled).toBe(1);
    bench.close();
  });
});

describe('a node whose software is below the level of the cluster', () => {
  const newer: Software = { ...thisSoftware, formatLevelMax: 2 };
  const formatErrors = (bench: Bench): unknown[] =>
    bench.failures.map((error) => (KvorumError.is(error) ? error.code : error.message));

  it('does not start on a store of a higher level, and takes nothing for damaged', () => {
    const bench = new Bench();
    bench.stores.contents.set('db', appliedAt(5, 2, 2));
    expect(() => bench.open()).toThrow(expect.objectContaining({ code: 'FORMAT' }));
    expect(bench.life.standing.kind).toBe('opening');
    expect(readDamage(bench.pair.world.disk, firstCurrent)).toBeUndefined();
    expect([...bench.stores.contents.keys()]).toEqual(['db']);
  });

  it('does not start in a cluster that was formed at a higher level', () => {
    const bench = new Bench();
    const formation = { ...bench.pair.formation, formatLevel: 2 };
    writeFormationRecord(bench.pair.world.disk, { ...bench.pair.record, formation, namesPair: true });
    expect(() => bench.open()).toThrow(/the cluster was formed at format level 2/);
  });

  it('starts on it when its software is as new', () => {
    const bench = new Bench(newer);
    bench.stores.contents.set('db', appliedAt(5, 2, 2));
    bench.open();
    expect(bench.life.status()).toMatchObject({ state: 'running', formatLevel: 2, formatLevelMax: 2 });
    expect(bench.life.own()).toMatchObject({ formatLevelMax: 2, claim: { formatLevel: 2 } });
  });

  it('ends when a member that proved itself is above it', () => {
    const bench = new Bench();
    bench.open();
    const peer = { ...bench.peer('n2'), formatLevel: 2, formatLevelMax: 2 };
    // What is told to the other side must not be what ends it.
    expect(bench.life.judge(peer)).toMatchObject({ kind: 'refusal', code: 'PROTOCOL' });
    expect(formatErrors(bench)).toEqual(['FORMAT']);
  });

  it('is refused by a member whose store is above it', () => {
    const bench = new Bench(newer);
    bench.stores.contents.set('db', appliedAt(5, 2, 2));
    bench.open();
    const refusal = bench.life.judge({ ...bench.peer('n2'), formatLevelMax: 1 });
    expect(refusal).toMatchObject({ code: 'FORMAT' });
    expect(bench.failures).toEqual([]);
  });

  const raise = encodeEntryPayload({ clusterTimeMs: 0, wallTimeMs: 0 }, 2, [
    encodeCommand({ kind: 'raiseFormat', level: 2 }),
  ]);

  it('does not start on a log that goes above it, and takes nothing for damaged', () => {
    const bench = new Bench(thisSoftware, PairBench.fresh(1, raise));
    expect(() => bench.open()).toThrow(expect.objectContaining({ code: 'FORMAT' }));
    expect(bench.life.standing.kind).toBe('opening');
    expect(readDamage(bench.pair.world.disk, firstCurrent)).toBeUndefined();
    const upgraded = new Bench(newer, bench.pair);
    upgraded.open();
    expect(upgraded.life.status()).toMatchObject({ state: 'running', formatLevel: 1 });
  });

  it('as a new leader refuses for good only what the newest level does not know', () => {
    const ahead: Software = { ...newer, commandLevels: { ...thisSoftware.commandLevels, put: 2 } };
    const bench = new Bench(ahead, PairBench.fresh(1, raise));
    bench.open();
    const { replica } = bench.life.running ?? expect.unreachable();
    const caller = new FakeCaller();
    const ask = (requestId: number): void => {
      const bytes = encodeCommand(command(put('k', 'v'), requestId));
      replica.request(caller, { kind: 'write', requestId, timeoutMs: 1_000, command: bytes });
    };
    const from = { from: 'n2', to: 'n1' };
    replica.receive({ kind: 'timeoutNow', ...from, term: 4 });
    bench.run();
    const { currentTerm: term } = replica.raft;
    replica.receive({ kind: 'requestVoteResult', ...from, term, voteGranted: true, refusal: undefined });
    bench.run();
    expect(replica.raft).toMatchObject({ role: 'leader', commitIndex: 5, lastIndex: 9 });
    ask(1);
    expect(caller.answers).toMatchObject([{ kind: 'error', code: 'UNAVAILABLE', outcome: 'none' }]);
    const result = { success: true, matchIndex: 9, hintIndex: 0, hintTerm: 0 };
    replica.receive({ kind: 'appendEntriesResult', ...from, term, ...result });
    bench.run();
    expect(bench.life.status()).toMatchObject({ appliedIndex: 9, formatLevel: 2 });
    ask(2);
    expect(caller.answers).toHaveLength(1);
    expect(replica.pendingRequests.writes).toBe(1);
    expect(bench.failures).toEqual([]);
  });

  it('judges by the level of the formation before that is applied', () => {
    const ahead: Software = { ...newer, commandLevels: { ...thisSoftware.commandLevels, put: 2 } };
    const bench = new Bench(ahead);
    const formation = { ...bench.pair.formation, formatLevel: 2 };
    writeFormationRecord(bench.pair.world.disk, { ...bench.pair.record, formation, namesPair: true });
    bench.open();
    const { replica } = bench.life.running ?? expect.unreachable();
    // The store of the bench stands for one that has not applied it.
    expect(storeOf(bench.life.standing)?.stateMachine.formatLevel).toBe(1);
    replica.receive({ kind: 'timeoutNow', from: 'n2', to: 'n1', term: 4 });
    bench.run();
    const { currentTerm: term } = replica.raft;
    replica.receive({
      kind: 'requestVoteResult',
      from: 'n2',
      to: 'n1',
      term,
      voteGranted: true,
      refusal: undefined,
    });
    bench.run();
    const caller = new FakeCaller();
    const bytes = encodeCommand(command(put('k', 'v'), 1));
    replica.request(caller, { kind: 'write', requestId: 1, timeoutMs: 1_000, command: bytes });
    expect(caller.answers).toEqual([]);
    expect(replica.pendingRequests.writes).toBe(1);
  });

  it('takes no entry that is above it, and changes nothing', () => {
    const bench = new Bench();
    bench.open();
    const { replica } = bench.life.running ?? expect.unreachable();
    const { lastIndex, currentTerm } = replica.raft;
    const entries = [{ index: lastIndex + 1, term: 9, kind: 'command', payload: raise } as const];
    const place = { prevLogIndex: lastIndex, prevLogTerm: 3, leaderCommit: 5 };
    const append = { kind: 'appendEntries', from: 'n2', to: 'n1', term: 9, ...place, entries } as const;
    expect(() => replica.receive(append)).toThrow(expect.objectContaining({ code: 'FORMAT' }));
    bench.run();
    expect(replica.raft).toMatchObject({ lastIndex, currentTerm });
    // What an earlier term says is of no leader any more.
    replica.receive({ kind: 'heartbeat', from: 'n2', to: 'n1', term: 10, leaderCommit: 0, round: 1 });
    replica.receive(append);
    bench.run();
    expect(replica.raft).toMatchObject({ lastIndex, currentTerm: 10 });
  });
});
