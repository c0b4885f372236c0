import { expect, test } from 'vitest';
import { EntryRange } from '../../src/client/range.js';

test('an aborted range ends at once, not at the end of its page', async () => {
  const record = { value: new Uint8Array(0), createRevision: 1, modRevision: 1, version: 1, leaseId: 0 };
  const records = ['a', 'b', 'c'].map((key) => ({ key, ...record }));
  const page = { kind: 'page', requestId: 1, revision: 1, records, more: false } as const;
  const query = {
    kind: 'range',
    start: '',
    end: undefined,
    limit: 10,
    reverse: false,
    keysOnly: false,
    revision: 0,
    minRevision: 0,
    consistency: { kind: 'linearizable' },
    readFrom: 'leader',
  } as const;
  const controller = new AbortController();
  const seen: string[] = [];
  const read = async (): Promise<void> => {
    for await (const entry of new EntryRange(query, () => Promise.resolve(page), controller.signal)) {
      seen.push(entry.keyText);
      controller.abort(new Error('enough'));
    }
  };
  await expect(read()).rejects.toMatchObject({ code: 'ABORTED', cause: new Error('enough') });
  expect(seen).toEqual(['a']);
});
