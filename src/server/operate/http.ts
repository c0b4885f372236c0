// What a node answers to plain HTTP: the one declaration of its paths and their methods. Bad requests do not
// come here: an unknown path, another method or a body over its limit is answered by the transport.

import type { HttpAnswer, HttpRoutes } from '../../transport/http.js';
import type { ServerNode } from '../node.js';
import type { Metrics } from './metrics.js';

/** Is the process alive, may it get requests, and its figures. */
export function createRoutes(node: ServerNode, metrics: Metrics): HttpRoutes {
  return {
    // That it is answered says that the loop turns.
    '/livez': { GET: () => text(200, 'ok') },
    '/readyz': { GET: () => readiness(node) },
    '/metrics': {
      GET: async () => ({ status: 200, contentType: metrics.contentType, body: await metrics.text() }),
    },
  };
}

/** 200 when the node can answer a linearizable read now, else 503 with the reason. */
function readiness(node: ServerNode): Promise<HttpAnswer> {
  return new Promise((resolve) => {
    node.readiness((reason) => resolve(reason === undefined ? text(200, 'ok') : text(503, reason)));
  });
}

function text(status: number, body: string): HttpAnswer {
  return { status, contentType: 'text/plain', body: `${body}\n` };
}
