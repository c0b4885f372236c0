#!/usr/bin/env node
// etcd and kvorum in turn under the same closed loops on this machine, and the ratios.
//
//   npm run bench:peers -- [--rounds 1] [--ops put,get,stale] [--clients 1,64,1000] [--json]
//                          [--total 2000,40000,60000] [--connections 4] [--etcd-connections 1,10,100]
//
// Each round starts three etcd members, loads them, stops them, then does the same with three kvorum nodes;
// only one of the two runs at any time. With several rounds the medians are printed. Totals and etcd's
// connections are one per number of clients. Needs etcd and Go: `test/bench/etcd/etcd.sh install` (Debian, as
// root).

import { execFile, spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const run = promisify(execFile);
const etcd = fileURLToPath(new URL('./etcd/etcd.sh', import.meta.url));
const kvorum = fileURLToPath(new URL('../../bin/kvorum.js', import.meta.url));
const output = { maxBuffer: 64 * 1_048_576 };
const keys = '100000';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '1' },
    ops: { type: 'string', default: 'put,get,stale' },
    clients: { type: 'string', default: '1,64,1000' },
    total: { type: 'string', default: '2000,40000,60000' },
    connections: { type: 'string', default: '4' },
    'etcd-connections': { type: 'string', default: '1,10,100' },
    json: { type: 'boolean', default: false },
  },
});

const operations = values.ops.split(',');
const rounds = wholeNumbers('rounds')[0];
const clientCounts = wholeNumbers('clients');
const totals = wholeNumbers('total');
const etcdConnections = wholeNumbers('etcd-connections');
if (totals.length !== clientCounts.length || etcdConnections.length !== clientCounts.length) {
  fail('--total and --etcd-connections need one number per number of --clients', 2);
}

function wholeNumbers(option) {
  return values[option].split(',').map((text) => {
    if (!/^[1-9]\d{0,8}$/.test(text)) fail(`--${option}: "${text}" is not a whole number of at least 1`, 2);
    return Number(text);
  });
}

function fail(message, code = 1) {
  console.error(`bench:peers: ${message}`);
  process.exit(code);
}

function requireInstalled(program) {
  const { error } = spawnSync(program, ['version'], { stdio: 'ignore' });
  if (error)
    fail(`${program} is not installed (${error.code}): run ${etcd} install (Debian, as root), then again`);
}

/** Every workload of one round, in the same order for both systems. */
function workloads() {
  return operations.flatMap((operation) =>
    clientCounts.map((clients, index) => ({
      operation,
      clients,
      total: totals[index],
      etcdConnections: etcdConnections[index],
    })),
  );
}

async function loadEtcd({ operation, clients, total, etcdConnections: connections }) {
  const shape = ['-op', operation, '-clients', clients, '-conns', connections, '-keys', keys].map(String);
  const once = async (count) => {
    const { stdout } = await run(etcd, ['load', ...shape, '-total', String(count)], output);
    return JSON.parse(stdout);
  };
  // The same warm-up as kvorum's: about a tenth of the run, not counted.
  await once(Math.ceil(total / 10));
  const { opsPerSecond, p50Ms, p99Ms, p999Ms, failed } = await once(total);
  return { operation, clients, operationsPerSecond: opsPerSecond, p50Ms, p99Ms, p999Ms, failed };
}

async function measureEtcd() {
  await run(etcd, ['up'], output);
  try {
    const results = [];
    // Fill the key space, as kvorum's bench does before it measures.
    await loadEtcd({ operation: 'put', clients: 256, total: Number(keys), etcdConnections: 10 });
    for (const workload of workloads()) {
      console.error(`etcd: ${workload.operation}, ${workload.clients} clients`);
      results.push(await loadEtcd(workload));
    }
    return results;
  } finally {
    await run(etcd, ['down'], output);
  }
}

async function measureKvorum() {
  const results = [];
  for (const [index, clients] of clientCounts.entries()) {
    console.error(`kvorum: ${operations.join(', ')}, ${clients} clients`);
    const flags = ['--ops', values.ops, '--clients', clients, '--total', totals[index], '--keys', keys];
    const { stdout } = await run(
      process.execPath,
      [kvorum, 'bench', '--json', ...flags.map(String), '--connections', values.connections],
      output,
    );
    results.push(...JSON.parse(stdout).results);
  }
  return results;
}

/** The round's figures of one workload, each the median over all rounds. */
function median(results, { operation, clients }) {
  const same = results.filter((result) => result.operation === operation && result.clients === clients);
  const of = (field) => {
    const sorted = same.map((result) => result[field]).sort((a, b) => a - b);
    const middle = Math.floor(sorted.length / 2);
    return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  };
  return {
    operationsPerSecond: of('operationsPerSecond'),
    p50Ms: of('p50Ms'),
    p99Ms: of('p99Ms'),
    failed: same.reduce((sum, result) => sum + result.failed, 0),
  };
}

requireInstalled('etcd');
requireInstalled('go');
// Ctrl-C must not leave etcd running: it is in other processes than the one that waits here.
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    spawnSync(etcd, ['down'], { stdio: 'ignore' });
    process.exit(130);
  });
}

const etcdResults = [];
const kvorumResults = [];
for (let round = 1; round <= rounds; round++) {
  console.error(`round ${round} of ${rounds}`);
  etcdResults.push(...(await measureEtcd()));
  kvorumResults.push(...(await measureKvorum()));
}
const comparison = workloads().map((workload) => {
  const ours = median(kvorumResults, workload);
  const theirs = median(etcdResults, workload);
  const ratio = Number((ours.operationsPerSecond / theirs.operationsPerSecond).toFixed(2));
  return { operation: workload.operation, clients: workload.clients, kvorum: ours, etcd: theirs, ratio };
});

if (values.json) {
  console.log(JSON.stringify({ cores: cpus().length, rounds, comparison }));
} else {
  console.log(
    `${cpus().length} cores, ${cpus()[0]?.model}, Node ${process.version}, medians of ${rounds} round(s)`,
  );
  console.log('operation  clients  kvorum/s    etcd/s  ratio  kvorum p50/p99 ms  etcd p50/p99 ms  failed');
  for (const { operation, clients, kvorum: ours, etcd: theirs, ratio } of comparison) {
    const times = (figures) => `${figures.p50Ms.toFixed(2)}/${figures.p99Ms.toFixed(2)}`;
    console.log(
      [
        operation.padEnd(9),
        String(clients).padStart(8),
        String(Math.round(ours.operationsPerSecond)).padStart(9),
        String(Math.round(theirs.operationsPerSecond)).padStart(9),
        ratio.toFixed(2).padStart(6),
        times(ours).padStart(18),
        times(theirs).padStart(16),
        String(ours.failed + theirs.failed).padStart(7),
      ].join(' '),
    );
  }
}
