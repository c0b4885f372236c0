// The child process of a mutant: runs seeds of the simulator in the folder it is given until a promise
// breaks, and tells its parent after each. It ends when its parent does.
//
//   node seeds.js <folder of dist> <first seed> <number of seeds>

import { setImmediate as turn } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const [folder, first, count] = process.argv.slice(2);
process.on('disconnect', () => process.exit());

const load = (path) => import(pathToFileURL(`${folder}/${path}`).href);
const [{ planOf }, { runSimulation }] = await Promise.all([
  load('sim/plan/draw.js'),
  load('sim/run/simulator.js'),
]);

for (let seed = Number(first); seed < Number(first) + Number(count); seed++) {
  const violation = runOne(seed);
  process.send({ seed, violation });
  // A message may come: that the parent is gone, most of all.
  await turn();
  if (violation !== undefined) break;
}
process.disconnect();

function runOne(seed) {
  try {
    const [violation] = runSimulation(planOf(seed)).violations;
    return violation && { id: violation.id, where: violation.where, message: violation.message };
  } catch (error) {
    // The simulator itself fell over: not a finding of a checker, but nothing that goes unnoticed either.
    return { id: 'exception', where: 'simulator', message: String(error?.stack ?? error) };
  }
}
