// One TCP proxy in front of one node, for one who dials it. Passes bytes on unchanged and in order, or holds
// them back, slows them down, throws them away, resets the connections or takes no new ones. Must never
// change a byte, and after bytes were thrown away never pass on later ones of the same connection: what is
// lost in a stream ends the stream.

import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Prng } from '../../base/prng.js';

/** What happens to the bytes that flow in one direction of a link. */
export interface Flow {
  /** `hold`: nothing passes, nothing is lost, nobody is told. `drop`: what is sent is lost. */
  readonly mode: 'pass' | 'hold' | 'drop';
  /** Added to every piece, and up to as much again at random. */
  readonly delayMs: number;
  /** How often a piece is taken for lost and sent again, 0 .. 1: all behind it waits `retransmitMs`. */
  readonly lossProbability: number;
  /** Infinity: not throttled. */
  readonly bytesPerSecond: number;
}

export const freeFlow: Flow = {
  mode: 'pass',
  delayMs: 0,
  lossProbability: 0,
  bytesPerSecond: Number.POSITIVE_INFINITY,
};

function isSameFlow(a: Flow, b: Flow): boolean {
  const isSamePace = a.delayMs === b.delayMs && a.bytesPerSecond === b.bytesPerSecond;
  return isSamePace && a.mode === b.mode && a.lossProbability === b.lossProbability;
}

/** What a lost piece costs: the shortest retransmission timeout of Linux. */
const retransmitMs = 200;
/** Bytes held back per direction of a connection; then the sender is not read any more. */
const heldBytesMax = 1_048_576;

export interface ProxyTarget {
  readonly host: string;
  readonly port: number;
}

export class Proxy {
  private readonly target: ProxyTarget;
  private readonly prng: Prng;
  private readonly server: Server;
  private readonly pairs = new Set<Pair>();
  private refusing = false;
  /** From who dials to the node, and back. */
  private forward = freeFlow;
  private backward = freeFlow;

  constructor(target: ProxyTarget, prng: Prng) {
    this.target = target;
    this.prng = prng;
    this.server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.accept(socket));
  }

  /** Resolves with the port on loopback that it listens on. Rejects with the system's error. */
  listen(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(0, '127.0.0.1', () => {
        const address = this.server.address();
        if (address === null || typeof address === 'string') reject(new Error('the proxy got no port'));
        else resolve(address.port);
      });
    });
  }

  /** Connections open now. */
  get openConnections(): number {
    return this.pairs.size;
  }

  setFlows(forward: Flow, backward: Flow): void {
    this.forward = forward;
    this.backward = backward;
    for (const pair of this.pairs) pair.setFlows(forward, backward);
  }

  /** New connections are answered by a reset; those that are open stay. */
  setRefusing(refusing: boolean): void {
    this.refusing = refusing;
  }

  /** Ends all connections with a reset, as a crashed machine or a middlebox does. */
  resetAll(): void {
    for (const pair of [...this.pairs]) pair.reset();
  }

  /** Ends everything. Idempotent. */
  close(): void {
    this.server.close();
    this.resetAll();
  }

  private accept(dialer: Socket): void {
    if (this.refusing) {
      dialer.on('error', () => undefined);
      reset(dialer);
      return;
    }
    const node = connect({ ...this.target, allowHalfOpen: true, noDelay: true });
    const pair = new Pair(dialer, node, this.prng, () => this.pairs.delete(pair));
    this.pairs.add(pair);
    pair.setFlows(this.forward, this.backward);
  }
}

/** A connection to the proxy and the one that it opened to the node for it. */
class Pair {
  private readonly forward: Pipe;
  private readonly backward: Pipe;
  private readonly onGone: () => void;
  private gone = false;

  constructor(dialer: Socket, node: Socket, prng: Prng, onGone: () => void) {
    this.onGone = onGone;
    const reset = (): void => this.reset();
    this.forward = new Pipe(dialer, node, prng, reset);
    this.backward = new Pipe(node, dialer, prng, reset);
    const closed = (): void => {
      if (dialer.destroyed && node.destroyed) this.end();
    };
    dialer.once('close', closed);
    node.once('close', closed);
  }

  setFlows(forward: Flow, backward: Flow): void {
    this.forward.setFlow(forward);
    this.backward.setFlow(backward);
  }

  reset(): void {
    this.forward.destroy();
    this.backward.destroy();
    this.end();
  }

  private end(): void {
    if (this.gone) return;
    this.gone = true;
    this.onGone();
  }
}

interface Piece {
  /** `end`: the source will send no more. `reset`: the source is gone. */
  readonly content: Buffer | 'end' | 'reset';
  dueMs: number;
}

/** One direction. Order: data, then `end` or `reset`; what is held back holds back all behind it. */
class Pipe {
  private readonly source: Socket;
  private readonly sink: Socket;
  private readonly prng: Prng;
  private readonly onBroken: () => void;
  private flow = freeFlow;
  private readonly pieces: Piece[] = [];
  private heldBytes = 0;
  /** Not before this time: pieces stay in order whatever their delay is. */
  private lastDueMs = 0;
  private timer: NodeJS.Timeout | undefined;
  private waitsForDrain = false;
  /** Bytes of this connection were thrown away. */
  private lossy = false;

  constructor(source: Socket, sink: Socket, prng: Prng, onBroken: () => void) {
    this.source = source;
    this.sink = sink;
    this.prng = prng;
    this.onBroken = onBroken;
    source.on('data', (bytes: Buffer) => this.take(bytes));
    source.once('end', () => this.push('end'));
    // Every error of a socket is followed by its close; only the close is passed on.
    source.on('error', () => this.push('reset'));
    sink.on('drain', () => {
      this.waitsForDrain = false;
      this.pump();
    });
    sink.once('close', () => this.stop());
  }

  setFlow(flow: Flow): void {
    if (this.flow.mode === 'drop' && flow.mode !== 'drop' && this.lossy) {
      this.onBroken();
      return;
    }
    if (isSameFlow(flow, this.flow)) return;
    this.flow = flow;
    // What waits has waited for the old flow.
    this.lastDueMs = 0;
    for (const piece of this.pieces) piece.dueMs = 0;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.pump();
  }

  destroy(): void {
    this.stop();
    reset(this.source);
  }

  private stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.pieces.length = 0;
    this.heldBytes = 0;
    this.source.resume();
  }

  private take(bytes: Buffer): void {
    if (this.sink.destroyed) return;
    if (this.flow.mode !== 'drop') this.heldBytes += bytes.length;
    this.push(bytes);
    if (this.heldBytes >= heldBytesMax) this.source.pause();
  }

  private push(content: Piece['content']): void {
    if (this.sink.destroyed) return;
    if (this.flow.mode === 'drop') {
      this.lossy = true;
      return;
    }
    const { delayMs, lossProbability, bytesPerSecond } = this.flow;
    const length = typeof content === 'string' ? 0 : content.length;
    const nowMs = performance.now();
    const lost = lossProbability > 0 && this.prng.chance(lossProbability) ? retransmitMs : 0;
    const randomMs = delayMs === 0 ? 0 : delayMs * this.prng.fraction();
    const earliestMs = Math.max(nowMs + delayMs + randomMs + lost, this.lastDueMs);
    this.lastDueMs = earliestMs + (length / bytesPerSecond) * 1_000;
    this.pieces.push({ content, dueMs: this.lastDueMs });
    this.pump();
  }

  private pump(): void {
    if (this.flow.mode === 'hold' || this.waitsForDrain) return;
    for (let piece = this.pieces[0]; piece !== undefined; piece = this.pieces[0]) {
      const waitMs = piece.dueMs - performance.now();
      if (waitMs > 0) {
        this.wakeIn(waitMs);
        return;
      }
      this.pieces.shift();
      if (piece.content === 'end') {
        this.sink.end();
      } else if (piece.content === 'reset') {
        reset(this.sink);
      } else {
        this.heldBytes -= piece.content.length;
        if (this.heldBytes < heldBytesMax / 2) this.source.resume();
        if (!this.sink.write(piece.content)) {
          this.waitsForDrain = true;
          return;
        }
      }
    }
  }

  private wakeIn(delayMs: number): void {
    if (this.timer !== undefined) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.pump();
    }, delayMs);
  }
}

/**
 * Ends a socket with a reset where that is possible: not once it was told to end, because libuv then refuses,
 * and the handle would stay for ever.
 */
function reset(socket: Socket): void {
  if (socket.connecting || socket.writableEnded || socket.writableLength > 0) socket.destroy();
  else socket.resetAndDestroy();
}
