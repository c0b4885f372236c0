// Real networks on loopback with free ports, and a handler that records what it hears and checks that it
// hears it in the promised way.

import { connect, type Socket } from 'node:net';
import { expect } from 'vitest';
import { WebSocket, type ClientOptions } from 'ws';
import type { LinkId, NetworkHandler, NodeId } from '../../src/base/env.js';
import type { HttpRoutes } from '../../src/transport/http.js';
import type { TransportLimits } from '../../src/transport/limits.js';
import { WebSocketNetwork } from '../../src/transport/websocket-network.js';

const nothing = (): void => undefined;

/** What one link went through, in order. Breaking the contract of `NetworkHandler` fails the test. */
export class Recorder implements NetworkHandler {
  readonly opened: { link: LinkId; how: 'dialed' | 'peer' | 'client'; peerId?: NodeId }[] = [];
  readonly unreachable: NodeId[] = [];
  readonly closed: LinkId[] = [];
  readonly drained: LinkId[] = [];
  readonly messages = new Map<LinkId, string[]>();
  /** Links closed by the node itself: nothing may be heard of them any more. */
  readonly closedByUs = new Set<LinkId>();
  readonly violations: string[] = [];
  /** Called for each message, after it was recorded. */
  onEach: (link: LinkId, message: Uint8Array) => void = nothing;
  /** Above 0 while a call to the network runs. */
  calls = 0;

  onPeerDialed(link: LinkId, peerId: NodeId): void {
    this.open(link, 'dialed', peerId);
  }
  onPeerAccepted(link: LinkId): void {
    this.open(link, 'peer');
  }
  onClientAccepted(link: LinkId): void {
    this.open(link, 'client');
  }
  onClientDrained(link: LinkId): void {
    this.check(`drained ${link}`, link);
    this.drained.push(link);
  }
  onPeerUnreachable(peerId: NodeId): void {
    this.check(`unreachable ${peerId}`);
    this.unreachable.push(peerId);
  }
  onMessage(link: LinkId, message: Uint8Array): void {
    this.check(`message on ${link}`, link);
    this.messages.get(link)?.push(Buffer.from(message.subarray(0, 100)).toString());
    this.onEach(link, message);
  }
  onClosed(link: LinkId): void {
    this.check(`closed ${link}`, link);
    this.closed.push(link);
  }

  links(how: 'dialed' | 'peer' | 'client'): LinkId[] {
    return this.opened.filter((entry) => entry.how === how).map((entry) => entry.link);
  }
  received(link: LinkId): string[] {
    return this.messages.get(link) ?? [];
  }

  private open(link: LinkId, how: 'dialed' | 'peer' | 'client', peerId?: NodeId): void {
    if (this.messages.has(link)) this.violations.push(`link ${link} opened twice`);
    this.check(`open ${link}`);
    this.opened.push({ link, how, ...(peerId === undefined ? {} : { peerId }) });
    this.messages.set(link, []);
  }
  private check(what: string, link?: LinkId): void {
    if (this.calls > 0) this.violations.push(`${what}: from inside a call to the network`);
    if (link === undefined) return;
    if (!this.messages.has(link)) this.violations.push(`${what}: before it was opened`);
    if (this.closed.includes(link)) this.violations.push(`${what}: after it was closed`);
    if (this.closedByUs.has(link)) this.violations.push(`${what}: after this node closed it`);
  }
}

export interface TestNode {
  readonly network: WebSocketNetwork;
  readonly handler: Recorder;
  readonly port: number;
  readonly address: string;
  close(link: LinkId, reason: string): void;
}

const nodes: TestNode[] = [];
const sockets: { terminate?: () => void; destroy?: () => void }[] = [];

export interface NodeOptions {
  readonly port?: number;
  readonly limits?: Partial<TransportLimits>;
  readonly routes?: HttpRoutes;
}

/** A listening network that `stopAll` stops. */
export async function startNode(options: NodeOptions = {}): Promise<TestNode> {
  const network = new WebSocketNetwork({
    host: '127.0.0.1',
    port: options.port ?? 0,
    report: nothing,
    routes: () => options.routes ?? {},
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  const handler = new Recorder();
  network.setHandler(handler);
  for (const name of ['dial', 'stopDialing', 'send', 'close'] as const) watch(network, name, handler);
  const { port } = await network.listen();
  const node: TestNode = {
    network,
    handler,
    port,
    address: `127.0.0.1:${port}`,
    close: (link, reason) => {
      handler.closedByUs.add(link);
      network.close(link, reason);
    },
  };
  nodes.push(node);
  return node;
}

/** Marks the time during which a method of the network runs. */
function watch(
  network: WebSocketNetwork,
  name: 'dial' | 'stopDialing' | 'send' | 'close',
  handler: Recorder,
): void {
  const original = network[name].bind(network) as (...values: unknown[]) => unknown;
  Object.defineProperty(network, name, {
    value: (...values: unknown[]) => {
      handler.calls++;
      try {
        return original(...values);
      } finally {
        handler.calls--;
      }
    },
  });
}

/**
 * For `afterEach`: closes everything that was opened, and fails when a handler was called against its
 * contract.
 */
export async function stopAll(): Promise<void> {
  for (const socket of sockets.splice(0)) (socket.terminate ?? socket.destroy)?.call(socket);
  const stopped = nodes.splice(0);
  await Promise.all(stopped.map((node) => node.network.stop()));
  for (const node of stopped) expect(node.handler.violations).toEqual([]);
}

export interface RawClient {
  readonly webSocket: WebSocket;
  readonly received: string[];
  /** Set when it is closed. */
  closed: { code: number; reason: string } | undefined;
}

/** A WebSocket client that is not ours, connected to a path of the node. */
export async function openClient(
  address: string,
  path = '/client',
  options: ClientOptions = {},
): Promise<RawClient> {
  const webSocket = new WebSocket(`ws://${address}${path}`, { perMessageDeflate: false, ...options });
  sockets.push(webSocket);
  const client: RawClient = { webSocket, received: [], closed: undefined };
  webSocket.on('message', (data) => client.received.push((data as Buffer).subarray(0, 100).toString()));
  webSocket.on('close', (code, reason) => (client.closed = { code, reason: reason.toString() }));
  await new Promise((resolve, reject) => {
    webSocket.once('open', resolve);
    webSocket.once('error', reject);
  });
  webSocket.on('error', nothing);
  return client;
}

/** The status with which an upgrade is refused. */
export function refusedUpgrade(address: string, path: string, options: ClientOptions = {}): Promise<number> {
  const webSocket = new WebSocket(`ws://${address}${path}`, options);
  sockets.push(webSocket);
  return new Promise((resolve, reject) => {
    webSocket.on('unexpected-response', (_request, response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
      webSocket.terminate();
    });
    webSocket.on('error', nothing);
    webSocket.once('open', () => reject(new Error('the upgrade was accepted')));
  });
}

export interface RawSocket {
  readonly socket: Socket;
  readonly text: () => string;
  readonly isClosed: () => boolean;
}

/** A plain TCP connection to the node. */
export function openSocket(port: number): Promise<RawSocket> {
  const socket = connect({ host: '127.0.0.1', port });
  sockets.push(socket);
  let text = '';
  let closed = false;
  socket.on('data', (data) => (text += data.toString('latin1')));
  socket.on('error', nothing);
  socket.on('close', () => (closed = true));
  return new Promise((resolve) => {
    socket.once('connect', () => resolve({ socket, text: () => text, isClosed: () => closed }));
  });
}

/** The upgrade request that a WebSocket client sends. */
export function upgradeRequest(path: string): string {
  return (
    `GET ${path} HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n` +
    `sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`
  );
}
