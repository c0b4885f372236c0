// Deletes a range that one command may not touch as a whole: finds the next keys, deletes the range up to the
// last of them, and goes on behind it. Each part is atomic, the whole is not, and says so when it fails in
// between.

import type { ByteString } from '../base/bytes.js';
import { KvorumError } from '../base/errors.js';
import type { DeleteRangeOperation } from '../kv/commands.js';
import type { RangeAnswer, WriteAnswer } from '../wire/clients/answers.js';
import type { DeleteResult } from './options.js';
import { keyAfter } from './range.js';
import type { EngineRange } from './engine/requests.js';

export interface DeleteSteps {
  /** The clock that `timeoutMs` is counted in. */
  nowMs(): number;
  write(operation: DeleteRangeOperation, timeoutMs: number): Promise<WriteAnswer>;
  readPage(page: EngineRange, timeoutMs: number): Promise<RangeAnswer>;
}

/** Keys of the first part; fewer when they are too large together. Half of what a command may touch. */
const partKeysMax = 5_000;

/** Deletes `range` within `timeoutMs`, at once when the cluster takes it, otherwise in parts. */
export async function deleteInParts(
  range: { readonly start: ByteString; readonly end: ByteString | undefined },
  timeoutMs: number,
  steps: DeleteSteps,
): Promise<DeleteResult> {
  const deadlineMs = steps.nowMs() + timeoutMs;
  const timeLeftMs = (): number => Math.max(1, deadlineMs - steps.nowMs());
  try {
    const { count, revision } = await steps.write({ kind: 'deleteRange', ...range }, timeLeftMs());
    return { deleted: count, revision };
  } catch (error) {
    if (!KvorumError.is(error, 'TOO_LARGE')) throw error;
  }
  let deleted = 0;
  let revision = 0;
  let partKeys = partKeysMax;
  let { start } = range;
  try {
    for (;;) {
      const page = await steps.readPage(pageOf(start, range.end, partKeys), timeLeftMs());
      revision ||= page.revision;
      const last = page.records.at(-1);
      if (last === undefined) return { deleted, revision };
      const end = keyAfter(last.key);
      const part = await deletePart({ kind: 'deleteRange', start, end }, timeLeftMs(), steps);
      if (part === undefined && partKeys > 1) {
        partKeys = Math.ceil(partKeys / 4);
        continue;
      }
      deleted += part?.count ?? 0;
      revision = part?.revision ?? revision;
      if (!page.more || end === undefined) return { deleted, revision };
      start = end;
    }
  } catch (error) {
    if (deleted === 0 || !KvorumError.is(error)) throw error;
    const message = `${error.message}; ${deleted} keys of the range were deleted before`;
    throw new KvorumError(error.code, message, {
      outcome: 'unknown',
      details: { ...error.details, deleted },
      cause: error,
    });
  }
}

/** `undefined`: too large again. */
async function deletePart(
  operation: DeleteRangeOperation,
  timeoutMs: number,
  steps: DeleteSteps,
): Promise<WriteAnswer | undefined> {
  try {
    return await steps.write(operation, timeoutMs);
  } catch (error) {
    if (KvorumError.is(error, 'TOO_LARGE')) return undefined;
    throw error;
  }
}

function pageOf(start: ByteString, end: ByteString | undefined, limit: number): EngineRange {
  return {
    kind: 'range',
    start,
    end,
    limit,
    reverse: false,
    keysOnly: true,
    consistency: { kind: 'linearizable' },
    revision: 0,
    minRevision: 0,
    readFrom: 'leader',
  };
}
