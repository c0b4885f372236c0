// One open connection: sends within its limit, passes messages on, and says once that it is gone. It must
// never call back after it was closed by this node, and never after it has said that it is gone.

import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { assert } from '../base/assert.js';
import { asBuffer } from '../base/bytes.js';
import type { LinkId } from '../base/env.js';
import { wireLimits } from '../wire/limits.js';
import type { PlaceKind } from './doors.js';

export interface LinkEvents {
  onMessage(link: Link, message: Uint8Array): void;
  /** Closed by the other side, by a fault or for breaking the protocol; not by `close`. */
  onGone(link: Link, reason: string): void;
}

export interface LinkOptions {
  readonly id: LinkId;
  readonly webSocket: WebSocket;
  readonly socket: Socket;
  /** As what it came to this node's address; `undefined`: this node dialed it. */
  readonly cameAs: PlaceKind | undefined;
  readonly bufferedBytesMax: number;
  readonly events: LinkEvents;
}

/** Close codes of RFC 6455 §7.4.1. */
const closeNormal = 1_000;
const closeUnsupportedData = 1_003;
/** Of the 123 bytes that a close frame has room for, those promised by `Network.close`. */
const closeReasonBytesMax = 120;

const binary = { binary: true, compress: false, fin: true } as const;

export class Link {
  readonly id: LinkId;
  private readonly webSocket: WebSocket;
  readonly socket: Socket;
  readonly cameAs: PlaceKind | undefined;
  private readonly bufferedBytesMax: number;
  private readonly events: LinkEvents;
  /** Once true, nothing is sent and no event is passed on. Never becomes false again. */
  private ended = false;
  /** Received when the link was last looked at, and how often since then nothing had come. */
  private seenBytes = 0;
  private silentLooks = 0;

  constructor(options: LinkOptions) {
    this.id = options.id;
    this.webSocket = options.webSocket;
    this.socket = options.socket;
    this.cameAs = options.cameAs;
    this.bufferedBytesMax = options.bufferedBytesMax;
    this.events = options.events;
    this.webSocket.on('message', (data, isBinary) => this.receive(data as Buffer, isBinary));
    // After an error the closing handshake may take long or never end; for the node the link is gone now.
    this.webSocket.on('error', (error) => this.end(error.message));
    this.webSocket.on('close', (code) => this.end(`closed with code ${code}`));
  }

  /** False, and nothing is kept, when the link is gone or the message does not fit under the limit. */
  send(message: Uint8Array): boolean {
    assert(
      message.length <= wireLimits.messageBytesMax,
      `a message of ${message.length} bytes is over the limit that every receiver enforces`,
    );
    if (this.ended || this.webSocket.readyState !== this.webSocket.OPEN) return false;
    if (this.webSocket.bufferedAmount + message.length > this.bufferedBytesMax) return false;
    this.webSocket.send(asBuffer(message), binary);
    return true;
  }

  get bufferedBytes(): number {
    return this.ended ? 0 : this.webSocket.bufferedAmount;
  }

  /** Closes without an event, after what was sent has left. */
  close(reason: string): void {
    this.ended = true;
    this.webSocket.close(closeNormal, clipUtf8(reason, closeReasonBytesMax));
  }

  /**
   * Pings a link that has been silent since the last look, and ends it after `silentLooksMax` of them in a
   * row. Looks are counted instead of time, because after a pause of this process the clock has moved on for
   * all links, while what they sent meanwhile is still waiting to be read.
   */
  look(silentLooksMax: number): void {
    if (this.ended) return;
    const received = this.socket.bytesRead;
    if (received !== this.seenBytes) {
      this.seenBytes = received;
      this.silentLooks = 0;
      return;
    }
    this.silentLooks++;
    if (this.silentLooks >= silentLooksMax) {
      this.webSocket.terminate();
      this.end('nothing was received for too long');
    } else if (this.webSocket.readyState === this.webSocket.OPEN) {
      this.webSocket.ping();
    }
  }

  private receive(data: Buffer, isBinary: boolean): void {
    if (this.ended) return;
    if (isBinary) {
      this.events.onMessage(this, data);
      return;
    }
    this.webSocket.close(closeUnsupportedData, 'only binary messages');
    this.end('it sent a text message');
  }

  private end(reason: string): void {
    if (this.ended) return;
    this.ended = true;
    this.events.onGone(this, reason);
  }
}

/** The longest start of `text` that takes at most `bytesMax` bytes of UTF-8. */
function clipUtf8(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= bytesMax) return text;
  let end = bytesMax;
  // 10xxxxxx continues a character that began before; do not cut inside one.
  while (end > 0 && ((bytes[end] as number) & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}
