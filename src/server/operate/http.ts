// What a node answers to plain HTTP: is the process alive, may it get requests, and its figures. Paths
// only; bodies and methods are not looked at.

import { createMetrics } from './metrics.js';
import type { ServerNode } from '../node.js';

export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** Answers paths for a node; `undefined` for one that is not known. */
export function createHttp(node: ServerNode): (path: string) => Promise<HttpAnswer | undefined> {
  const metrics = createMetrics(node);
  return async (path) => {
    switch (path) {
      case '/livez':
        return text(200, 'ok');
      case '/readyz':
        return node.isReady ? text(200, 'ok') : text(503, 'no leader, or not running');
      case '/metrics':
        return { status: 200, contentType: metrics.contentType, body: await metrics.metrics() };
      default:
        return undefined;
    }
  };
}

function text(status: number, body: string): HttpAnswer {
  return { status, contentType: 'text/plain', body: `${body}\n` };
}
