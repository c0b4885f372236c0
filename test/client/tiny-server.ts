// A small server over real sockets, for tests of the client: one node that leads alone.

import { WebSocketServer, type WebSocket } from 'ws';
import { encodeServerFrames } from '../../src/wire/clients/answer-codec.js';
import type { ServerFrame } from '../../src/wire/clients/answers.js';
import { decodeClientFrames } from '../../src/wire/clients/request-codec.js';
import type { ClientFrame } from '../../src/wire/clients/requests.js';
import { decodeClientCommand } from '../../src/wire/commands/command-codec.js';
import { ownVersions } from '../../src/wire/versions.js';

/** One node that leads alone, keeps values in memory, and knows each write's stamp. */
export class TinyServer {
  readonly values = new Map<string, Uint8Array>();
  readonly outcomes = new Map<string, ServerFrame>();
  executed = 0;
  /** Closes the connection instead of answering, after the write was executed; this many times. */
  losesAnswers = 0;
  port: number;
  connections = 0;
  leaderId = 'n1';
  /** Answers nothing but hellos. */
  isMute = false;
  /** Called when answers have gone into the socket. */
  answered: () => void = () => undefined;
  paths = new Set<string | undefined>();
  private server: WebSocketServer | undefined;

  constructor(port = 0) {
    this.port = port;
  }

  get endpoint(): string {
    return `127.0.0.1:${this.port}`;
  }

  async start(): Promise<this> {
    const server = new WebSocketServer({ port: this.port, host: '127.0.0.1', perMessageDeflate: false });
    this.server = server;
    server.on('connection', (socket, request) => {
      this.paths.add(request.url);
      this.connections++;
      socket.on('message', (data) => {
        const answers: ServerFrame[] = [];
        for (const frame of decodeClientFrames(data as Buffer)) {
          const answer = this.answer(frame, socket);
          if (answer !== undefined) answers.push(answer);
        }
        if (answers.length === 0) return;
        socket.send(encodeServerFrames(answers));
        this.answered();
      });
    });
    await new Promise((resolve) => server.once('listening', resolve));
    this.port = (server.address() as { port: number }).port;
    return this;
  }

  async stop(): Promise<void> {
    for (const socket of this.server?.clients ?? []) socket.terminate();
    await new Promise((resolve) => (this.server === undefined ? resolve(0) : this.server.close(resolve)));
    this.server = undefined;
  }

  private answer(frame: ClientFrame, socket: WebSocket): ServerFrame | undefined {
    if (this.isMute && frame.kind !== 'hello') return undefined;
    switch (frame.kind) {
      case 'hello': {
        const members = [{ nodeId: 'n1', address: this.endpoint }];
        const leader = { leaderId: this.leaderId, term: 1, clusterTimeMs: 0 };
        const own = { clusterId: 'c1', nodeId: 'n1', formatLevel: 1 };
        return { kind: 'hello', ...ownVersions, ...own, members, ...leader };
      }
      case 'write':
        return this.write(frame, socket);
      case 'get': {
        const value = this.values.get(frame.key);
        const { requestId, key } = frame;
        const versions = { createRevision: 1, modRevision: 1, version: 1, leaseId: 0 };
        const record = value === undefined ? undefined : { key, value, ...versions };
        return { kind: 'got', requestId, revision: this.executed, record };
      }
      case 'ping':
        return { kind: 'pong', requestId: frame.requestId };
      default:
        return undefined;
    }
  }

  private write(frame: Extract<ClientFrame, { kind: 'write' }>, socket: WebSocket): ServerFrame | undefined {
    const { session, operation } = decodeClientCommand(new Uint8Array(frame.command));
    const stamp = `${session.sessionId}/${session.sequence}`;
    const { requestId } = frame;
    let outcome = this.outcomes.get(stamp);
    if (outcome === undefined) {
      if (operation.kind === 'put') {
        this.values.set(operation.key, operation.value);
        this.executed++;
      }
      outcome = {
        kind: 'written',
        requestId,
        code: 'OK',
        revision: this.executed,
        count: 0,
        current: undefined,
      };
      this.outcomes.set(stamp, outcome);
      if (this.losesAnswers > 0) {
        this.losesAnswers--;
        socket.terminate();
        return undefined;
      }
    }
    return { ...outcome, requestId } as ServerFrame;
  }
}
