// What every `OrderedStore` must do, run on each implementation.

import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ByteString } from '../../src/base/bytes.js';
import type {
  OpenStore,
  OrderedStore,
  StoreOperation,
  StoreRange,
  StoreRecord,
  StoreView,
} from '../../src/kv/store.js';

export interface StoreUnderTest {
  readonly store: OpenStore;
  /** Closes the store and opens what it left. */
  reopen(): Promise<OpenStore>;
  close(): Promise<void>;
}

export function write(store: OrderedStore, operations: readonly StoreOperation[]): Promise<void> {
  return new Promise((resolve, reject) => {
    let returned = false;
    store.writeBatch(operations, (error) => {
      expect(returned).toBe(true);
      if (error === undefined) resolve();
      else reject(error);
    });
    returned = true;
  });
}

export function close(store: OpenStore): Promise<void> {
  return new Promise((resolve, reject) => {
    store.close((error) => (error === undefined ? resolve() : reject(error)));
  });
}

function range(store: StoreView | OrderedStore, wanted: StoreRange): Promise<readonly StoreRecord[]> {
  return new Promise((resolve, reject) => {
    store.fetchRange(wanted, (error, records) => (error === undefined ? resolve(records) : reject(error)));
  });
}

function many(
  store: OrderedStore,
  keys: readonly ByteString[],
): Promise<readonly (Uint8Array | undefined)[]> {
  return new Promise((resolve, reject) => {
    store.fetchMany(keys, (error, values) => (error === undefined ? resolve(values) : reject(error)));
  });
}

const put = (key: ByteString, text: string): StoreOperation => ({
  type: 'put',
  key,
  value: Buffer.from(text, 'latin1'),
});
const remove = (key: ByteString): StoreOperation => ({ type: 'delete', key });
const texts = (records: readonly StoreRecord[]): string[] =>
  records.map(({ key, value }) => `${key}=${Buffer.from(value).toString('latin1')}`);
const all = { start: '', end: '\xff\xff\xff\xff', limit: 1_000, reverse: false };

const byteString = fc
  .uint8Array({ minLength: 1, maxLength: 3 })
  .map((bytes) => Buffer.from(bytes).toString('latin1'));
const operation: fc.Arbitrary<StoreOperation> = fc.oneof(
  fc.record({ type: fc.constant('put' as const), key: byteString, value: fc.uint8Array({ maxLength: 5 }) }),
  fc.record({ type: fc.constant('delete' as const), key: byteString }),
);
const queries = fc.record({
  start: byteString,
  end: byteString,
  limit: fc.integer({ min: 1, max: 6 }),
  reverse: fc.boolean(),
});

export function describeOrderedStore(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(name, () => {
    let subject: StoreUnderTest;
    let store: OpenStore;
    beforeEach(async () => {
      subject = await open();
      store = subject.store;
    });
    afterEach(() => subject.close());

    it('gives back what was written, and undefined for what was not', async () => {
      await write(store, [put('a', '1'), put('b', ''), put('\xff\x00', '\x00\xff')]);
      expect(store.getSync('c')).toBeUndefined();
      expect([...(store.getSync('\xff\x00') as Uint8Array)]).toEqual([0, 255]);
      expect((store.getSync('b') as Uint8Array).length).toBe(0);
      expect((await many(store, ['b', 'x', 'a'])).map((value) => value?.length)).toEqual([0, undefined, 1]);
    });

    it('orders keys byte by byte, prefixes first', async () => {
      const keys = ['b', 'a\xff', 'a', 'a\x00', '\x80', '\x7f', '\xc3\xa9', '\x00'];
      await write(
        store,
        keys.map((key) => put(key, '')),
      );
      const found = (await range(store, all)).map(({ key }) => key);
      expect(found).toEqual(['\x00', 'a', 'a\x00', 'a\xff', 'b', '\x7f', '\x80', '\xc3\xa9']);
    });

    it('includes the start, excludes the end, counts from the right side', async () => {
      await write(
        store,
        ['a', 'b', 'c', 'd', 'e'].map((key) => put(key, key)),
      );
      expect(texts(await range(store, { start: 'b', end: 'd', limit: 9, reverse: false }))).toEqual([
        'b=b',
        'c=c',
      ]);
      expect(texts(await range(store, { start: 'b', end: 'e', limit: 2, reverse: true }))).toEqual([
        'd=d',
        'c=c',
      ]);
      expect(texts(await range(store, { start: 'a', end: 'z', limit: 2, reverse: false }))).toEqual([
        'a=a',
        'b=b',
      ]);
      expect(await range(store, { start: 'd', end: 'b', limit: 2, reverse: false })).toEqual([]);
      expect(await range(store, { start: 'd', end: 'b', limit: 2, reverse: true })).toEqual([]);
    });

    it('applies the operations of a batch in order', async () => {
      await write(store, [
        put('a', '1'),
        remove('a'),
        put('b', '1'),
        put('b', '2'),
        remove('c'),
        put('c', '3'),
      ]);
      expect(texts(await range(store, all))).toEqual(['b=2', 'c=3']);
    });

    it('reads the store as it was when asked', async () => {
      await write(store, [put('a', 'old')]);
      const reading = range(store, all);
      const readingMany = many(store, ['a', 'b']);
      const writing = write(store, [put('a', 'new'), put('b', 'new')]);
      expect(texts(await reading)).toEqual(['a=old']);
      expect((await readingMany).map((value) => value && Buffer.from(value).toString())).toEqual([
        'old',
        undefined,
      ]);
      await writing;
      expect(texts(await range(store, all))).toEqual(['a=new', 'b=new']);
    });

    it('takes one batch at a time', async () => {
      const writing = write(store, [put('a', '1')]);
      expect(() => store.writeBatch([put('b', '1')], () => undefined)).toThrow(/under way/);
      await writing;
      await write(store, [put('b', '1')]);
      await write(store, []);
    });

    it('does not see what the caller does to its buffers afterwards', async () => {
      const value = Buffer.from('good');
      const writing = write(store, [{ type: 'put', key: 'a', value }]);
      value.fill(0);
      await writing;
      expect(texts(await range(store, all))).toEqual(['a=good']);
    });

    it('keeps what it answered over a restart', async () => {
      await write(store, [put('a', '1'), put('\x80', '2')]);
      await write(store, [remove('a')]);
      store = await subject.reopen();
      expect(texts(await range(store, all))).toEqual(['\x80=2']);
    });

    it('keeps a view as it was when it was opened', async () => {
      await write(store, [put('a', '1'), put('b', '1')]);
      const first = store.openView();
      await write(store, [put('a', '2'), remove('b'), put('c', '2')]);
      const second = store.openView();
      await write(store, [put('a', '3'), put('d', '3')]);
      expect(texts(await range(first, all))).toEqual(['a=1', 'b=1']);
      expect(texts(await range(second, all))).toEqual(['a=2', 'c=2']);
      expect(texts(await range(second, { ...all, limit: 1, reverse: true }))).toEqual(['c=2']);
      first.close();
      first.close();
      expect(texts(await range(second, all))).toEqual(['a=2', 'c=2']);
      await expect(range(first, all)).rejects.toThrow();
      expect(texts(await range(store, all))).toEqual(['a=3', 'c=2', 'd=3']);
      second.close();
    });

    it('answers what a view was asked before it was closed', async () => {
      await write(store, [put('a', '1')]);
      const view = store.openView();
      const reading = range(view, all);
      view.close();
      expect(texts(await reading)).toEqual(['a=1']);
    });

    it('closes with views open, and nothing can be read of them then', async () => {
      await write(store, [put('a', '1')]);
      const view = store.openView();
      store = await subject.reopen();
      await expect(range(view, all)).rejects.toThrow();
      view.close();
      expect(texts(await range(store, all))).toEqual(['a=1']);
    });

    it('agrees with a sorted map', async () => {
      const known = new Map<ByteString, string>();
      await fc.assert(
        fc.asyncProperty(fc.array(operation, { maxLength: 12 }), queries, async (operations, query) => {
          await write(store, operations);
          for (const change of operations) {
            if (change.type === 'put') known.set(change.key, Buffer.from(change.value).toString('latin1'));
            else known.delete(change.key);
          }
          const inRange = [...known]
            .filter(([key]) => key >= query.start && key < query.end)
            .sort(([a], [b]) => (a < b ? -1 : 1));
          if (query.reverse) inRange.reverse();
          const expected = inRange.slice(0, query.limit).map(([key, text]) => `${key}=${text}`);
          expect(texts(await range(store, query))).toEqual(expected);
          expect(Buffer.from(store.getSync(query.start) ?? []).toString('latin1')).toBe(
            known.get(query.start) ?? '',
          );
        }),
        { numRuns: 60 },
      );
    });
  });
}
