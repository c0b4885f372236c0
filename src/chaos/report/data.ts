// What the report's timeline draws, small enough to stand in the page: operations as numbers, in lanes by
// client. When there are too many, every so manieth of the plainly successful ones stays, and of the others
// too where even they are too many; the page says so. The format is read by chaos/report/script.ts, nothing
// else.

import type { HistoryOperation } from '../../sim/history/file.js';
import { faultKinds } from '../plan.js';
import { finalClient, type ChaosEvidence } from '../run.js';

export interface TimelineData {
  /** Milliseconds from the start of the load to the end of the run. */
  readonly endMs: number;
  readonly loadEndMs: number;
  readonly clients: readonly string[];
  /** Without what all of them begin with. */
  readonly keys: readonly string[];
  readonly nodes: readonly string[];
  /**
   * Base64 of unsigned LEB128 numbers: for each client how many operations, then for each of them
   * microseconds since the call before it, microseconds it took, flags (kind, status * 8, 64 if it is part of
   * the proof), and the number of its key.
   */
  readonly operations: string;
  /** 1: all of the successful operations are there. Otherwise one in so many. */
  readonly oneIn: number;
  /** The same of all others, those that failed and those of unknown outcome. */
  readonly othersOneIn: number;
  readonly faults: readonly TimelineFault[];
  /** Node, condition, term, from and to in milliseconds. */
  readonly phases: readonly (readonly [
    node: number,
    condition: string,
    term: number,
    from: number,
    to: number,
  ])[];
}

export interface TimelineFault {
  readonly id: number;
  readonly kind: string;
  readonly group: string;
  readonly words: string;
  readonly from: number;
  readonly to: number;
}

export const operationKinds = ['get', 'put', 'delete', 'cas', 'txn'] as const;
export const operationStatuses = ['ok', 'fail', 'unknown'] as const;
const proofFlag = 64;
/** More would make the page heavier than what it shows is worth: about ten bytes each. */
const operationsMax = 250_000;
/** What there always is room for, so that a run in which hardly anything succeeded still shows what did. */
const successesMin = 50_000;

/** Operations of the proof are all there, and beyond the bound. */
export function timelineData(evidence: ChaosEvidence, proof: ReadonlySet<HistoryOperation>): TimelineData {
  const { loadFromNs, loadToNs, endNs } = evidence;
  const ms = (ns: number): number => Math.round((ns - loadFromNs) / 1e3) / 1e3;
  const nodes = [...new Set(evidence.phases.map(({ node }) => node))].sort();
  const thinning = thinningOf(evidence.operations);
  const lanes = lanesOf(evidence.operations, thinning, proof);
  const keys = [...new Set([...lanes.values()].flat().map(({ k }) => k))];
  return {
    endMs: ms(endNs),
    loadEndMs: ms(loadToNs),
    clients: [...lanes.keys()],
    keys: withoutCommonFolder(keys),
    nodes,
    operations: encode(evidence, lanes, keys, proof),
    ...thinning,
    faults: evidence.faults
      .filter(({ done }) => done === 'done')
      .map(({ id, kind, words, fromNs, toNs }) => {
        return { id, kind, group: faultKinds[kind].group, words, from: ms(fromNs), to: ms(toNs) };
      }),
    phases: evidence.phases.map(({ node, condition, term, fromNs, toNs }) => {
      return [nodes.indexOf(node), condition, term, ms(fromNs), ms(toNs)] as const;
    }),
  };
}

/** What the timeline leaves out, as a sentence that follows others; empty when it has everything. */
export function leftOutWords({ oneIn, othersOneIn }: Thinning): string {
  const shown = [
    ...(oneIn === 1 ? [] : [`one in ${oneIn} of the successful ones`]),
    ...(othersOneIn === 1 ? [] : [`one in ${othersOneIn} of those that failed or may have happened`]),
  ];
  return shown.length === 0 ? '' : ` It shows ${shown.join(' and ')}; history.jsonl has them all.`;
}

type Thinning = Pick<TimelineData, 'oneIn' | 'othersOneIn'>;

/** What went wrong tells more: it is thinned only when it leaves no room for what went well. */
function thinningOf(operations: readonly HistoryOperation[]): Thinning {
  const plain = operations.filter(({ out }) => out.st === 'ok').length;
  const others = operations.length - plain;
  const othersOneIn = oneInFor(others, operationsMax - Math.min(plain, successesMin));
  return { oneIn: oneInFor(plain, operationsMax - Math.ceil(others / othersOneIn)), othersOneIn };
}

function oneInFor(count: number, room: number): number {
  return Math.max(1, Math.ceil(count / Math.max(1, room)));
}

/** By client in natural order, the final reader last; each by call. */
function lanesOf(
  operations: readonly HistoryOperation[],
  { oneIn, othersOneIn }: Thinning,
  proof: ReadonlySet<HistoryOperation>,
): Map<string, HistoryOperation[]> {
  const byClient = new Map<string, HistoryOperation[]>();
  let plain = 0;
  let others = 0;
  for (const operation of operations) {
    if (!proof.has(operation)) {
      const isLeftOut = operation.out.st === 'ok' ? plain++ % oneIn !== 0 : others++ % othersOneIn !== 0;
      if (isLeftOut) continue;
    }
    const lane = byClient.get(operation.c);
    if (lane === undefined) byClient.set(operation.c, [operation]);
    else lane.push(operation);
  }
  const order = new Intl.Collator('en', { numeric: true });
  const names = [...byClient.keys()].sort(
    (a, b) => Number(a === finalClient) - Number(b === finalClient) || order.compare(a, b),
  );
  return new Map(names.map((name) => [name, (byClient.get(name) ?? []).sort((a, b) => a.call - b.call)]));
}

function encode(
  { loadFromNs, endNs }: ChaosEvidence,
  lanes: ReadonlyMap<string, readonly HistoryOperation[]>,
  keys: readonly string[],
  proof: ReadonlySet<HistoryOperation>,
): string {
  const keyNumbers = new Map(keys.map((key, index) => [key, index]));
  const bytes: number[] = [];
  const add = (value: number): void => {
    let rest = Math.max(0, Math.round(value));
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
    bytes.push(rest);
  };
  for (const lane of lanes.values()) {
    add(lane.length);
    let before = 0;
    for (const operation of lane) {
      const { call, ret, op, out, k } = operation;
      const callUs = Math.max(before, Math.round((call - loadFromNs) / 1e3));
      add(callUs - before);
      before = callUs;
      add(((ret ?? endNs) - call) / 1e3);
      const flags = operationKinds.indexOf(op) + 8 * operationStatuses.indexOf(out.st);
      add(flags + (proof.has(operation) ? proofFlag : 0));
      add(keyNumbers.get(k) ?? 0);
    }
  }
  return Buffer.from(bytes).toString('base64');
}

/** `chaos/x/3/1` and `chaos/x/4/2` as `3/1` and `4/2`. */
function withoutCommonFolder(keys: readonly string[]): string[] {
  let common = keys[0] ?? '';
  for (const key of keys) while (!key.startsWith(common)) common = common.slice(0, -1);
  const start = common.lastIndexOf('/') + 1;
  return keys.map((key) => key.slice(start));
}
