// Plain HTTP on the node's address: finds the route of a request, reads its body up to a bound, and answers
// what is wrong with it. What a page says is its handler's. Must hold no more of a request than its bound,
// and answer each in the end, also one whose handler fails.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Report } from '../base/env.js';
import type { TransportEvent } from './events.js';

export type HttpMethod = 'GET' | 'POST' | 'PUT' | 'DELETE';

export interface HttpRequest {
  /** A HEAD is told from a GET nowhere: it is answered like one, without the body. */
  readonly method: HttpMethod;
  /** Without the query. */
  readonly path: string;
  /** What follows the `?`; empty if there is none. */
  readonly query: string;
  /** By names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Uint8Array;
}

export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

export type HttpHandler = (request: HttpRequest) => HttpAnswer | Promise<HttpAnswer>;

/** What there is: the handler of each method of each path. */
export type HttpRoutes = Readonly<Record<string, Readonly<Partial<Record<HttpMethod, HttpHandler>>>>>;

export interface HttpOptions {
  readonly routes: HttpRoutes;
  readonly report: Report<TransportEvent>;
  readonly bodyBytesMax: number;
  /** How long whoever asked may take none of the answer. */
  readonly timeoutMs: number;
}

/** Of a path that is repeated to whoever asked for it. */
const shownLengthMax = 100;

/**
 * Answers requests, of each connection one at a time: whoever sends the next before it has the answer gets
 * that answer and no other, and the connection is closed.
 */
export class HttpTurns {
  private readonly options: HttpOptions;
  /** The answer that a connection waits for. */
  private readonly underWay = new WeakMap<Socket, ServerResponse>();
  /** Did not wait, and end with the answer under way: nothing that they still bring is a request. */
  private readonly ending = new WeakSet<Socket>();

  constructor(options: HttpOptions) {
    this.options = options;
  }

  take(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    if (this.ending.has(socket)) return;
    const earlier = this.underWay.get(socket);
    if (earlier !== undefined) {
      // What else it has sent is not read: each request that waited would cost memory.
      socket.pause();
      this.ending.add(socket);
      earlier.shouldKeepAlive = false;
      earlier.once('finish', () => socket.destroySoon());
      return;
    }
    this.underWay.set(socket, response);
    response.once('close', () => this.underWay.delete(socket));
    void answerHttp(this.options, request, response);
  }
}

/** Answers one request. Never rejects. */
async function answerHttp(
  options: HttpOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = pathOf(request);
  const answer = (found: HttpAnswer, headers?: Readonly<Record<string, string>>): void => {
    response.setTimeout(options.timeoutMs);
    respond(response, found, headers);
  };
  try {
    const { handler, method } = routeOf(options.routes, path, request.method ?? '');
    const body = await bodyOf(request, options.bodyBytesMax);
    // Whoever breaks off in the middle hears nothing more.
    if (body === undefined) return;
    const query = (request.url ?? '').slice(path.length + 1);
    answer(await handler({ method, path, query, headers: request.headers, body }));
  } catch (error) {
    if (error instanceof Refusal) {
      answer(error.answer, error.headers);
      return;
    }
    options.report({ kind: 'httpRequestFailed', path, error: (error as Error).message });
    answer(text(500, 'failed, see the log of the node'));
  }
}

export function pathOf(request: IncomingMessage): string {
  return (request.url ?? '/').split('?', 1)[0] as string;
}

/** Why a request gets no handler. */
class Refusal extends Error {
  readonly answer: HttpAnswer;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, reason: string, headers: Readonly<Record<string, string>> = {}) {
    super(reason);
    this.answer = text(status, reason);
    // Whatever body a refused request still sends is not read to its end.
    this.headers = { connection: 'close', ...headers };
  }
}

interface Route {
  readonly method: HttpMethod;
  readonly handler: HttpHandler;
}

function routeOf(routes: HttpRoutes, path: string, method: string): Route {
  const methods = routes[path];
  if (methods === undefined) {
    const paths = Object.keys(routes).join(', ');
    throw new Refusal(404, `no page ${path.slice(0, shownLengthMax)}; there are ${paths}`);
  }
  const name = method === 'HEAD' ? 'GET' : method;
  const handler = methods[name as HttpMethod];
  if (handler === undefined) {
    const allowed = Object.keys(methods).flatMap((each) => (each === 'GET' ? ['GET', 'HEAD'] : [each]));
    throw new Refusal(405, `only ${allowed.join(' and ')} for ${path}`, { allow: allowed.join(', ') });
  }
  return { method: name as HttpMethod, handler };
}

/** The whole body; `undefined` when the other side breaks off before its end. */
function bodyOf(request: IncomingMessage, bytesMax: number): Promise<Uint8Array | undefined> {
  const tooLarge = (): Refusal =>
    new Refusal(413, `the body is over the limit of ${bytesMax} bytes; send less`);
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > bytesMax) return Promise.reject(tooLarge());
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let bytes = 0;
    request.on('data', (part: Buffer) => {
      bytes += part.length;
      if (bytes <= bytesMax) {
        parts.push(part);
        return;
      }
      request.pause();
      reject(tooLarge());
    });
    request.on('end', () => resolve(Buffer.concat(parts, bytes)));
    request.on('error', () => resolve(undefined));
  });
}

function text(status: number, line: string): HttpAnswer {
  return { status, contentType: 'text/plain', body: `${line}\n` };
}

function respond(
  response: ServerResponse,
  answer: HttpAnswer,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (response.destroyed) return;
  const body = Buffer.from(answer.body);
  const { contentType } = answer;
  response.writeHead(answer.status, {
    'content-type': contentType,
    'content-length': body.length,
    ...headers,
  });
  response.end(body);
}
