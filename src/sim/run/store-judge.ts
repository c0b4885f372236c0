// Compares what the stores hold at the end of a run: the core's histories are the same, and nobody else's is
// beside them. A value that rotted (a fault of the plan) counts as what was written: the rot shows when the
// value is read, and it may have been superseded before that.

import type { StoreRecord } from '../../kv/store.js';
import { checkReplicas } from '../checkers/raft/replica-equality.js';
import type { Violations } from '../checkers/violations.js';
import type { VersionFact } from '../checkers/clients/timeline.js';
import type { Machine } from '../world/machine/machine.js';
import type { RottenRecord } from '../world/machine/damage.js';
import { factsOf } from './store-facts.js';

/** Returns the history that the core agrees on. */
export function judgeStores(
  core: readonly Machine[],
  machines: readonly Machine[],
  violations: Violations,
): VersionFact[] {
  const rotten = machines.flatMap((machine) => machine.rotten);
  const recordsOf = (machine: Machine): StoreRecord[] => {
    const records = machine.records();
    return rotten.length === 0 ? records : records.map((record) => asWritten(record, rotten));
  };
  const replicas = core.map((machine) => ({ name: machine.name, records: recordsOf(machine) }));
  checkReplicas(replicas, violations);
  const histories = replicas.map(({ records }) => factsOf(records));
  const [first = []] = histories;
  const all = JSON.stringify(first);
  for (const history of histories) {
    if (JSON.stringify(history) === all) continue;
    violations.add('stateMachineSafety', 'cluster', 'the histories in the stores differ');
  }
  for (const machine of machines) {
    if (core.includes(machine)) continue;
    // What stays wrong may be behind, but never beside the others.
    const behind = factsOf(recordsOf(machine));
    if (JSON.stringify(behind) === JSON.stringify(first.slice(0, behind.length))) continue;
    violations.add('stateMachineSafety', machine.name, 'its history is no prefix of the others');
  }
  return first;
}

/** What was written where only rot is left; the same record may have rotted more than once. */
function asWritten(record: StoreRecord, rotten: readonly RottenRecord[]): StoreRecord {
  for (const { written, isNow } of rotten) {
    if (written.key === record.key && Buffer.compare(isNow, record.value) === 0) {
      return asWritten(written, rotten);
    }
  }
  return record;
}
