// The one door for clients' requests: whatever protocol they came by, they pass here decoded and checked,
// and later meet authorization here. Writes go to the log, reads to `reads`; every request is answered
// exactly once.

import { assertNever } from '../../base/assert.js';
import { KvorumError } from '../../base/errors.js';
import type { Clock } from '../../base/env.js';
import { kvLimits, type ClientCommand, type CommandResult } from '../../kv/commands.js';
import { soleKeyOf } from '../../kv/operations/index.js';
import { decodeClientCommand } from '../../wire/commands/command-codec.js';
import type { ErrorAnswer, WriteAnswer } from '../../wire/clients/answers.js';
import type { RaiseFormatRequest, WriteRequest } from '../../wire/clients/requests.js';
import { errorAnswer, isDamage, type Caller } from './caller.js';
import type { RequestFrame } from './clients.js';
import type { PendingWrite, Proposals } from './proposals.js';
import { unsupported } from './level-check.js';
import type { LaterRead, Reads } from './reads.js';
import type { Statuses } from './statuses.js';

export interface RequestsOptions {
  readonly proposals: Proposals;
  readonly reads: Reads;
  readonly clock: Clock;
  readonly statuses: Statuses;
  /** Why writes cannot be taken now; `undefined` when they can. */
  refuseWrite(command: ClientCommand): KvorumError | undefined;
  /** Answers when the level is raised, or why it is not. */
  raiseFormat(caller: Caller, frame: RaiseFormatRequest): void;
  /** The store is damaged: the node may answer for nothing any more. */
  damaged(error: Error): void;
  /** There are writes to propose: call `propose` at the end of this turn. */
  wake(): void;
}

/**
 * Raises of the format level looked at in one turn: an operator sends one, and each refusal is a line of the
 * log.
 */
const turnRaisesMax = 4;

/** How long the answer to a conflict waits for its turn, and for its client to read what came before. */
const conflictWaitMsMax = 5_000;

export class Requests {
  private readonly options: RequestsOptions;
  private raisesInTurn = 0;

  constructor(options: RequestsOptions) {
    this.options = options;
  }

  receive(caller: Caller, frame: RequestFrame): void {
    switch (frame.kind) {
      case 'write':
        this.receiveWrite(caller, frame);
        return;
      case 'status':
        this.options.statuses.ask(caller, frame.requestId);
        return;
      case 'raiseFormat':
        this.receiveRaise(caller, frame);
        return;
      case 'get':
      case 'range':
      case 'count':
        this.options.reads.submit(caller, frame);
        return;
      default:
        assertNever(frame);
    }
  }

  /**
   * The write's entry was applied with this result; or was lost, and never will be. Called while entries are
   * applied, which must not notice when an answer cannot be made.
   */
  answerWrite(write: PendingWrite, result: CommandResult | undefined): void {
    const answer = this.answerTo(write, result);
    if (answer !== undefined) write.caller.answer(answer);
  }

  /** The write cannot be followed up here. `sent`: it is in the log and may yet take effect. */
  answerLostLeadership(write: PendingWrite, sent: boolean): void {
    const { caller, requestId } = write;
    const message = 'this node stopped leading before the write was decided; the next leader knows';
    const outcome = sent ? 'unknown' : 'none';
    caller.answer(errorAnswer(requestId, 'NOT_LEADER', message, outcome));
  }

  /** The core did not take the write; nothing was appended. */
  answerRefused(write: PendingWrite, error: KvorumError): void {
    write.caller.answer(refusal(write.requestId, error));
  }

  /** End of a turn. */
  flush(): void {
    this.raisesInTurn = 0;
  }

  private receiveRaise(caller: Caller, frame: RaiseFormatRequest): void {
    if (this.raisesInTurn >= turnRaisesMax) {
      const fact = `more than ${turnRaisesMax} raises of the format level were asked for at once`;
      caller.answer(errorAnswer(frame.requestId, 'OVERLOADED', `${fact}; one is enough, try again`));
      return;
    }
    if (this.raisesInTurn++ === 0) this.options.wake();
    this.options.raiseFormat(caller, frame);
  }

  private receiveWrite(caller: Caller, frame: WriteRequest): void {
    try {
      const command = decodeClientCommand(frame.command);
      const refusal = this.options.refuseWrite(command);
      if (refusal !== undefined) throw refusal;
      const first = !this.options.proposals.hasGathered;
      if (
        !this.options.proposals.add({ caller, requestId: frame.requestId, bytes: frame.command, command })
      ) {
        throw new KvorumError(
          'OVERLOADED',
          'more writes wait on this node than its limits allow; send less at a time',
        );
      }
      if (first) this.options.wake();
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      caller.answer(refusal(frame.requestId, error));
    }
  }

  /** `undefined`: it follows when there is room for it. */
  private answerTo(
    write: PendingWrite,
    result: CommandResult | undefined,
  ): WriteAnswer | ErrorAnswer | undefined {
    const { requestId } = write;
    if (result === undefined) {
      return errorAnswer(requestId, 'NOT_LEADER', 'the write lost its place to another leader');
    }
    try {
      return this.verdictOn(write, result);
    } catch (error) {
      return this.unanswerable(requestId, error);
    }
  }

  private unanswerable(requestId: number, error: unknown): ErrorAnswer {
    if (KvorumError.is(error) && isDamage(error)) this.options.damaged(error);
    const reason = error instanceof Error ? error.message : String(error);
    const message = `the write was decided, and its answer cannot be made: ${reason}`;
    return errorAnswer(requestId, KvorumError.is(error) ? error.code : 'INTERNAL', message, 'unknown');
  }

  /**
   * The condition did not hold. The key is told as it was when that was judged, at `revision`: the same
   * answer for the first and for every repeated request. A large value is read when there is room for it.
   */
  private conflictAnswer(write: PendingWrite, result: CommandResult): WriteAnswer | undefined {
    const { caller, requestId, command } = write;
    const { revision, count } = result;
    const key = soleKeyOf(command.operation);
    const current = key === undefined ? undefined : this.options.reads.readNow(key, revision);
    const code = 'CONFLICT' as const;
    if (current !== 'heavy') return { kind: 'written', requestId, code, revision, count, current };
    const give: LaterRead['give'] = (error, _at, record) => {
      if (error === undefined) {
        caller.answer({ kind: 'written', requestId, code, revision, count, current: record });
      } else if (KvorumError.is(error) && !isDamage(error)) {
        // Not executed, which stays so: whoever asks again gets the answer.
        caller.answer(errorAnswer(requestId, 'OVERLOADED', `a conflict: ${error.message}`));
      } else {
        caller.answer(this.unanswerable(requestId, error));
      }
    };
    const deadlineMs = this.options.clock.nowMs() + conflictWaitMsMax;
    this.options.reads.readLater({ caller, requestId, deadlineMs, key: key ?? '', revision, give });
    return undefined;
  }

  private verdictOn(write: PendingWrite, result: CommandResult): WriteAnswer | ErrorAnswer | undefined {
    const { requestId, command } = write;
    const { code, revision, count } = result;
    switch (code) {
      case 'OK':
        return { kind: 'written', requestId, code, revision, count, current: undefined };
      case 'CONFLICT':
        return this.conflictAnswer(write, result);
      case 'TOO_LARGE': {
        const message =
          `the command touches ${count} keys or more, the limit is ${kvLimits.commandKeysMax} keys and ` +
          `${kvLimits.commandBytesMax} bytes of keys; delete in smaller ranges`;
        return errorAnswer(requestId, code, message);
      }
      case 'SESSION_LIMIT': {
        const message =
          `the cluster holds ${kvLimits.sessionsMax} sessions or ${kvLimits.sessionTableBytesMax} bytes of ` +
          `them, or this one ${kvLimits.sessionWindow} open writes; use one client for many calls, and ` +
          'close clients that are not used';
        return errorAnswer(requestId, code, message);
      }
      case 'SESSION_EXPIRED':
        return errorAnswer(
          requestId,
          code,
          'the session is unknown or has expired; the write was not run now',
        );
      case 'STALE':
        return errorAnswer(requestId, code, 'the client has acknowledged this write already');
      case 'UNSUPPORTED':
        return errorAnswer(requestId, code, unsupported(command.operation.kind).message);
      default:
        return assertNever(code);
    }
  }
}

function refusal(requestId: number, { code, message, outcome }: KvorumError): ErrorAnswer {
  return errorAnswer(requestId, code, message, outcome);
}
