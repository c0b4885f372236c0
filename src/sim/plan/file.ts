// A plan as a JSON file, so that a failing run can be kept, shown to others, thinned out by hand and run
// again. Reading is strict: what is missing, mistyped or contradicts itself is refused with its place, since
// a plan that is half understood would prove nothing. Must not draw or change anything: a plan that was
// written and read is the same plan, to the last event. Source: research §4.9.

import { KvorumError } from '../../base/errors.js';
import { kvLimits } from '../../kv/commands.js';
import { formatLevels } from '../../kv/format-level.js';
import { membersMax } from '../../server/config/members.js';
import type { Aftermath, CorePlan } from './faults.js';
import {
  boolean,
  type Check,
  fraction,
  integer,
  integerFrom,
  list,
  number,
  numberFrom,
  objectOf,
  oneOf,
  optional,
  path as at,
  positive,
  refuse,
  type FieldChecks,
  text,
  textUpTo,
  time,
} from './file-checks.js';
import { faultRules } from './fault-rules.js';
import { checkReferences } from './file-references.js';
import type { ClientPlan, Knobs, MachinePlan, Plan, PlannedOperation, Steadiness } from './plan.js';
import { nodeConfigOf } from '../world/machine/config.js';
import { newerLevel } from '../world/machine/software.js';

/** The only version that is known. */
const formatVersion: Plan['formatVersion'] = 1;

/** Limits of what the parts of a plan may hold; plans that are drawn stay far below. */
const limits = {
  clients: 100,
  operations: 100_000,
  faults: 20_000,
  families: 1_000,
  nameBytes: 64,
  concurrency: 1_000,
  phaseMs: 86_400_000,
} as const;

/** As `start` allows it. */

/** Longer texts are refused. */
export const planTextLengthMax = 64 * 1_048_576;

const machineFields: FieldChecks<MachinePlan> = {
  name: textUpTo(limits.nameBytes),
  // Leases and timeouts are right for clocks that drift no more.
  clockRate: numberFrom(0.99, 1.01),
  clockStartMs: number,
  wallOffsetMs: number,
  eventCostUs: time,
  clockReadCostUs: time,
  startAtMs: time,
  snapshotLogEntriesMax: optional(integerFrom(1, Number.MAX_SAFE_INTEGER)),
  formatLevelMax: optional(integerFrom(formatLevels.min, newerLevel)),
};

const clientFields: FieldChecks<ClientPlan> = {
  name: textUpTo(limits.nameBytes),
  concurrency: integerFrom(1, limits.concurrency),
  timeoutMs: numberFrom(1, limits.phaseMs),
  readFrom: optional(oneOf<NonNullable<ClientPlan['readFrom']>>({ leader: 1, nearest: 1 })),
};

const operationFields: FieldChecks<PlannedOperation> = {
  atMs: time,
  client: integer,
  kind: oneOf<PlannedOperation['kind']>({ put: 1, delete: 1, get: 1, range: 1 }),
  key: textUpTo(kvLimits.keyBytesMax),
  condition: oneOf<PlannedOperation['condition']>({ any: 1, absent: 1, known: 1 }),
  valueBytes: integerFrom(0, kvLimits.valueBytesMax),
};

const knobsFields: FieldChecks<Knobs> = {
  segmentBytes: positive,
  quotaBytes: positive,
  appendEntriesMax: positive,
  appendBytesMax: positive,
  inFlightMessagesMax: positive,
  inFlightBytesMax: positive,
  applyBytesMax: positive,
  entryCacheBytesMax: positive,
  groupBytesMax: positive,
  groupIntervalMs: positive,
  sliceMs: positive,
  heartbeatIntervalMs: optional(positive),
  electionTimeoutMsMin: optional(positive),
  electionTimeoutMsMax: optional(positive),
  diskHungMs: optional(positive),
  snapshotLogEntriesMax: optional(positive),
  snapshotLogBytesMax: optional(positive),
  snapshotChunkBytes: optional(positive),
};

const coreFields: FieldChecks<CorePlan> = {
  nodes: list(integer),
  others: list(
    objectOf<CorePlan['others'][number]>({
      node: integer,
      state: oneOf<Aftermath>({ dead: 1, cut: 1, deaf: 1, mute: 1, flapping: 1, sick: 1, stuck: 1 }),
    }),
  ),
};

const planFields: FieldChecks<Plan> = {
  formatVersion: () => undefined,
  seed: integer,
  safetyMs: numberFrom(0, limits.phaseMs),
  healMs: numberFrom(0, limits.phaseMs),
  peerMode: oneOf<Plan['peerMode']>({ tcp: 1, datagram: 1 }),
  conditions: objectOf<Plan['conditions']>({
    latencyUsMin: time,
    latencyUsMean: time,
    loss: fraction,
    duplication: fraction,
    reordering: fraction,
  }),
  disk: objectOf<Plan['disk']>({
    writeUsMin: time,
    writeUsMean: time,
    syncUsMin: time,
    syncUsMean: time,
    unitBytes: optional(positive),
    tearsUnits: optional(boolean),
  }),
  store: objectOf<Plan['store']>({ readUsMean: time, batchUsMin: time, batchUsMean: time }),
  knobs: objectOf(knobsFields),
  machines: list(objectOf(machineFields), membersMax),
  clients: list(objectOf(clientFields), limits.clients),
  operations: list(objectOf(operationFields), limits.operations),
  families: list(text, limits.families),
  faults: list(checkFault, limits.faults),
  core: optional(objectOf(coreFields)),
  steady: optional(
    objectOf<Steadiness>({ fromMs: time, electionsMax: integerFrom(0, limits.faults), silenceMsMax: time }),
  ),
};

/**
 * The plan that the text holds. Throws INVALID_ARGUMENT that says where it is wrong and why, for example
 * `faults[3].untilMs is missing`.
 */
export function readPlan(planText: string): Plan {
  if (planText.length > planTextLengthMax) {
    throw invalid(`it has ${planText.length} characters, the limit is ${planTextLengthMax}`);
  }
  let plan: unknown;
  try {
    plan = JSON.parse(planText);
  } catch (error) {
    throw invalid(`it is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof plan !== 'object' || plan === null || Array.isArray(plan)) throw invalid('it is not an object');
  const version = 'formatVersion' in plan ? plan.formatVersion : undefined;
  if (version === undefined) throw invalid('it has no formatVersion');
  if (version !== formatVersion) {
    const words = `its formatVersion is ${JSON.stringify(version)}, this kvorum knows ${formatVersion}`;
    throw invalid(`${words}; run it with the kvorum that wrote it`);
  }
  objectOf(planFields)(plan, '');
  const checked = plan as Plan;
  checkKnobs(checked.knobs);
  checkReferences(checked);
  return checked;
}

/**
 * The plan as text: one machine, client, operation and fault per line, so that a person can take some out.
 */
export function writePlan(plan: Plan): string {
  const fields = Object.entries(plan).map(([name, value]) => `  ${JSON.stringify(name)}: ${lines(value)}`);
  return `{\n${fields.join(',\n')}\n}\n`;
}

function lines(value: unknown): string {
  const isTable = Array.isArray(value) && typeof value[0] === 'object';
  if (!isTable) return JSON.stringify(value);
  return `[\n${value.map((row) => `    ${JSON.stringify(row)}`).join(',\n')}\n  ]`;
}

/** Refuses knobs that no node would start with: they have the bounds of its configuration. */
function checkKnobs(knobs: Knobs): void {
  try {
    nodeConfigOf(knobs);
  } catch (error) {
    if (!KvorumError.is(error)) throw error;
    const [where = '', ...rest] = error.message.replace(configNames, knobOf).split(' ');
    refuse(where, rest.join(' '));
  }
}

/** `snapshot.chunkBytes`, `sliceMs` */
const configNames = /\b(?:([a-z]+)\.)?(\w+)\b/g;

/** The knob's place, when a field of the configuration has one; else the words as they are. */
function knobOf(words: string, group: string | undefined, name: string): string {
  const knob = group === 'snapshot' ? `snapshot${name.slice(0, 1).toUpperCase()}${name.slice(1)}` : name;
  return Object.hasOwn(knobsFields, knob) ? `knobs.${knob}` : words;
}

function checkFault(value: unknown, where: string): void {
  const kind = typeof value === 'object' && value !== null && 'kind' in value ? value.kind : undefined;
  if (kind === undefined) refuse(at(where, 'kind'), 'is missing');
  const rules: Readonly<Record<string, { readonly fields: Readonly<Record<string, Check>> }>> = faultRules;
  const shape = typeof kind === 'string' && Object.hasOwn(rules, kind) ? rules[kind]?.fields : undefined;
  if (shape === undefined) {
    const known = Object.keys(rules).join(', ');
    refuse(at(where, 'kind'), `is ${JSON.stringify(kind)}; the known faults are ${known}`);
  }
  objectOf({ kind: text, ...shape })(value, where);
}

function invalid(problem: string): KvorumError {
  return new KvorumError('INVALID_ARGUMENT', `this is not a plan: ${problem}`);
}
