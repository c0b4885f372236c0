// The node's one address: plain HTTP (http.ts), upgrades to /raft and /client. Carries out what the doors
// decide about connections (doors.ts) and hands open ones on; what is said on them it does not see. Must
// answer or close whatever arrives, and never hold more connections than the limits say.

import { createServer, STATUS_CODES, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type ServerOptions as WebSocketServerOptions, type WebSocket } from 'ws';
import type { Report } from '../base/env.js';
import { KvorumError } from '../base/errors.js';
import { wireLimits } from '../wire/limits.js';
import type { TransportEvent } from './events.js';
import { Doors, originOf, type NoPlace, type PlaceKind } from './doors.js';
import { HttpTurns, pathOf, type HttpRoutes } from './http.js';
import type { TransportLimits } from './limits.js';

export interface ListenerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly report: Report<TransportEvent>;
  /** Of plain HTTP; asked for when it listens. */
  readonly routes: () => HttpRoutes;
  readonly limits: TransportLimits;
  readonly onAccepted: (kind: PlaceKind, webSocket: WebSocket, socket: Socket) => void;
}

/** Strangers that are closed when descriptors are short. */
const shedAtOnce = 8;

export class Listener {
  private readonly options: ListenerOptions;
  private readonly server: Server;
  private readonly upgrades: WebSocketServer;
  private readonly doors: Doors<Socket>;

  constructor(options: ListenerOptions) {
    this.options = options;
    const { limits } = options;
    this.server = createServer({
      noDelay: true,
      requestTimeout: limits.httpTimeoutMs,
      headersTimeout: limits.httpTimeoutMs,
      // How often the two are looked at.
      connectionsCheckingInterval: limits.httpTimeoutMs / 2,
    });
    this.doors = new Doors(limits);
    this.server.on('connection', (socket) => this.arrive(socket));
    // `closeTimeout` is an option of ws that its type declarations do not have yet.
    const upgradeOptions: WebSocketServerOptions & { closeTimeout: number } = {
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: wireLimits.messageBytesMax,
      closeTimeout: limits.closeTimeoutMs,
    };
    this.upgrades = new WebSocketServer(upgradeOptions);
    this.server.on('upgrade', (request, socket, head) => this.upgrade(request, socket, head));
  }

  /** Rejects with `CONFIG`, naming the address and what to do, when it cannot be listened on. */
  listen(): Promise<{ port: number }> {
    const { host, port, report, limits, routes } = this.options;
    const { httpBodyBytesMax: bodyBytesMax, httpTimeoutMs: timeoutMs } = limits;
    // May be called again after a name was not known.
    this.server.removeAllListeners('request');
    const http = new HttpTurns({ routes: routes(), report, bodyBytesMax, timeoutMs });
    this.server.on('request', (request, response) => {
      this.doors.touch(request.socket);
      http.take(request, response);
    });
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

  /** Whoever is at the other side has said who it is. Returns why there is no place for it. */
  admit(socket: Socket, kind: PlaceKind): NoPlace | undefined {
    return this.doors.admit(socket, kind);
  }

  /** The socket is being closed: it gives up its place, and is the first to go when strangers come. */
  release(socket: Socket): void {
    this.doors.release(socket)?.destroy();
  }

  /** Closes some strangers, those that were silent longest, for their descriptors. */
  shed(): void {
    for (let count = 0; count < shedAtOnce; count++) this.doors.shed()?.destroy();
  }

  /** Connections that have not said who they are, plain HTTP among them. */
  get strangers(): number {
    return this.doors.strangerCount;
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
    this.upgrades.handleUpgrade(request, duplex, head, (webSocket) => {
      this.options.onAccepted(kind, webSocket, duplex as Socket);
    });
  }

  private arrive(socket: Socket): void {
    socket.once('close', () => this.doors.leave(socket));
    this.doors.arrive(socket, originOf(socket.remoteAddress))?.destroy();
  }
}

function kindOf(path: string): PlaceKind | undefined {
  if (path === '/raft') return 'member';
  return path === '/client' ? 'client' : undefined;
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
