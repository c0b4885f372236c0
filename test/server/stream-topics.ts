// Topics that only tests have. `numbers`: as many frames as the argument asks for, each beginning with its
// place in the stream. `held`: a source that gives what its test puts into it.

import { KvorumError } from '../../src/base/errors.js';
import type { Caller } from '../../src/server/front/caller.js';
import type { StreamOut, StreamSource, StreamTopic } from '../../src/server/front/streams.js';

export interface NumbersArgument {
  readonly count: number;
  /** Of each frame; at least 4. */
  readonly bytes: number;
}

export function numbersArgument(argument: NumbersArgument): Uint8Array {
  return Buffer.from(JSON.stringify(argument));
}

export function numberOf(payload: Uint8Array): number {
  return new DataView(payload.buffer, payload.byteOffset).getUint32(0);
}

/** Counts what is open and how often it was asked. */
export class Numbers implements StreamTopic {
  openNow = 0;
  asked = 0;

  open(argument: Uint8Array, out: StreamOut): StreamSource {
    const { count, bytes } = JSON.parse(Buffer.from(argument).toString()) as NumbersArgument;
    if (count === 0) throw new KvorumError('INVALID_ARGUMENT', 'count must be at least 1');
    let given = 0;
    this.openNow++;
    return {
      next: () => {
        this.asked++;
        const payload = new Uint8Array(bytes);
        new DataView(payload.buffer).setUint32(0, ++given);
        if (given === count) out.end('OK', '');
        return payload;
      },
      close: () => this.openNow--,
    };
  }
}

/** One stream of the topic `held`, in the test's hands. */
export class HeldSource implements StreamSource {
  readonly argument: string;
  readonly out: StreamOut;
  readonly caller: Caller;
  readonly frames: Uint8Array[] = [];
  asked = 0;
  closed = 0;
  onNext: () => void = () => undefined;
  onClose: () => void = () => undefined;

  constructor(argument: Uint8Array, out: StreamOut, caller: Caller) {
    this.argument = Buffer.from(argument).toString();
    this.out = out;
    this.caller = caller;
  }

  put(...lengths: readonly number[]): void {
    for (const length of lengths) this.frames.push(new Uint8Array(length));
    this.out.wake();
  }

  next(): Uint8Array | undefined {
    if (this.closed > 0) throw new Error('asked after it was closed');
    this.asked++;
    this.onNext();
    return this.frames.shift();
  }

  close(): void {
    this.closed++;
    this.onClose();
  }
}

export class Held implements StreamTopic {
  readonly sources: HeldSource[] = [];
  onOpen: (source: HeldSource) => void = () => undefined;

  open(argument: Uint8Array, out: StreamOut, caller: Caller): StreamSource {
    const source = new HeldSource(argument, out, caller);
    this.onOpen(source);
    this.sources.push(source);
    return source;
  }
}
