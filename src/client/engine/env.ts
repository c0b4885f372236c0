// What the client engine may know of the outside, as interfaces: the real ones are `web-socket-client` and
// `connect`, the virtual ones belong to the simulator. No promise crosses this line, and the handler is never
// called from inside a call to `ClientNetwork`.

import type { Clock, Entropy, LinkId, Timers } from '../../base/env.js';

export type { LinkId };

/** Outbound connections of one client: message-oriented, ordered, and possibly gone at any moment. */
export interface ClientNetwork {
  /**
   * Begins to dial `host:port`. Ends in `onOpen` or `onClosed`; the number is not used again in this process.
   */
  open(address: string): LinkId;
  /**
   * Sends one message; false when the link is gone, not open, or its buffer is full, and nothing was sent.
   */
  send(link: LinkId, message: Uint8Array): boolean;
  /** Closes after what was sent has left; `onClosed` is not called for it. A link that is gone is fine. */
  close(link: LinkId, reason: string): void;
  /** Bytes accepted by `send` that have not left yet. 0 for a link that is gone. */
  bufferedBytes(link: LinkId): number;
}

/** What the engine hears from its sockets, one call after the other. */
export interface ClientNetworkHandler {
  onOpen(link: LinkId): void;
  onMessage(link: LinkId, message: Uint8Array): void;
  /** The dial failed or the link broke. `reason` is for people: `ECONNREFUSED`, `closed by the node: …`. */
  onClosed(link: LinkId, reason: string): void;
}

export interface ClientEnv {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly entropy: Entropy;
  readonly network: ClientNetwork;
}
