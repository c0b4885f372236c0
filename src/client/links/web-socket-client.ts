// The client's network over WebSockets. No compression, explicit limits, no timers of its own: the engine
// decides when a connection has been silent for too long. A closed link is forgotten at once; its socket is
// destroyed when the other side does not say goodbye soon.

import WebSocket from 'ws';
import { wireLimits } from '../../wire/limits.js';
import { platform } from './platform.js';
import type { ClientNetwork, ClientNetworkHandler, LinkId } from '../engine/env.js';

export interface WebSocketClientOptions {
  /** Bytes in a socket's buffer above which `send` takes no more. */
  readonly bufferedBytesMax: number;
}

/** How long a closed socket may wait for the other side's close frame. */
const closeTimeoutMs = 250;
/** A close frame carries at most 123 bytes of reason. */
const closeReasonCharactersMax = 120;

export class WebSocketClient implements ClientNetwork {
  private readonly options: WebSocketClientOptions;
  private handler: ClientNetworkHandler | undefined;
  private lastLink = 0;
  private readonly sockets = new Map<LinkId, WebSocket>();
  /** Every socket that has not ended, also those whose link is closed already. */
  private readonly living = new Set<WebSocket>();
  private readonly drained: (() => void)[] = [];

  constructor(options: WebSocketClientOptions) {
    this.options = options;
  }

  /** Tells who hears of the links. Once, before the first `open`. */
  attach(handler: ClientNetworkHandler): void {
    this.handler = handler;
  }

  open(address: string): LinkId {
    const link = ++this.lastLink;
    let socket: WebSocket;
    try {
      socket = new WebSocket(`ws://${address}/client`, {
        perMessageDeflate: false,
        maxPayload: wireLimits.messageBytesMax,
        followRedirects: false,
        // Masking protects proxies from scripts in browsers; here it would only cost a copy. Zero is a valid
        // mask.
        generateMask: () => undefined,
      } as WebSocket.ClientOptions);
    } catch (error) {
      platform.setImmediate(() => this.handler?.onClosed(link, (error as Error).message));
      return link;
    }
    this.sockets.set(link, socket);
    this.living.add(socket);
    this.listen(link, socket);
    return link;
  }

  send(link: LinkId, message: Uint8Array): boolean {
    const socket = this.sockets.get(link);
    if (socket === undefined || socket.readyState !== WebSocket.OPEN) return false;
    if (socket.bufferedAmount > this.options.bufferedBytesMax) return false;
    socket.send(message);
    return true;
  }

  close(link: LinkId, reason: string): void {
    const socket = this.sockets.get(link);
    if (socket === undefined) return;
    this.sockets.delete(link);
    if (socket.readyState === WebSocket.OPEN) {
      socket.close(1000, reason.replace(/[^\x20-\x7e]/g, '?').slice(0, closeReasonCharactersMax));
      const giveUp = platform.setTimeout(() => socket.terminate(), closeTimeoutMs);
      socket.once('close', () => platform.clearTimeout(giveUp));
    } else {
      socket.terminate();
    }
  }

  bufferedBytes(link: LinkId): number {
    return this.sockets.get(link)?.bufferedAmount ?? 0;
  }

  /** Calls `done` once all sockets have ended: nothing of this network keeps the process alive then. */
  whenDrained(done: () => void): void {
    this.drained.push(done);
    if (this.living.size === 0) platform.setImmediate(() => this.reportDrained());
  }

  private listen(link: LinkId, socket: WebSocket): void {
    let fault: string | undefined;
    let isOpen = false;
    socket.on('open', () => {
      isOpen = true;
      if (this.sockets.has(link)) this.handler?.onOpen(link);
    });
    socket.on('message', (data, isBinary) => {
      if (!this.sockets.has(link)) return;
      if (isBinary) {
        this.handler?.onMessage(link, data as Buffer);
        return;
      }
      fault = 'not a kvorum node: it sent text, which is not of the protocol';
      socket.terminate();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      fault ??= faultOf(error, isOpen);
    });
    socket.on('close', (code, reason) => {
      this.living.delete(socket);
      const text = reason.length > 0 ? reason.toString('utf8') : `connection closed (${code})`;
      if (this.sockets.delete(link)) this.handler?.onClosed(link, fault ?? text);
      if (this.living.size === 0) this.reportDrained();
    });
  }

  private reportDrained(): void {
    for (const done of this.drained.splice(0)) done();
  }
}

/** What went wrong, for people. A server that is something else says so in many ways. */
function faultOf({ message, code }: NodeJS.ErrnoException, isOpen: boolean): string {
  const words = message === '' ? (code ?? 'connection failed') : message;
  if (isOpen) return words;
  const status = /^Unexpected server response: (\d+)$/.exec(words)?.[1];
  if (status !== undefined) return `not a kvorum node: it answered with HTTP status ${status}`;
  const isHandshake = code?.startsWith('HPE_') === true || /Sec-WebSocket|[Uu]pgrade/.test(words);
  if (isHandshake) return `not a kvorum node: it does not answer as a WebSocket server (${words})`;
  if (words !== 'socket hang up') return words;
  return 'closed the connection before it greeted: not a kvorum node, or one that is stopping';
}
