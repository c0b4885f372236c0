#!/usr/bin/env node
// Writes through the client while every node in turn is killed with SIGKILL and started again, then checks
// that each acknowledged write is there, that none was applied twice, and that all nodes agree.
//
//   node test/e2e/kill-each.js [--writes 20000] [--writers 64] [--turns 2] [--patience-ms 60000]
//
// Needs the built package (`npm run build`). Exit code 0 when everything holds, 1 with the list of what does
// not.
//
// Three quarters of the writes go to a key of their own, with the condition that the key is new: applied
// twice, the second time is a conflict or a second revision. The rest overwrite one key per writer: its
// `version` counts how often a write was applied. A write whose outcome is unknown counts as either.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { waitUntilWhole } from '../../dist/cli/bench/failover.js';
import { freePorts, LocalCluster } from '../../dist/cli/local-cluster.js';
import { connect, KvorumError } from '../../dist/client/index.js';

const { values } = parseArgs({
  options: {
    writes: { type: 'string', default: '20000' },
    writers: { type: 'string', default: '64' },
    turns: { type: 'string', default: '2' },
    'patience-ms': { type: 'string', default: '60000' },
  },
});

/** How long anything may take that is waited for. */
const patienceMs = Number(values['patience-ms']);

/** Every write in order of its number, with what became of it. */
class Ledger {
  /** @param {number} total */
  constructor(total) {
    this.total = total;
    this.next = 0;
    this.acknowledged = 0;
    /** Key to the one revision at which it was written, 0 where the outcome is unknown. */
    this.unique = new Map();
    /** Key to the acknowledged and the unknown writes, the last acknowledged value and its revision. */
    this.repeated = new Map();
    this.unknown = 0;
    this.failures = [];
  }

  /** The next write of a writer, or undefined when none is left below `limit`. */
  take(limit) {
    return this.next < limit ? this.next++ : undefined;
  }
}

/** One writer: takes numbers below the limit and writes them, one after the other. */
async function write(client, writer, ledger, limit) {
  for (let number = ledger.take(limit); number !== undefined; number = ledger.take(limit)) {
    const repeats = number % 4 === 3;
    const key = repeats ? `repeated/${writer}` : `unique/${number}`;
    try {
      const options = { timeoutMs: patienceMs, ...(repeats ? {} : { ifAbsent: true }) };
      const { revision } = await client.put(key, `value ${number}`, options);
      ledger.acknowledged += 1;
      if (repeats) note(ledger, key, { value: `value ${number}`, revision });
      else ledger.unique.set(key, revision);
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      if (error.outcome !== 'unknown') {
        ledger.failures.push(`write ${number} to ${key} failed: ${error.code}: ${error.message}`);
      } else {
        ledger.unknown += 1;
        if (repeats) note(ledger, key, undefined);
        else ledger.unique.set(key, 0);
      }
    }
  }
}

function note(ledger, key, written) {
  const known = ledger.repeated.get(key) ?? { acknowledged: 0, unknown: 0, value: '', revision: 0 };
  if (written === undefined) known.unknown += 1;
  else {
    if (written.revision <= known.revision) {
      ledger.failures.push(`${key}: revision ${written.revision} was acknowledged after ${known.revision}`);
    }
    known.acknowledged += 1;
    Object.assign(known, written);
  }
  ledger.repeated.set(key, known);
}

/** What the store holds against what was acknowledged. */
async function check(client, ledger, firstRevision) {
  const complaints = [...ledger.failures];
  const byKey = new Map();
  for await (const entry of client.range({ prefix: 'unique/', timeoutMs: patienceMs })) {
    byKey.set(Buffer.from(entry.key).toString(), entry);
  }
  for (const [key, revision] of ledger.unique) {
    const entry = byKey.get(key);
    if (entry === undefined) {
      if (revision > 0) complaints.push(`${key} was acknowledged at revision ${revision} and is lost`);
      continue;
    }
    if (entry.version !== 1) complaints.push(`${key} was written once and is at version ${entry.version}`);
    if (revision > 0 && entry.modRevision !== revision) {
      complaints.push(`${key} was acknowledged at revision ${revision} and is at ${entry.modRevision}`);
    }
    if (entry.text() !== `value ${key.slice('unique/'.length)}`)
      complaints.push(`${key} holds ${entry.text()}`);
  }
  for (const [key, { acknowledged, unknown, value, revision }] of ledger.repeated) {
    const entry = await client.get(key, { timeoutMs: patienceMs });
    const version = entry?.version ?? 0;
    if (version < acknowledged || version > acknowledged + unknown) {
      complaints.push(`${key}: ${acknowledged} writes acknowledged, ${unknown} unknown, version ${version}`);
    }
    if (unknown === 0 && (entry?.text() !== value || entry.modRevision !== revision)) {
      complaints.push(`${key}: last acknowledged is ${value} at ${revision}, the store has ${entry?.text()}`);
    }
  }
  const { nodes } = await agreement(client);
  const applied = nodes[0].revision - firstRevision;
  if (applied < ledger.acknowledged || applied > ledger.acknowledged + ledger.unknown) {
    complaints.push(
      `${ledger.acknowledged} writes acknowledged, ${ledger.unknown} unknown, ${applied} revisions`,
    );
  }
  const hashes = new Set(nodes.map((node) => node.stateHash));
  if (hashes.size !== 1) {
    complaints.push(`state hashes differ: ${nodes.map((node) => `${node.id} ${node.stateHash}`).join(', ')}`);
  }
  return { complaints, nodes };
}

/** The status in which every node reports the hash of the same index. */
async function agreement(client) {
  let status;
  const giveUpAt = performance.now() + patienceMs;
  while (performance.now() < giveUpAt) {
    status = await client.status();
    const whole = status.nodes.every((node) => node.reachable);
    if (whole && new Set(status.nodes.map((node) => node.stateHashIndex)).size === 1) return status;
    await sleep(100);
  }
  throw new Error(`the nodes do not reach the same index: ${JSON.stringify(status)}`);
}

/** Writes everything in stages; in each one a node is killed at the start and comes back half way. */
async function writeThroughKills(cluster, clients, observer, ledger) {
  const stages = Number(values.turns) * cluster.nodes.length;
  for (let stage = 0; stage < stages; stage++) {
    const limit = Math.floor((ledger.total * (stage + 1)) / stages);
    const settled = () => ledger.acknowledged + ledger.unknown + ledger.failures.length;
    const begun = settled() + (limit - settled()) / 10;
    const half = settled() + (limit - settled()) / 2;
    const leader = await waitUntilWhole(cluster, observer, patienceMs);
    const node = cluster.nodes[stage % cluster.nodes.length];
    const writers = Array.from({ length: Number(values.writers) }, (_, writer) =>
      write(clients[writer % clients.length], writer, ledger, limit),
    );
    const written = Promise.all(writers);
    while (settled() < begun) await sleep(1);
    const pid = cluster.pid(node.id);
    await cluster.kill(node.id);
    const role = node.id === leader ? 'leader' : 'follower';
    console.error(
      `stage ${stage + 1} of ${stages}: killed ${node.id} (${role}, process ${pid}) at ${ledger.next}`,
    );
    while (settled() < half) await sleep(5);
    cluster.start(node.id);
    await written;
  }
  await waitUntilWhole(cluster, observer, patienceMs);
}

async function main() {
  const directory = mkdtempSync(join(tmpdir(), 'kvorum-kill-each-'));
  const cluster = new LocalCluster({ directory, ports: await freePorts(3), logLevel: 'error' });
  const clients = [];
  try {
    cluster.startAll();
    for (let count = 0; count < 4; count++) {
      clients.push(await connect({ endpoints: cluster.endpoints, lazy: true, timeoutMs: patienceMs }));
    }
    const [observer] = clients;
    await waitUntilWhole(cluster, observer, patienceMs);
    const firstRevision = (await agreement(observer)).nodes[0].revision;
    const ledger = new Ledger(Number(values.writes));
    const startedAt = performance.now();
    await writeThroughKills(cluster, clients, observer, ledger);
    const { complaints, nodes } = await check(observer, ledger, firstRevision);
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
    const kills = Number(values.turns) * cluster.nodes.length;
    console.log(
      `${ledger.acknowledged} of ${ledger.total} writes acknowledged, ${ledger.unknown} unknown, ` +
        `${kills} nodes killed, ${seconds} s`,
    );
    for (const node of nodes)
      console.log(`${node.id} stateHash ${node.stateHash} at index ${node.stateHashIndex}`);
    for (const complaint of complaints.slice(0, 50)) console.log(`WRONG: ${complaint}`);
    console.log(
      complaints.length === 0
        ? 'every acknowledged write is there, none twice'
        : `${complaints.length} wrong`,
    );
    return complaints.length === 0 ? 0 : 1;
  } finally {
    await Promise.all(clients.map((client) => client.close()));
    await cluster.stopAll();
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main();
