// What happens at the sockets of a node, for those who watch it. Only told: the node hears of its links by
// `NetworkHandler`.

import type { LinkId, NodeId } from '../base/env.js';

export type TransportEvent =
  | {
      readonly kind: 'peerUnreachable';
      readonly peerId: NodeId;
      readonly address: string;
      readonly reason: string;
    }
  | { readonly kind: 'linkGone'; readonly link: LinkId; readonly reason: string }
  | { readonly kind: 'httpServerFailed'; readonly error: string }
  | { readonly kind: 'httpRequestFailed'; readonly path: string; readonly error: string };
