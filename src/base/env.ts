// Everything impure that a node touches, as interfaces. The real ones live in `storage`, `transport` and
// `server`, the virtual ones in `sim`; the code between them is the same. No promise crosses this line:
// work that takes time takes a callback, and the callback is never called before the call returns.

import type { KvorumError } from './errors.js';

/** A node's name in its cluster, for example `n1`. */
export type NodeId = string;

/** Milliseconds, also fractions of them. */
export type Millis = number;

export interface Clock {
  /** Monotonic milliseconds since an arbitrary start. Never goes back, stands for all timeouts. */
  nowMs(): Millis;
  /**
   * Milliseconds since 1970 by the wall clock. May jump; only stored in entry headers and shown to people.
   */
  wallMs(): Millis;
}

/** A timer that was set; give it back to `clear`. */
export type TimerHandle = unknown;

export interface Timers {
  /** Calls `callback` once, after at least `delayMs` (0 .. 2^31-1). */
  set(delayMs: Millis, callback: () => void): TimerHandle;
  /** Forgets a timer; one that has fired or been cleared is fine. */
  clear(handle: TimerHandle): void;
  /** Calls `callback` soon, after the input that has already arrived has been delivered. */
  defer(callback: () => void): void;
}

/** Unpredictable bytes: identities, nonces, the seed of a node's own generator. */
export interface Entropy {
  bytes(length: number): Uint8Array;
}

export type LogFields = Readonly<Record<string, unknown>>;

/** Structured text output for people who operate a node. */
export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

/**
 * Where a part tells what happens in it; who listens is not its matter, and must not change what it does.
 */
export type Report<Event> = (event: Event) => void;

/** Called once with `undefined`, or with what went wrong. */
export type Done = (error: Error | undefined) => void;

/**
 * An open file. Offsets and lengths are bytes. After any failed write or sync the caller must not use it
 * again.
 */
export interface DiskFile {
  readonly path: string;
  /** The file's length now. */
  sizeSync(): number;
  /** Up to `length` bytes at `offset`; shorter only at the end of the file. */
  readSync(offset: number, length: number): Uint8Array;
  /** As `readSync`, without holding up the loop. */
  read(offset: number, length: number, done: (error: Error | undefined, bytes: Uint8Array) => void): void;
  /** Writes all parts one after the other from `offset`; done without error means all bytes were written. */
  write(offset: number, parts: readonly Uint8Array[], done: Done): void;
  /** As `write`, without giving up the loop: only while a node opens. */
  writeSync(offset: number, bytes: Uint8Array): void;
  /** Makes the file's data, and a changed length, durable (fdatasync). */
  sync(done: Done): void;
  syncSync(): void;
  closeSync(): void;
}

/**
 * A folder of files. Paths are relative to the node's data folder, with `/`. All `…Sync` calls throw on
 * failure.
 */
export interface Disk {
  /** Opens for reading and writing; with `create` an empty file that must not exist yet. */
  openSync(path: string, options: { create: boolean }): DiskFile;
  /** As `openSync` with `create`, then fills it with `bytes` zeros and syncs data and length. */
  createZeroed(
    path: string,
    bytes: number,
    done: (error: Error | undefined, file: DiskFile | undefined) => void,
  ): void;
  existsSync(path: string): boolean;
  /** The names in a folder, sorted; empty if there is no such folder. */
  listSync(directory: string): string[];
  makeDirectorySync(directory: string): void;
  renameSync(from: string, to: string): void;
  removeSync(path: string): void;
  /** Makes created, renamed and removed names in a folder durable (fsync of the folder). */
  syncDirectorySync(directory: string): void;
  syncDirectory(directory: string, done: Done): void;
  /** Bytes that can still be written to the file system. */
  freeBytes(done: (error: Error | undefined, bytes: number) => void): void;
}

/** One connection as the node sees it. Numbers are not used again within a process. */
export type LinkId = number;

/** More than this on its way over a link is a backlog: its end is told. */
export const linkBacklogBytes = 65_536;

/**
 * What a node hears from its sockets. Calls come one after the other, never from inside a call to
 * `Network`.
 */
export interface NetworkHandler {
  /** The link to `peerId` that this node keeps dialing is open. */
  onPeerDialed(link: LinkId, peerId: NodeId): void;
  /** A try to reach `peerId` was refused or timed out; the network tries again by itself. */
  onPeerUnreachable(peerId: NodeId): void;
  /** Some node opened a link to this one; who it is, its first message says. */
  onPeerAccepted(link: LinkId): void;
  onClientAccepted(link: LinkId): void;
  /**
   * All that was sent over the link of a client has left, after it had been more than `linkBacklogBytes`.
   * May come more often than that.
   */
  onClientDrained(link: LinkId): void;
  onMessage(link: LinkId, message: Uint8Array): void;
  /** The link is gone, by either side or by a fault. Not called for a link that this node closed itself. */
  onClosed(link: LinkId): void;
}

/** Message-oriented, ordered, unreliable-at-the-end connections, all owned by one handler. */
export interface Network {
  /**
   * Keeps one outbound link to the peer: dials, and dials again with back-off and jitter, until
   * `stopDialing`.
   */
  dial(peerId: NodeId, address: string): void;
  stopDialing(peerId: NodeId): void;
  /**
   * Sends one message; false when the link is gone or its buffer is over its limit, and the message is
   * dropped.
   */
  send(link: LinkId, message: Uint8Array): boolean;
  /** Bytes accepted by `send` that have not left yet. 0 for a link that is gone. */
  bufferedBytes(link: LinkId): number;
  /**
   * The other side of an accepted link has said who it is, and gets a place of its own kind: before, it has
   * one among strangers, of whom the oldest go when others come. Returns why there is no place for it.
   */
  admit(link: LinkId): KvorumError | undefined;
  /** Where the link comes from, as far as bounds are concerned; empty when it is gone. */
  addressOf(link: LinkId): string;
  /** Closes after what was sent has left; the other side may see `reason` (at most 120 bytes). */
  close(link: LinkId, reason: string): void;
}

/**
 * What the loop, the core around it, the WAL and recovery may know of the outside. `Event`: what may be told
 * to it; nothing by a part that names none.
 */
export interface NodeEnv<Event = never> {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly entropy: Entropy;
  readonly disk: Disk;
  readonly network: Network;
  readonly report: Report<Event>;
}
