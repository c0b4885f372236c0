// npm run mutants: hunts every mutant with the simulator and says which seed killed it. Exit code 1 when one
// survives or is stale, or when the product itself fails a seed; 130 when ended by Ctrl-C, with the table so
// far.
//
//   npm run mutants -- [--only M6,M9] [--seeds 2000] [--first 1] [--workers 2] [--json]

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { alignColumns } from '../../src/cli/terminal/output.js';
import { hunt, type Hunted, killHunts } from './hunt.js';
import { laterMutants, mutants } from './list.js';
import type { Mutant } from './mutant.js';
import { Workshop } from './workshop.js';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    seeds: { type: 'string', default: '2000' },
    first: { type: 'string', default: '1' },
    workers: { type: 'string', default: String(Math.min(2, availableParallelism())) },
    json: { type: 'boolean', default: false },
  },
});

const chosen = choose(values.only);
const results: Hunted[] = [];
const hunting = new Map<string, number>();
let interrupted = false;

process.on('SIGINT', stop);
process.on('SIGTERM', stop);
const shown = setInterval(show, process.stderr.isTTY ? 200 : 30_000);
const workshop = new Workshop();
const queue = [...chosen];
await Promise.all(Array.from({ length: number(values.workers, 'workers') }, work));
clearInterval(shown);
report();

function choose(only: string | undefined): readonly Mutant[] {
  if (only === undefined) return mutants;
  return only.split(',').map((id) => {
    const mutant = mutants.find((candidate) => candidate.id.toLowerCase() === id.trim().toLowerCase());
    if (mutant !== undefined) return mutant;
    const later = laterMutants.find((candidate) => candidate.id === id.trim());
    const known = mutants.map((candidate) => candidate.id).join(', ');
    console.error(
      later === undefined ? `no mutant ${id}; there are ${known}` : `${id} comes with ${later.feature}`,
    );
    process.exit(2);
  });
}

function number(text: string, option: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  console.error(`--${option} must be a whole number of at least 1, not ${text}`);
  process.exit(2);
}

async function work(): Promise<void> {
  for (let mutant = queue.shift(); mutant !== undefined && !interrupted; mutant = queue.shift()) {
    const result = await hunt(mutant, {
      workshop,
      firstSeed: number(values.first, 'first'),
      seedsMax: number(values.seeds, 'seeds'),
      onProgress: ({ id }, seeds) => hunting.set(id, seeds),
    });
    hunting.delete(mutant.id);
    if (interrupted) return;
    results.push(result);
    if (!values.json) clear(`${rowOf(result).join('  ')}\n`);
  }
}

function stop(): void {
  interrupted = true;
  killHunts();
}

function show(): void {
  const now = [...hunting].map(([id, seeds]) => `${id} (${seeds} seeds)`).join(', ');
  const line = `${results.length} of ${chosen.length} mutants, now ${now}`;
  process.stderr.write(process.stderr.isTTY ? `\r\u001b[2K${line}` : `${line}\n`);
}

function clear(text: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\u001b[2K${text}` : text);
}

function rowOf({ id, name, verdict, seed, seeds, violation, seconds }: Hunted): string[] {
  const words = verdict === 'killed' || verdict === 'equivalent' ? verdict : verdict.toUpperCase();
  return [id, name, words, String(seed ?? ''), String(seeds), violation ?? '', seconds.toFixed(1)];
}

function report(): void {
  clear('');
  const order = new Map(mutants.map(({ id }, position) => [id, position]));
  results.sort((a, b) => (order.get(a.id) ?? 0) - (order.get(b.id) ?? 0));
  const killed = results.filter(({ verdict }) => verdict === 'killed');
  const bad = results.filter(({ verdict }) => verdict !== 'killed' && verdict !== 'equivalent');
  const unsoundSeeds = [...new Set(results.flatMap((result) => result.unsoundSeeds))].sort((a, b) => a - b);
  const median = medianOf(killed.map(({ seeds }) => seeds));
  const summary = {
    mutants: results.length,
    killed: killed.length,
    bad: bad.length,
    medianSeeds: median,
    unsoundSeeds,
  };
  if (values.json) {
    console.log(JSON.stringify({ results, later: laterMutants, ...summary, interrupted }));
  } else {
    const head = ['id', 'what is wrong', 'verdict', 'by seed', 'seeds', 'promise broken', 'seconds'];
    for (const line of alignColumns([head, ...results.map(rowOf)], [3, 4, 6])) console.log(line);
    for (const { id, verdict, words } of results) {
      if (verdict !== 'killed' && words !== undefined) console.log(`${id} is ${verdict}: ${words}`);
    }
    for (const { id, name, feature } of laterMutants) console.log(`${id} comes with ${feature}: ${name}`);
    if (unsoundSeeds.length > 0) {
      console.log(
        `without any mutant a promise breaks in seeds ${unsoundSeeds.join(', ')}: see kvorum sim --seed`,
      );
    }
    const middle = median === undefined ? '' : `, median ${median} seeds`;
    console.log(`${killed.length} of ${results.length} killed${middle}; ${bad.length} to be looked into`);
  }
  const isBad = bad.length > 0 || unsoundSeeds.length > 0;
  process.exitCode = interrupted ? 130 : isBad ? 1 : 0;
}

function medianOf(numbers: number[]): number | undefined {
  return numbers.sort((a, b) => a - b)[Math.floor((numbers.length - 1) / 2)];
}
