// The errors of calls as their callers see them. Each is made after the public method has awaited the
// engine's answer: only then does the stack lead to the line that made the call, and a call that succeeds
// pays nothing for it.

import { fromByteString, type ByteString } from '../base/bytes.js';
import { isErrorCode, KvorumError } from '../base/errors.js';
import type { ClientOperation } from '../kv/commands.js';
import type { WriteAnswer } from '../wire/clients/answers.js';
import type { EngineRequest } from './engine/requests.js';
import { operationRule } from './engine/requests.js';
import { Entry } from './entry.js';
import { ConflictError } from './errors.js';

/** Characters of a key in `details`. */
const shownKeyCharactersMax = 100;
const unprintable = /[\p{C}\p{Z}\\"]/gu;
const decoder = new TextDecoder();

/**
 * A key as one short printable word: what a terminal or a log could take for something else is escaped as in
 * JSON, what is too long ends in an ellipsis.
 */
export function shownKey(key: ByteString): string {
  const text = decoder.decode(fromByteString(key.slice(0, 4 * shownKeyCharactersMax)));
  const short = text.length > shownKeyCharactersMax ? `${text.slice(0, shownKeyCharactersMax)}…` : text;
  return short.replace(unprintable, (character) =>
    character === ' ' ? ' ' : `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
}

/** The error of a request that failed in the engine or at a node. */
export function callError(error: KvorumError, request: EngineRequest): KvorumError {
  const { code, message, outcome, cause } = error;
  const details = { ...whatOf(request), ...error.details };
  const known = isErrorCode(code);
  const made = new KvorumError(known ? code : 'INTERNAL', message, { outcome, details, cause });
  // Of a newer node: kept as it came.
  if (!known) Object.defineProperty(made, 'code', { value: code, enumerable: true });
  return withCodeInStack(made);
}

/** Why no leader could be reached by `connect`. `seen`: what became of each endpoint. */
export function connectError(
  failure: KvorumError,
  timeoutMs: number,
  seen: { readonly words: string; readonly endpoints: Readonly<Record<string, string>> },
): KvorumError {
  const details = { ...failure.details, operation: 'connect', timeoutMs, endpoints: seen.endpoints };
  if (failure.code === 'ABORTED') {
    const message = 'connect was aborted before a leader answered';
    return withCodeInStack(new KvorumError('ABORTED', message, { details, cause: failure.cause }));
  }
  const message =
    `no leader answered within ${timeoutMs} ms (${seen.words}); ` +
    `check the endpoints and that a majority of the nodes runs`;
  return withCodeInStack(new KvorumError('UNAVAILABLE', message, { details, cause: failure }));
}

/** The error of a write whose condition did not hold. */
export function conflictError(operation: ClientOperation, answer: WriteAnswer): ConflictError {
  const current = answer.current === undefined ? undefined : new Entry(answer.current);
  const wanted = operationRule(operation).condition(operation)?.revision;
  const found =
    current === undefined ? 'the key does not exist' : `the key is at revision ${current.modRevision}`;
  const expected = wanted === 0 ? 'it should not exist' : `revision ${wanted} was expected`;
  const details = { ...whatOf({ kind: 'write', operation }), revision: answer.revision };
  const message = `${found}, ${expected}; nothing was changed`;
  return withCodeInStack(new ConflictError(message, current, { details }));
}

/** What was asked, for `details`. */
function whatOf(request: EngineRequest): Record<string, unknown> {
  const asked = request.kind === 'write' ? request.operation : request;
  const operation = asked.kind === 'deleteRange' ? 'delete' : asked.kind;
  if ('key' in asked) return { operation, key: shownKey(asked.key) };
  if (!('start' in asked)) return { operation };
  const { start, end } = asked;
  return { operation, start: shownKey(start), ...(end === undefined ? {} : { end: shownKey(end) }) };
}

/** `structuredClone` keeps of an error its message, stack and cause alone: the stack begins with the code. */
function withCodeInStack<Made extends KvorumError>(error: Made): Made {
  const { stack, name, code } = error;
  if (stack?.startsWith(name) === true) error.stack = `${name} [${code}]${stack.slice(name.length)}`;
  return error;
}
