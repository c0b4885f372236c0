// The streams of one connection, on the client's side: frames that a node sends for as long as both want, in
// order, against a credit in bytes. The credit that was given, what is consumed and not yet given again, and
// what the reader holds always add up to the window of the stream, so that a reader who is slow never holds
// more than that window and the rest of one frame. A frame that breaks the rules is the node's fault: the
// connection is dropped. Must never call a reader again after it has closed its stream or was told its end.

import { assert, assertNever } from '../../base/assert.js';
import { KvorumError } from '../../base/errors.js';
import { wireLimits } from '../../wire/limits.js';
import type { ClientFrame } from '../../wire/clients/requests.js';
import type { StreamData, StreamEnd } from '../../wire/clients/answers.js';
import { streamsMax } from './limits.js';
import type { ReadFrom } from './requests.js';
import { errorOf } from './verdict.js';

export interface StreamRequest {
  /** What the stream is of; ASCII. */
  readonly topic: string;
  /** At most `wireLimits.streamArgumentBytesMax`. The bytes must not change before the stream has begun. */
  readonly argument: Uint8Array;
  /** The window: 1 .. `wireLimits.streamCreditBytesMax`. */
  readonly creditBytes: number;
  /** Default `nearest`. */
  readonly readFrom?: ReadFrom;
}

export interface StreamReader {
  /** The next frame; a view into the message that it came in. */
  data(payload: Uint8Array): void;
  /** Once, as the last call: the node ended it, or the connection is lost. Not after `close`. */
  end(error: KvorumError | undefined): void;
}

/** What a reader holds of its stream. Without effect once the stream has ended. */
export interface StreamHandle {
  /** The reader is done with so many bytes of what it got. */
  consumed(bytes: number): void;
  close(): void;
}

type SendFrame = (frame: ClientFrame) => void;

class Stream implements StreamHandle {
  readonly streamId: number;
  private readonly windowBytes: number;
  private readonly reader: StreamReader;
  private readonly send: SendFrame;
  private readonly onOver: () => void;
  private isOver = false;
  /** What the node may still send; below 0 by what its last frame was too long. */
  private creditBytes: number;
  /** Given to the reader and not consumed. */
  private heldBytes = 0;
  /** Consumed and not given to the node again. */
  private owedBytes = 0;
  private nextSequence = 1;

  constructor(
    streamId: number,
    { creditBytes }: StreamRequest,
    reader: StreamReader,
    send: SendFrame,
    onOver: () => void,
  ) {
    this.streamId = streamId;
    this.windowBytes = creditBytes;
    this.creditBytes = creditBytes;
    this.reader = reader;
    this.send = send;
    this.onOver = onOver;
  }

  consumed(bytes: number): void {
    if (this.isOver) return;
    const isPossible = Number.isSafeInteger(bytes) && bytes >= 0 && bytes <= this.heldBytes;
    assert(isPossible, `a stream's reader consumed ${bytes} of ${this.heldBytes} bytes`);
    this.heldBytes -= bytes;
    this.owedBytes += bytes;
    if (this.owedBytes < this.windowBytes / 2) return;
    while (this.owedBytes > 0) {
      const given = Math.min(this.owedBytes, wireLimits.streamCreditBytesMax);
      this.owedBytes -= given;
      this.creditBytes += given;
      this.send({ kind: 'streamCredit', requestId: this.streamId, bytes: given });
    }
  }

  close(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.onOver();
    this.send({ kind: 'closeStream', requestId: this.streamId });
  }

  data({ sequence, payload }: StreamData): void {
    if (sequence !== this.nextSequence) {
      const message = `frame ${sequence} of stream ${this.streamId} came where ${this.nextSequence} was due`;
      throw new KvorumError('PROTOCOL', message);
    }
    if (this.creditBytes <= 0) {
      const message = `frame ${sequence} of stream ${this.streamId} came beyond its credit`;
      throw new KvorumError('PROTOCOL', message);
    }
    this.nextSequence++;
    this.creditBytes -= payload.length;
    this.heldBytes += payload.length;
    this.reader.data(payload);
  }

  end(error: KvorumError | undefined): void {
    if (this.isOver) return;
    this.isOver = true;
    this.onOver();
    this.reader.end(error);
  }
}

export interface StreamTableEnds {
  nextRequestId(): number;
  send(frame: ClientFrame): void;
}

export class StreamTable {
  private readonly ends: StreamTableEnds;
  /** At most `streamsMax`. */
  private readonly open = new Map<number, Stream>();
  /** Ids of this link's streams lie between the two, ascending. */
  private firstId = Infinity;
  private lastId = -Infinity;

  constructor(ends: StreamTableEnds) {
    this.ends = ends;
  }

  get size(): number {
    return this.open.size;
  }

  get hasRoom(): boolean {
    return this.open.size < streamsMax;
  }

  /** Opens a stream. The caller has looked for room, and at the arguments. */
  add(request: StreamRequest, reader: StreamReader): StreamHandle {
    assert(this.hasRoom, `more than ${streamsMax} streams on one connection`);
    const requestId = this.ends.nextRequestId();
    const { topic, argument, creditBytes } = request;
    const send: SendFrame = (frame) => this.ends.send(frame);
    const stream = new Stream(requestId, request, reader, send, () => this.open.delete(requestId));
    this.firstId = Math.min(this.firstId, requestId);
    this.lastId = requestId;
    this.open.set(requestId, stream);
    send({ kind: 'openStream', requestId, topic, argument, creditBytes });
    return stream;
  }

  /** Throws PROTOCOL for a frame that no stream allows. */
  receive(frame: StreamData | StreamEnd): void {
    const { requestId } = frame;
    const stream = this.open.get(requestId);
    if (stream === undefined) {
      // What was under way when the stream was closed.
      if (requestId >= this.firstId && requestId <= this.lastId) return;
      throw new KvorumError('PROTOCOL', `the node sent ${frame.kind} of stream ${requestId}, never opened`);
    }
    switch (frame.kind) {
      case 'streamData':
        stream.data(frame);
        return;
      case 'streamEnd':
        stream.end(frame.code === 'OK' ? undefined : errorOf(frame.code, frame.message, 'none'));
        return;
      default:
        assertNever(frame);
    }
  }

  /** Ends all of them: the link they were on is gone. */
  endAll(error: KvorumError): void {
    this.firstId = Infinity;
    this.lastId = -Infinity;
    const streams = [...this.open.values()];
    this.open.clear();
    for (const stream of streams) stream.end(error);
  }
}

/** A stream that could not be opened: its reader is told, not before the caller has the handle. */
export function refusedStream(
  error: KvorumError,
  reader: StreamReader,
  defer: (callback: () => void) => void,
): StreamHandle {
  let isOver = false;
  defer(() => {
    if (!isOver) reader.end(error);
  });
  return {
    consumed: () => undefined,
    close: () => {
      isOver = true;
    },
  };
}

/** What is wrong with a stream that is to be opened. */
export function streamRefusal({ argument, creditBytes }: StreamRequest): KvorumError | undefined {
  const { streamArgumentBytesMax: bytesMax, streamCreditBytesMax: creditMax } = wireLimits;
  if (!Number.isSafeInteger(creditBytes) || creditBytes < 1 || creditBytes > creditMax) {
    const message = `creditBytes of a stream must be an integer 1 .. ${creditMax}, not ${creditBytes}`;
    return new KvorumError('INVALID_ARGUMENT', message);
  }
  if (argument.length > bytesMax) {
    const message = `the argument of a stream has ${argument.length} bytes, its limit is ${bytesMax}`;
    return new KvorumError('TOO_LARGE', message, { details: { bytes: argument.length, bytesMax } });
  }
  return undefined;
}
