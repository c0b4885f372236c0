// The node's one address: plain HTTP for health and metrics, upgrades to /raft and /client. Only counts
// connections and hands open ones on; what is said on them it does not see. Must answer or close whatever
// arrives, and never let strangers hold more connections than the limits say.

import {
  createServer,
  STATUS_CODES,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type ServerOptions as WebSocketServerOptions, type WebSocket } from 'ws';
import type { Report } from '../base/env.js';
import { KvorumError } from '../base/errors.js';
import { wireLimits } from '../wire/protocol.js';
import type { TransportEvent } from './events.js';
import type { TransportLimits } from './limits.js';

export type AcceptedKind = 'peer' | 'client';

export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** Answers a GET of a path (without its query); `undefined`: there is no such page. */
export type HttpHandler = (path: string) => HttpAnswer | undefined | Promise<HttpAnswer | undefined>;

export interface ListenerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly report: Report<TransportEvent>;
  readonly http: HttpHandler;
  readonly limits: TransportLimits;
  readonly onAccepted: (kind: AcceptedKind, webSocket: WebSocket, socket: Socket) => void;
}

export class Listener {
  private readonly options: ListenerOptions;
  private readonly server: Server;
  private readonly upgrades: WebSocketServer;
  /** Accepted and not yet fully closed, per kind. Never above its limit. */
  private readonly open: Record<AcceptedKind, number> = { peer: 0, client: 0 };

  constructor(options: ListenerOptions) {
    this.options = options;
    const { limits } = options;
    this.server = createServer({
      noDelay: true,
      requestTimeout: limits.httpTimeoutMs,
      headersTimeout: limits.httpTimeoutMs,
    });
    this.server.maxConnections = limits.clientsMax + limits.peersMax + limits.httpConnectionsMax;
    // `closeTimeout` is an option of ws that its type declarations do not have yet.
    const upgradeOptions: WebSocketServerOptions & { closeTimeout: number } = {
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: wireLimits.messageBytesMax,
      closeTimeout: limits.closeTimeoutMs,
    };
    this.upgrades = new WebSocketServer(upgradeOptions);
    this.server.on('request', (request, response) => void this.answer(request, response));
    this.server.on('upgrade', (request, socket, head) => this.upgrade(request, socket, head));
  }

  /** Rejects with `CONFIG`, naming the address and what to do, when it cannot be listened on. */
  listen(): Promise<{ port: number }> {
    const { host, port, report } = this.options;
    return new Promise((resolve, reject) => {
      const onError = (error: NodeJS.ErrnoException): void => reject(cannotListen(host, port, error));
      this.server.once('error', onError);
      this.server.listen({ host, port }, () => {
        this.server.off('error', onError);
        this.server.on('error', ({ message }) => report({ kind: 'httpServerFailed', error: message }));
        resolve({ port: (this.server.address() as AddressInfo).port });
      });
    });
  }

  /** Accepts nothing more; resolves when every connection is closed. Links are the owner's to close. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      // The only error there is says that the server was not listening.
      this.server.close(() => resolve());
    });
  }

  /** Destroys what is left of plain HTTP connections. */
  destroyConnections(): void {
    this.server.closeAllConnections();
  }

  private upgrade(request: IncomingMessage, duplex: Duplex, head: Buffer): void {
    duplex.on('error', () => duplex.destroy());
    // Browsers always name the origin of the page. Without this check any page that a developer has open
    // could write to the node on his machine.
    if (request.headers.origin !== undefined) return refuse(duplex, 403, 'pages may not connect to a node');
    const kind = kindOf(pathOf(request));
    if (kind === undefined) return refuse(duplex, 404, 'connect to /client or /raft');
    const { limits, onAccepted } = this.options;
    const max = kind === 'client' ? limits.clientsMax : limits.peersMax;
    if (this.open[kind] >= max) return refuse(duplex, 503, `the node has its limit of ${max} connections`);
    this.upgrades.handleUpgrade(request, duplex, head, (webSocket) => {
      this.open[kind]++;
      webSocket.once('close', () => this.open[kind]--);
      onAccepted(kind, webSocket, duplex as Socket);
    });
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      respond(response, { status: 405, contentType: 'text/plain', body: 'only GET and HEAD\n' });
      return;
    }
    const path = pathOf(request);
    try {
      const found = await this.options.http(path);
      respond(response, found ?? { status: 404, contentType: 'text/plain', body: `no page ${path}\n` });
    } catch (error) {
      this.options.report({ kind: 'httpRequestFailed', path, error: (error as Error).message });
      respond(response, {
        status: 500,
        contentType: 'text/plain',
        body: 'failed, see the log of the node\n',
      });
    }
  }
}

function kindOf(path: string): AcceptedKind | undefined {
  if (path === '/raft') return 'peer';
  return path === '/client' ? 'client' : undefined;
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '/').split('?', 1)[0] as string;
}

function respond(response: ServerResponse, answer: HttpAnswer): void {
  if (response.destroyed) return;
  const body = Buffer.from(answer.body);
  response.writeHead(answer.status, {
    'content-type': answer.contentType,
    'content-length': body.length,
    // Whatever body a refused request still sends is not read to its end.
    ...(answer.status === 405 ? { connection: 'close', allow: 'GET, HEAD' } : {}),
  });
  response.end(body);
}

/** Answers an upgrade request that is not accepted, and closes. */
function refuse(duplex: Duplex, status: number, reason: string): void {
  const body = `${reason}\n`;
  duplex.once('finish', () => duplex.destroy());
  duplex.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\ncontent-type: text/plain\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

function cannotListen(host: string, port: number, error: NodeJS.ErrnoException): KvorumError {
  const message = `cannot listen on ${host}:${port}: ${reasonOf(error)}`;
  return new KvorumError('CONFIG', message, { cause: error, details: { host, port, errno: error.code } });
}

function reasonOf(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return 'the address is in use; stop the process that uses it or give the node another port';
    case 'EADDRNOTAVAIL':
      return 'this machine has no such address; give the node one of this machine';
    case 'EACCES':
      return 'not allowed; give the node a port above 1023';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the host name is not known here; check its spelling or give an IP address';
    default:
      return error.message;
  }
}
