// Streams, the third class of client frames: many frames for one question, in order, for as long as both
// sides want. A source is asked for its next frame only while the reader has credit and its connection has
// room, so that nothing gathers for a slow reader: it is waited for, is never cut off, and holds up nobody.
// Readers take turns, and so do the streams of one reader. Must never give a frame twice, out of order or
// after the end.

import type { Clock, Millis, Report } from '../../base/env.js';
import { KvorumError, type ErrorCode } from '../../base/errors.js';
import { wireLimits } from '../../wire/limits.js';
import type { CloseStream, OpenStream, StreamCredit } from '../../wire/clients/requests.js';
import type { StreamData, StreamEnd } from '../../wire/clients/answers.js';
import type { NodeEvent } from '../events.js';
import { isDamage, type Caller } from './caller.js';

/** A caller that reads streams. */
export interface StreamCaller extends Caller {
  /** Takes frames in order. Never throws, and asks for no answer. */
  give(frames: readonly (StreamData | StreamEnd)[]): void;
}

/** Where the frames of one stream come from. */
export interface StreamSource {
  /**
   * The next frame: 1 to `wireLimits.streamPayloadBytesMax` bytes that do not change any more. `undefined`:
   * there is none now, and `wake` follows. Takes no longer than a slice. A KvorumError ends the stream with
   * its code.
   */
  next(): Uint8Array | undefined;
  /** Nobody reads on. Called once, and nothing after it. */
  close(): void;
}

/** The stream as its source sees it. Both may be called at any time, also after its end, without effect. */
export interface StreamOut {
  /** `next` has something to give. */
  wake(): void;
  /** The stream ends after the frames given so far, one that `next` is about to return included. */
  end(code: ErrorCode | 'OK', message: string): void;
}

/** What streams can be of. */
export interface StreamTopic {
  /** A KvorumError, thrown, ends the stream before it begins. */
  open(argument: Uint8Array, out: StreamOut, caller: Caller): StreamSource;
}

/** By the name that clients call them. */
export type StreamTopics = Readonly<Record<string, StreamTopic>>;

export interface StreamsOptions {
  readonly topics: StreamTopics;
  readonly clock: Clock;
  readonly report: Report<NodeEvent>;
  readonly streamsMax: number;
  readonly sliceMs: Millis;
  /** There is something to give: call `flush` at the end of this turn. */
  wake(): void;
}

/** Bytes that all readers, one reader, and one stream of it get in a turn before others do. */
const turnBytesMax = 1_048_576;
const readerSliceBytes = 65_536;
const streamSliceBytes = 16_384;

/** What the frame around a payload takes, at most. */
const frameBytes = 32;

class Stream implements StreamOut {
  readonly id: number;
  readonly topic: string;
  readonly reader: Reader;
  /** Below 0 after a frame that was larger than what was left. */
  creditBytes: number;
  sequence = 0;
  /** `undefined` until it is opened, and again once nothing is asked of it any more. */
  source: StreamSource | undefined;
  /** The source has nothing to give until it wakes the stream. */
  isDry = false;
  /** The source is at work: it is not released from under its own feet. */
  isAsking = false;
  ending: StreamEnd | undefined;
  /** It has its place among those that wait for their turn. */
  isQueued = false;
  private readonly changed: (stream: Stream) => void;

  constructor(frame: OpenStream, reader: Reader, changed: (stream: Stream) => void) {
    this.id = frame.requestId;
    this.topic = frame.topic;
    this.reader = reader;
    this.creditBytes = frame.creditBytes;
    this.changed = changed;
  }

  /** Something can be given for it. */
  get isReady(): boolean {
    return this.ending !== undefined || (this.source !== undefined && !this.isDry && this.creditBytes > 0);
  }

  wake(): void {
    this.isDry = false;
    this.changed(this);
  }

  end(code: string, message: string): void {
    if (this.ending !== undefined || (this.source === undefined && !this.isAsking)) return;
    this.ending = { kind: 'streamEnd', requestId: this.id, code, message };
    this.changed(this);
  }
}

/** A caller with its streams. */
class Reader {
  readonly caller: StreamCaller;
  readonly streams = new Map<number, Stream>();
  /** Those with a source. */
  openCount = 0;
  /** Of all streams that it ever opened: their numbers ascend. */
  lastId = 0;
  /** Streams that wait for their turn, in its order. */
  queue: Stream[] = [];
  isQueued = false;

  constructor(caller: StreamCaller) {
    this.caller = caller;
  }
}

export class Streams {
  private readonly options: StreamsOptions;
  private readonly readers = new Map<StreamCaller, Reader>();
  /** Readers that wait for their turn, in its order. */
  private queue: Reader[] = [];
  private openCount = 0;

  constructor(options: StreamsOptions) {
    this.options = options;
  }

  /** Streams that are open now. */
  get count(): number {
    return this.openCount;
  }

  /** Throws `PROTOCOL` for what no client sends that follows the rules, with nothing changed. */
  open(caller: StreamCaller, frame: OpenStream): void {
    const reader = this.readers.get(caller) ?? new Reader(caller);
    const { requestId } = frame;
    if (requestId <= reader.lastId) {
      const rule = `the numbers of streams ascend, and the last one was ${reader.lastId}`;
      throw new KvorumError('PROTOCOL', `stream ${requestId} cannot be opened: ${rule}`);
    }
    // Those over the limit are told so; whoever does not read that either is not waited for.
    if (reader.streams.size >= 2 * caller.limits.streamsMax) {
      throw new KvorumError('OVERLOADED', `${reader.streams.size} streams wait for this client to read`);
    }
    this.readers.set(caller, reader);
    reader.lastId = requestId;
    const stream = new Stream(frame, reader, this.changed);
    reader.streams.set(requestId, stream);
    this.openSource(stream, frame);
  }

  /** The reader can take more. Throws `PROTOCOL` for more than a window, or for a stream never opened. */
  credit(caller: StreamCaller, { requestId, bytes }: StreamCredit): void {
    const stream = this.find(caller, requestId);
    if (stream === undefined) return;
    const creditBytes = stream.creditBytes + bytes;
    if (creditBytes > wireLimits.streamCreditBytesMax) {
      const fact = `stream ${requestId} would have a credit of ${creditBytes} bytes`;
      throw new KvorumError('PROTOCOL', `${fact}, the limit is ${wireLimits.streamCreditBytesMax}`);
    }
    stream.creditBytes = creditBytes;
    this.changed(stream);
  }

  /** The reader wants no more. Throws `PROTOCOL` for a stream never opened. */
  close(caller: StreamCaller, { requestId }: CloseStream): void {
    const stream = this.find(caller, requestId);
    if (stream !== undefined) this.forget(stream);
  }

  /** The connection of the caller has room again. */
  drained(caller: StreamCaller): void {
    const reader = this.readers.get(caller);
    if (reader !== undefined) this.enqueue(reader);
  }

  /** Nobody reads the caller's streams any more. */
  release(caller: StreamCaller): void {
    const reader = this.readers.get(caller);
    if (reader === undefined) return;
    this.readers.delete(caller);
    for (const stream of reader.streams.values()) this.forget(stream);
  }

  /** End of a turn: readers get their slices, one after the other, until the turn has had enough. */
  flush(): void {
    if (this.queue.length === 0) return;
    const startedMs = this.options.clock.nowMs();
    const readers = this.queue;
    this.queue = [];
    let served = 0;
    for (let bytes = 0; served < readers.length && bytes < turnBytesMax; served++) {
      if (served > 0 && this.isSliceOver(startedMs)) break;
      bytes += this.serve(readers[served] as Reader, startedMs);
    }
    // Whoever had no turn has the first of the next.
    if (served < readers.length) this.queue = [...readers.slice(served), ...this.queue];
    if (this.queue.length > 0) this.options.wake();
  }

  /**
   * Gives one slice to the streams of a reader, in turns, and no longer than the slice of the turn. Returns
   * its bytes.
   */
  private serve(reader: Reader, startedMs: Millis): number {
    reader.isQueued = false;
    const { caller } = reader;
    if (reader.queue.length === 0) return 0;
    const roomBytes = caller.roomBytes;
    // It has its next turn when it has drained, or when there is more for it: then it is looked at again.
    if (roomBytes <= 0) return 0;
    const sliceBytes = Math.min(readerSliceBytes, roomBytes);
    const waiting = reader.queue;
    reader.queue = [];
    const frames: (StreamData | StreamEnd)[] = [];
    let bytes = 0;
    let served = 0;
    for (; served < waiting.length && bytes < sliceBytes; served++) {
      if (served > 0 && this.isSliceOver(startedMs)) break;
      const stream = waiting[served] as Stream;
      stream.isQueued = false;
      bytes += this.pull(stream, Math.min(streamSliceBytes, sliceBytes - bytes), startedMs, frames);
      this.changed(stream);
    }
    if (served < waiting.length) reader.queue = [...waiting.slice(served), ...reader.queue];
    if (frames.length > 0) caller.give(frames);
    this.enqueue(reader);
    return bytes;
  }

  /** Takes frames of one stream, at least one if it has one. Returns their bytes. */
  private pull(
    stream: Stream,
    sliceBytes: number,
    startedMs: Millis,
    frames: (StreamData | StreamEnd)[],
  ): number {
    let bytes = 0;
    while (stream.isReady && stream.ending === undefined && bytes < sliceBytes) {
      if (bytes > 0 && this.isSliceOver(startedMs)) break;
      const payload = this.ask(stream);
      if (payload === undefined) break;
      stream.sequence++;
      stream.creditBytes -= payload.length;
      bytes += payload.length + frameBytes;
      frames.push({ kind: 'streamData', requestId: stream.id, sequence: stream.sequence, payload });
    }
    const { ending } = stream;
    if (ending !== undefined) {
      frames.push(ending);
      bytes += frameBytes + ending.message.length;
      this.forget(stream);
    }
    return bytes;
  }

  private isSliceOver(startedMs: Millis): boolean {
    const { clock, sliceMs } = this.options;
    return clock.nowMs() - startedMs >= sliceMs;
  }

  private ask(stream: Stream): Uint8Array | undefined {
    stream.isAsking = true;
    // Before it is asked: it may wake the stream while it answers.
    stream.isDry = true;
    try {
      const payload = stream.source?.next();
      if (payload === undefined) return undefined;
      stream.isDry = false;
      const { length } = payload;
      if (length >= 1 && length <= wireLimits.streamPayloadBytesMax) return payload;
      const rule = `a frame has 1 to ${wireLimits.streamPayloadBytesMax} bytes`;
      throw new Error(`the topic ${stream.topic} gave a frame of ${length} bytes; ${rule}`);
    } catch (error) {
      this.fail(stream, error);
      return undefined;
    } finally {
      stream.isAsking = false;
    }
  }

  private openSource(stream: Stream, { topic, argument }: OpenStream): void {
    stream.isAsking = true;
    try {
      stream.source = this.topicOf(stream, topic).open(argument, stream, stream.reader.caller);
      this.openCount++;
      stream.reader.openCount++;
    } catch (error) {
      this.fail(stream, error);
    } finally {
      stream.isAsking = false;
    }
    this.changed(stream);
  }

  /** Throws why the stream cannot be. */
  private topicOf({ reader }: Stream, name: string): StreamTopic {
    const { topics, streamsMax } = this.options;
    const topic = Object.hasOwn(topics, name) ? topics[name] : undefined;
    if (topic === undefined) {
      throw new KvorumError('UNSUPPORTED', `this node has no streams of the topic ${JSON.stringify(name)}`);
    }
    const { streamsMax: callerStreamsMax } = reader.caller.limits;
    if (reader.openCount >= callerStreamsMax) {
      const fact = `${callerStreamsMax} streams are open on this connection`;
      throw new KvorumError('OVERLOADED', `${fact}; close some or raise limits.connectionStreamsMax`);
    }
    if (this.openCount >= streamsMax) {
      const fact = `${streamsMax} streams are open on this node`;
      throw new KvorumError('OVERLOADED', `${fact}; ask another node or raise limits.streamsMax`);
    }
    return topic;
  }

  /** What a source throws ends its stream; only a damaged store ends the node. */
  private fail(stream: Stream, error: unknown): void {
    if (KvorumError.is(error)) {
      if (isDamage(error)) throw error;
      stream.end(error.code, error.message);
      return;
    }
    const reason = error instanceof Error ? error.message : String(error);
    this.options.report({ kind: 'streamFailed', topic: stream.topic, reason });
    stream.end('INTERNAL', `the stream failed: ${reason}`);
  }

  private find(caller: StreamCaller, id: number): Stream | undefined {
    const reader = this.readers.get(caller);
    if (reader === undefined || id > reader.lastId) {
      throw new KvorumError('PROTOCOL', `stream ${id} was never opened on this connection`);
    }
    // Not there: it has ended, and the client did not know yet.
    return reader.streams.get(id);
  }

  /** Nothing more is given for the stream, and nothing more is asked of its source. */
  private forget(stream: Stream): void {
    stream.reader.streams.delete(stream.id);
    stream.ending = undefined;
    this.releaseSource(stream);
  }

  private releaseSource(stream: Stream): void {
    const { source, reader, topic } = stream;
    if (source === undefined) return;
    stream.source = undefined;
    this.openCount--;
    reader.openCount--;
    try {
      source.close();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.options.report({ kind: 'streamFailed', topic, reason });
    }
  }

  /** Gives the stream its place among those that wait, when there is something to give for it. */
  private readonly changed = (stream: Stream): void => {
    if (stream.isAsking) return;
    if (stream.ending !== undefined) this.releaseSource(stream);
    if (stream.isQueued || !stream.isReady) return;
    stream.isQueued = true;
    stream.reader.queue.push(stream);
    this.enqueue(stream.reader);
  };

  private enqueue(reader: Reader): void {
    if (reader.isQueued || reader.queue.length === 0) return;
    reader.isQueued = true;
    this.queue.push(reader);
    if (this.queue.length === 1) this.options.wake();
  }
}
