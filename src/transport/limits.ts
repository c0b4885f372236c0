// The numbers of the transport: unit, default and meaning of each. Tests shorten the intervals; a node runs
// with the defaults. The size of a message is part of the protocol and stands in `wireLimits`.

export interface TransportLimits {
  /** Connections of clients, and of them those of one address that is not this machine's. */
  readonly clientsMax: number;
  readonly addressClientsMax: number;
  /** Links accepted from members that said who they are. */
  readonly membersMax: number;
  /**
   * Connections that have not said who they are yet, or are being closed, and plain HTTP: for one more
   * the one goes that was silent longest.
   */
  readonly strangersMax: number;
  /**
   * Bytes accepted by `send` and not yet taken by the system, per link; a message that would pass it is
   * dropped.
   */
  readonly peerBufferedBytesMax: number;
  readonly clientBufferedBytesMax: number;
  /** A link that was silent for this long is pinged. */
  readonly pingIntervalMs: number;
  /** A link without any byte from the other side for this long is dead. A multiple of pingIntervalMs. */
  readonly deadAfterMs: number;
  /** From the start of a dial to the open link: two round trips, between nodes that may be far away. */
  readonly dialTimeoutMs: number;
  /**
   * Bounds of the random wait before dialing again; the upper one doubles with each failure from the lower
   * one on.
   */
  readonly redialMsMin: number;
  readonly redialMsMax: number;
  /** A dialed link that lasted this long counts as a success: the next dial comes at once. */
  readonly stableAfterMs: number;
  /** How long the other side may take to answer a close before the socket is destroyed. */
  readonly closeTimeoutMs: number;
  /** How long `stop` waits for closes to be answered. */
  readonly stopTimeoutMs: number;
  /** How long a plain HTTP request may take to arrive, and its answer may wait without any of it taken. */
  readonly httpTimeoutMs: number;
  /** Body of a plain HTTP request; a longer one is refused with 413. */
  readonly httpBodyBytesMax: number;
}

export const defaultTransportLimits: TransportLimits = {
  clientsMax: 10_000,
  addressClientsMax: 2_500,
  membersMax: 256,
  strangersMax: 256,
  peerBufferedBytesMax: 16 * 1_048_576,
  clientBufferedBytesMax: 16 * 1_048_576,
  pingIntervalMs: 2_000,
  deadAfterMs: 6_000,
  dialTimeoutMs: 3_000,
  redialMsMin: 20,
  redialMsMax: 1_000,
  stableAfterMs: 1_000,
  closeTimeoutMs: 5_000,
  stopTimeoutMs: 500,
  httpTimeoutMs: 5_000,
  httpBodyBytesMax: 64 * 1_024,
};
