// What a chaos run needs of the processes it torments and of those that load them. How processes are started
// is the matter of the command line, which hands this in; the run itself knows no program and no path.
// Whoever implements it must end every process that it started, however the run ends.

import type { EventOf } from '../server/events.js';
import type { LoadCommand, LoadReport } from './load/messages.js';

export interface ChaosNode {
  readonly id: string;
  /** host:port of the node itself, not of a proxy. */
  readonly address: string;
  readonly dataDirectory: string;
  /** Where the node keeps the notes that torn tails are made from. */
  readonly chaosFolder: string;
}

/** The nodes, as processes. */
export interface NodeControl {
  readonly nodes: readonly ChaosNode[];
  /** Starts a node that is down. */
  start(nodeId: string): void;
  /** SIGKILL; resolves when the process is gone. */
  kill(nodeId: string): Promise<void>;
  /** SIGTERM, and SIGKILL if that takes long; resolves when the process is gone. */
  stop(nodeId: string): Promise<void>;
  signal(nodeId: string, signal: 'SIGSTOP' | 'SIGCONT'): void;
  isRunning(nodeId: string): boolean;
  stopAll(): Promise<void>;
}

/** The event of a node that stops itself, as far as a run judges it. */
export type NodeFailure = Pick<EventOf<'nodeFailed'>, 'code' | 'isOutOfSpace'>;

/** A node's process ended that nobody asked to end. */
export interface UnexpectedExit {
  readonly nodeId: string;
  readonly how: string;
  /** The last thing it said, for people. */
  readonly lastLine: string;
  /** What it told of its end; nothing when it had no time to. */
  readonly failure?: NodeFailure;
}

/** A node said that it found its disk damaged. */
export interface NoticedDamage {
  readonly nodeId: string;
  readonly atNs: number;
}

export interface LoadEnd {
  /** Of its own accord, with code 0. */
  readonly isOrdinary: boolean;
  /** `code 1`, `SIGKILL`, or why it could not be started. */
  readonly how: string;
}

/** One load process. */
export interface LoadProcess {
  send(command: LoadCommand): void;
  /** Resolves when it has ended; after it nothing more is reported. */
  readonly ended: Promise<LoadEnd>;
  kill(): void;
}

/** Starts a load process; `onReport` hears all it says. */
export type LaunchLoad = (onReport: (report: LoadReport) => void) => LoadProcess;
