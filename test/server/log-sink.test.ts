// The lines of a log on their way out: nothing waits for who reads them, nothing is lost unseen.

import { describe, expect, test } from 'vitest';
import { LogSink, logBufferBytesMax, type LogOutput } from '../../src/server/operate/log-sink.js';
import { VirtualTime } from './snapshot-world.js';

type Done = Parameters<LogOutput['write']>[1];

/** What takes the bytes: at most `room` of them, until somebody reads. */
class Pipe implements LogOutput {
  room = Infinity;
  /** What the next writes fail with. */
  failure: string | undefined;
  text = '';
  writes = 0;
  isClosed = false;
  /** Writes that were begun and are not answered. */
  readonly underWay: (() => void)[] = [];
  /** Answers come when `underWay` is called, instead of soon. */
  isHeld = false;

  write(bytes: Uint8Array, done: Done): void {
    this.writes++;
    const answer = (): void => {
      if (this.failure !== undefined) done(Object.assign(new Error(), { code: this.failure }), 0);
      else if (this.room === 0) done(Object.assign(new Error(), { code: 'EAGAIN' }), 0);
      else done(null, this.take(bytes));
    };
    if (this.isHeld) this.underWay.push(answer);
    else answer();
  }

  writeSync(bytes: Uint8Array): number {
    if (this.room === 0) throw Object.assign(new Error(), { code: 'EAGAIN' });
    return this.take(bytes);
  }

  close(): void {
    this.isClosed = true;
  }

  private take(bytes: Uint8Array): number {
    const taken = bytes.subarray(0, this.room);
    this.room -= taken.length;
    this.text += Buffer.from(taken).toString();
    return taken.length;
  }
}

interface Bench {
  readonly sink: LogSink;
  readonly pipe: Pipe;
  readonly time: VirtualTime;
  readonly told: number[];
}

function bench(): Bench {
  const time = new VirtualTime();
  const pipe = new Pipe();
  const told: number[] = [];
  const { clock, timers } = time;
  const sink = new LogSink({ output: pipe, clock, timers, onRoom: (lines) => void told.push(lines) });
  return { sink, pipe, time, told };
}

const lineOf = (i: number): string => `line ${i} ${'x'.repeat(90)}\n`;

describe('the sink of a log', () => {
  test('writes lines in their order, one write at a time, lines whole', () => {
    const { sink, pipe } = bench();
    pipe.isHeld = true;
    const lines = Array.from({ length: 100 }, (_, i) => lineOf(i));
    for (const line of lines) sink.write(line);
    expect(pipe.underWay).toHaveLength(1);
    for (let answer = pipe.underWay.shift(); answer !== undefined; answer = pipe.underWay.shift()) {
      answer();
      expect(pipe.underWay.length).toBeLessThan(2);
      expect(pipe.text.endsWith('\n')).toBe(true);
    }
    expect(pipe.text).toBe(lines.join(''));
    // The first by itself, then as many as a pipe takes whole.
    expect(pipe.writes).toBe(1 + Math.ceil(99 / Math.floor(4_096 / lineOf(10).length)));
    expect([sink.bufferedBytes, sink.lostLines]).toEqual([0, 0]);
  });

  test('goes on where a short write ended, also in a line that is longer than a piece', () => {
    const { sink, pipe, time } = bench();
    pipe.room = 10;
    const long = `${'ä'.repeat(10_000)}\n`;
    sink.write(long);
    sink.write(lineOf(1));
    for (let i = 0; i < 30_000 && sink.bufferedBytes > 0; i++) {
      pipe.room = 1_000;
      time.run(50);
    }
    expect(Buffer.byteLength(pipe.text)).toBe(Buffer.byteLength(long + lineOf(1)));
    expect(pipe.text.endsWith(lineOf(1))).toBe(true);
  });

  test('leaves out what does not fit while nobody reads, and says how much when somebody does', () => {
    const { sink, pipe, time, told } = bench();
    pipe.room = 0;
    const count = 20_000;
    for (let i = 0; i < count; i++) sink.write(lineOf(i));
    expect(sink.bufferedBytes).toBeLessThanOrEqual(logBufferBytesMax);
    expect(sink.bufferedBytes).toBeGreaterThan(logBufferBytesMax - 200);
    const writes = pipe.writes;
    time.run(1_000);
    expect(pipe.writes - writes).toBeLessThanOrEqual(20);
    const lost = sink.lostLines;
    expect(told).toEqual([]);
    pipe.room = Infinity;
    time.run(50);
    expect(told).toEqual([lost]);
    expect(pipe.text.split('\n').length - 1).toBe(count - lost);
    expect(pipe.text.startsWith(lineOf(0))).toBe(true);
    // And again.
    pipe.room = 0;
    for (let i = 0; i < count; i++) sink.write(lineOf(i));
    pipe.room = Infinity;
    time.run(50);
    expect(told).toEqual([lost, sink.lostLines - lost]);
  });

  test('has room for errors beyond what all other lines took', () => {
    const { sink, pipe, time } = bench();
    pipe.room = 0;
    sink.lastLevel = 30;
    for (let i = 0; i < 20_000; i++) sink.write(lineOf(i));
    const lost = sink.lostLines;
    sink.lastLevel = 50;
    sink.write('why it ended\n');
    expect(sink.lostLines).toBe(lost);
    for (let i = 0; i < 20_000; i++) sink.write(lineOf(i));
    expect(sink.bufferedBytes).toBeLessThanOrEqual(logBufferBytesMax + 65_536);
    pipe.room = Infinity;
    time.run(50);
    expect(pipe.text).toContain('why it ended\n');
  });

  test('drops what cannot be written, and tries with what comes later', () => {
    const { sink, pipe, time, told } = bench();
    pipe.failure = 'ENOSPC';
    sink.write(lineOf(1));
    sink.write(lineOf(2));
    expect(sink.lostLines).toBe(1);
    pipe.failure = undefined;
    time.run(50);
    expect(pipe.text).toBe(lineOf(2));
    expect(told).toEqual([1]);
  });

  test('waits at the end for who reads, but not for ever', async () => {
    const { sink, pipe, time } = bench();
    await sink.flush(1_000);
    pipe.room = 0;
    sink.write(lineOf(1));
    let isDone = false;
    const flushed = sink.flush(1_000).then(() => (isDone = true));
    time.run(900);
    await Promise.resolve();
    expect(isDone).toBe(false);
    pipe.room = Infinity;
    time.run(50);
    await flushed;
    expect(pipe.text).toBe(lineOf(1));
    pipe.room = 0;
    sink.write(lineOf(2));
    const inVain = sink.flush(1_000);
    time.run(1_000);
    await inVain;
  });

  test('writes the rest at once when the process ends, after what is under way', () => {
    const { sink, pipe } = bench();
    pipe.isHeld = true;
    for (let i = 0; i < 50; i++) sink.write(lineOf(i));
    sink.flushSync(1_000);
    const rest = Array.from({ length: 49 }, (_, i) => lineOf(i + 1)).join('');
    expect(pipe.text).toBe(rest);
    pipe.underWay.shift()?.();
    expect(pipe.text).toBe(rest + lineOf(0));
    expect(pipe.underWay).toHaveLength(0);
  });

  test('writes what a full pipe refused before, when the process ends', () => {
    const { sink, pipe } = bench();
    pipe.room = 0;
    for (let i = 0; i < 3; i++) sink.write(lineOf(i));
    pipe.room = Infinity;
    sink.flushSync(1_000);
    expect(pipe.text).toBe(lineOf(0) + lineOf(1) + lineOf(2));
  });

  test('keeps its descriptor until the write that is under way has ended', () => {
    const { sink, pipe } = bench();
    pipe.isHeld = true;
    sink.write(lineOf(1));
    sink.close();
    expect(pipe.isClosed).toBe(false);
    sink.write(lineOf(2));
    pipe.underWay.shift()?.();
    expect([pipe.isClosed, pipe.underWay.length]).toEqual([true, 0]);
  });
});
