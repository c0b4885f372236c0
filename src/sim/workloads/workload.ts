// The clients of a run. Each is a process with the production client engine; it works off its part of the
// plan with at most so many requests at once, and writes down what it asked, when, and what it was told.
// Keys are few and values unique, so that every value in the store's history can be traced to the one
// request that may have put it there.

import { assertNever } from '../../base/assert.js';
import { fromByteString, toByteString, toBytes } from '../../base/bytes.js';
import { KvorumError } from '../../base/errors.js';
import type { EngineRequest, EngineResult } from '../../client/engine/requests.js';
import type { KeyRecord } from '../../kv/commands.js';
import type { ClientPlan, PlannedOperation } from '../plan/plan.js';
import type {
  History,
  OperationCall,
  OperationRecord,
  OperationResult,
  RecordSeen,
} from '../history/history.js';
import type { Scheduler } from '../world/scheduler.js';
import type { VirtualProcess } from '../world/machine/process.js';

/** The part of the production engine that the workload uses. */
export interface Submitter {
  /** `done` is called exactly once, never before `submit` has returned. */
  submit(request: EngineRequest, timeoutMs: number, done: (result: EngineResult | KvorumError) => void): void;
}

export interface WorkloadContext {
  readonly scheduler: Scheduler;
  readonly history: History;
  readonly process: VirtualProcess;
  readonly engine: Submitter;
}

const rangeLimit = 100;
const decoder = new TextDecoder();

/** One client working off its operations. */
export class ClientWorkload {
  private readonly context: WorkloadContext;
  private readonly plan: ClientPlan;
  private readonly waiting: PlannedOperation[] = [];
  /** The modRevision of each key as this client last saw it; 0: it did not exist. */
  private readonly known = new Map<string, number>();
  private nextNumber = 1;
  /** Requests without an answer. */
  private readonly open = new Set<OperationRecord>();
  private planned: number;
  private pausedAtUs: number | undefined;
  private readFrom: 'leader' | 'nearest';

  constructor(context: WorkloadContext, plan: ClientPlan, operations: readonly PlannedOperation[]) {
    this.context = context;
    this.plan = plan;
    this.readFrom = plan.readFrom ?? 'leader';
    this.planned = operations.length;
    for (const operation of operations) {
      context.scheduler.schedule(operation.atMs * 1000, 'workload', context.process, () => {
        this.planned--;
        this.waiting.push(operation);
        this.begin();
      });
    }
  }

  get name(): string {
    return this.plan.name;
  }

  /** Requests without an answer. */
  get outstanding(): number {
    return this.open.size;
  }

  /** Everything planned has been asked and answered. */
  get isIdle(): boolean {
    return this.planned === 0 && this.waiting.length === 0 && this.outstanding === 0;
  }

  /** Stops the process; without effect when it is stopped. */
  pause(): void {
    const { process, scheduler } = this.context;
    if (this.pausedAtUs !== undefined) return;
    this.pausedAtUs = scheduler.nowUs;
    process.pause();
  }

  /** Goes on; what waits for an answer cannot have been told of a deadline that passed meanwhile. */
  resume(): void {
    const { process, scheduler } = this.context;
    if (this.pausedAtUs === undefined) return;
    const pausedMs = (scheduler.nowUs - this.pausedAtUs) / 1000;
    for (const operation of this.open) operation.timeoutMs += pausedMs;
    this.pausedAtUs = undefined;
    process.resume('timersFirst');
  }

  /** From now on it reads where an answer in time is promised. */
  readFromLeader(): void {
    this.readFrom = 'leader';
  }

  /** Asks the node at the address, outside the history: it writes no key. */
  raiseFormat(address: string, level: number, done: (error: KvorumError | undefined) => void): void {
    const request = { kind: 'raiseFormat', level, endpoint: address } as const;
    this.context.engine.submit(request, this.plan.timeoutMs, (answer) => {
      done(KvorumError.is(answer) ? answer : undefined);
    });
  }

  /** Asks at once, outside the plan. */
  run(call: OperationCall, done: (operation: OperationRecord) => void): void {
    const { scheduler, history, engine } = this.context;
    const operation = history.begin(this.plan.name, call, scheduler.nowUs, this.plan.timeoutMs);
    this.open.add(operation);
    const request = requestOf(call, this.readFrom);
    engine.submit(request, this.plan.timeoutMs, (answer) => {
      this.open.delete(operation);
      operation.returnedUs = scheduler.nowUs;
      operation.result = resultOf(call, answer);
      this.learn(operation);
      done(operation);
      // What is asked outside the plan takes a place too.
      this.begin();
    });
  }

  /** A put with a value that nothing else in the run has. */
  freshPut(key: string, condition?: number, valueBytes = 0): OperationCall {
    const value = `${this.plan.name}-${this.nextNumber++}-`;
    return { kind: 'put', key, value: value.padEnd(valueBytes, '.'), condition };
  }

  private begin(): void {
    while (this.outstanding < this.plan.concurrency) {
      const operation = this.waiting.shift();
      if (operation === undefined) return;
      this.run(this.callOf(operation), () => undefined);
    }
  }

  private callOf({ kind, key, condition, valueBytes }: PlannedOperation): OperationCall {
    const expected = this.expected(condition, key);
    switch (kind) {
      case 'put':
        return this.freshPut(key, expected, valueBytes);
      case 'delete':
        return { kind, key, condition: expected };
      case 'get':
        return { kind, key };
      case 'range':
        return { kind, start: key, limit: rangeLimit };
      default:
        return assertNever(kind);
    }
  }

  /** The revision that the key must have; `undefined`: any. */
  private expected(condition: PlannedOperation['condition'], key: string): number | undefined {
    switch (condition) {
      case 'any':
        return undefined;
      case 'absent':
        return 0;
      case 'known':
        return this.known.get(key);
      default:
        return assertNever(condition);
    }
  }

  private learn({ call, result }: OperationRecord): void {
    if (result?.kind === 'read') {
      if (call.kind === 'get') this.known.set(call.key, result.records[0]?.modRevision ?? 0);
      for (const { key, modRevision } of result.records) this.known.set(key, modRevision);
    } else if (result?.kind === 'written' && result.code === 'OK') {
      if (call.kind === 'put') this.known.set(call.key, result.revision);
      if (call.kind === 'delete') this.known.set(call.key, 0);
    }
  }
}

function requestOf(call: OperationCall, readFrom: 'leader' | 'nearest'): EngineRequest {
  const read = { consistency: { kind: 'linearizable' }, revision: 0, minRevision: 0, readFrom } as const;
  switch (call.kind) {
    case 'put':
      return {
        kind: 'write',
        operation: {
          kind: 'put',
          key: keyOf(call.key),
          value: toBytes(call.value),
          ...conditionOf(call.condition),
        },
      };
    case 'delete':
      return {
        kind: 'write',
        operation: { kind: 'delete', key: keyOf(call.key), ...conditionOf(call.condition) },
      };
    case 'get':
      return { kind: 'get', key: keyOf(call.key), ...read };
    case 'range':
      return {
        kind: 'range',
        start: keyOf(call.start),
        end: undefined,
        limit: call.limit,
        reverse: false,
        keysOnly: false,
        ...read,
      };
    default:
      return assertNever(call);
  }
}

function conditionOf(revision: number | undefined): {
  condition?: { readonly kind: 'modRevision'; readonly revision: number };
} {
  return revision === undefined ? {} : { condition: { kind: 'modRevision', revision } };
}

function resultOf(call: OperationCall, answer: EngineResult | KvorumError): OperationResult {
  if (KvorumError.is(answer)) return { kind: 'failed', code: answer.code, outcome: answer.outcome };
  switch (answer.kind) {
    case 'written':
      return { kind: 'written', code: answer.code, revision: answer.revision, count: answer.count };
    case 'got': {
      const records = answer.record === undefined ? [] : [recordSeen(answer.record)];
      return { kind: 'read', revision: answer.revision, records };
    }
    case 'page':
      return { kind: 'read', revision: answer.revision, records: answer.records.map(recordSeen) };
    case 'counted':
    case 'status':
    case 'formatRaised':
      return { kind: 'failed', code: `answer ${answer.kind} to ${call.kind}`, outcome: 'unknown' };
    default:
      return assertNever(answer);
  }
}

function recordSeen(record: KeyRecord): RecordSeen {
  const { modRevision, createRevision, version } = record;
  return {
    key: textOf(record.key),
    value: decoder.decode(record.value),
    modRevision,
    createRevision,
    version,
  };
}

function keyOf(key: string): string {
  return toByteString(toBytes(key));
}

function textOf(key: string): string {
  return decoder.decode(fromByteString(key));
}
