// What one connection is about to send: frames gathered during a tick, packed into messages near the target
// size. A request belongs to the next message until that has left or is refused by the link; a request that
// was completed meanwhile is left out, because its caller was told that nothing of it is on its way. Frames
// without a request are kept until they can leave. Bounded by the requests of a connection.

import { encodeClientFrames } from '../../wire/clients/request-codec.js';
import { wireLimits } from '../../wire/limits.js';
import type { ClientFrame } from '../../wire/clients/requests.js';
import type { PendingRequest, SentRequest } from './pending-request.js';

/** Values in a frame at most, itself included; see `wireLimits.elementsMax`. */
const frameValuesMax = 16;
const framesPerMessageMax = Math.floor(wireLimits.elementsMax / frameValuesMax) - 1;
/** What a frame takes besides keys and values. */
const frameOverheadBytes = 128;

export interface OutboxEnds {
  /** False: nothing was taken. */
  send(message: Uint8Array): boolean;
  /** The request's message was taken. */
  left(request: SentRequest, nowMs: number): void;
}

export class Outbox {
  private readonly ends: OutboxEnds;
  // Three columns of one table.
  private frames: ClientFrame[] = [];
  private requests: (PendingRequest | undefined)[] = [];
  private sizes: number[] = [];
  private totalBytes = 0;

  constructor(ends: OutboxEnds) {
    this.ends = ends;
  }

  get count(): number {
    return this.frames.length;
  }

  get bytes(): number {
    return this.totalBytes;
  }

  /** `bytes`: of keys and values. `request`: the one that the frame stands for. */
  add(frame: ClientFrame, request: PendingRequest | undefined, bytes: number): void {
    const size = bytes + frameOverheadBytes;
    this.frames.push(frame);
    this.requests.push(request);
    this.sizes.push(size);
    this.totalBytes += size;
  }

  /** Sends everything. False: the link takes no more; what waits then is still here. */
  flush(nowMs: number): boolean {
    if (this.frames.length === 0) return true;
    this.retain((request) => request === undefined || request.state === 'sent');
    const { frames, requests, sizes } = this;
    let first = 0;
    let bytes = 0;
    for (let i = 0; i <= frames.length; i++) {
      const next = sizes[i] ?? Infinity;
      const full = bytes + next > wireLimits.messageBytesTarget || i - first >= framesPerMessageMax;
      if (full && i > first) {
        const batch = first === 0 && i === frames.length ? frames : frames.slice(first, i);
        if (!this.ends.send(encodeClientFrames(batch))) {
          this.dropFirst(first);
          return false;
        }
        for (let sent = first; sent < i; sent++) {
          const request = requests[sent];
          if (request?.state === 'sent') this.ends.left(request, nowMs);
        }
        first = i;
        bytes = 0;
      }
      bytes += next;
    }
    this.clear();
    return true;
  }

  /** The requests that have not left, each taken out. */
  takeRequests(): SentRequest[] {
    const taken: SentRequest[] = [];
    for (const request of this.requests) if (request?.state === 'sent') taken.push(request);
    this.retain((request) => request === undefined);
    return taken;
  }

  clear(): void {
    this.frames = [];
    this.requests = [];
    this.sizes = [];
    this.totalBytes = 0;
  }

  private dropFirst(count: number): void {
    this.frames.splice(0, count);
    this.requests.splice(0, count);
    for (const size of this.sizes.splice(0, count)) this.totalBytes -= size;
  }

  private retain(keeps: (request: PendingRequest | undefined) => boolean): void {
    if (this.requests.every(keeps)) return;
    const { frames, requests, sizes } = this;
    this.clear();
    requests.forEach((request, index) => {
      const size = sizes[index] ?? 0;
      if (!keeps(request)) return;
      this.frames.push(frames[index] as ClientFrame);
      this.requests.push(request);
      this.sizes.push(size);
      this.totalBytes += size;
    });
  }
}
