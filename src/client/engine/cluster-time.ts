// The cluster time of one node, for drawing sessions. It is heard in the handshake and in the leader's own
// notices; when that is too long ago, it is asked for over a link of its own that is closed right after the
// handshake. The time is taken as the node says it, without adding what has passed here: cluster time may
// have stood still, and nothing may be drawn in its future.

import { KvorumError } from '../../base/errors.js';
import { encodeClientFrames } from '../../wire/clients/request-codec.js';
import { decodeServerFrames } from '../../wire/clients/answer-codec.js';
import { ownVersions } from '../../wire/versions.js';
import type { EngineContext, LinkOwner } from './context.js';
import type { LinkId } from './env.js';
import type { ClusterTimeSource } from './sessions.js';
import { Alarm } from './timer-queue.js';

/** Called once: with the time, or with `undefined` when it was not learned. */
type ProbeDone = (clusterTimeMs: number | undefined) => void;

class ClockProbe implements LinkOwner {
  private readonly context: EngineContext;
  private readonly nodeId: string;
  private readonly done: ProbeDone;
  private readonly timeout: Alarm;
  private link: LinkId | undefined;

  /** `address` must lead to `nodeId`; another node's time is not used. */
  constructor(context: EngineContext, address: string, nodeId: string, done: ProbeDone) {
    this.context = context;
    this.nodeId = nodeId;
    this.done = done;
    this.timeout = new Alarm(context.alarms, () => this.end(undefined));
    this.timeout.set(context.env.clock.nowMs() + context.limits.dialTimeoutMs);
    this.link = context.open(address, this);
  }

  linkOpened(): void {
    if (this.link === undefined) return;
    const { clusterId } = this.context;
    const hello = encodeClientFrames([{ kind: 'hello', ...ownVersions, clusterId }]);
    if (!this.context.env.network.send(this.link, hello)) this.end(undefined);
  }

  linkMessage(message: Uint8Array): void {
    try {
      const [frame] = decodeServerFrames(message);
      const usable =
        frame?.kind === 'hello' && frame.nodeId === this.nodeId && frame.clusterId === this.context.clusterId;
      this.end(usable ? frame.clusterTimeMs : undefined);
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      this.end(undefined);
    }
  }

  linkClosed(): void {
    this.link = undefined;
    this.end(undefined);
  }

  /** Gives up without calling back. */
  stop(): void {
    this.timeout.clear();
    if (this.link !== undefined) this.context.close(this.link, 'cluster time not needed any more');
    this.link = undefined;
  }

  private end(clusterTimeMs: number | undefined): void {
    this.stop();
    this.done(clusterTimeMs);
  }
}

export class ClusterTime implements ClusterTimeSource {
  private readonly context: EngineContext;
  private readonly address: string;
  private readonly onNews: () => void;
  private timeMs = 0;
  /** Local time at which it was learned; -Infinity: not to be used. */
  private learnedAtMs = -Infinity;
  private nodeId: string | undefined;
  private probe: ClockProbe | undefined;
  /** Set after a probe that failed: the next one waits. */
  private readonly pause: Alarm;

  /** `onNews`: it is worth asking again, because the time was learned or may be asked for again. */
  constructor(context: EngineContext, address: string, onNews: () => void) {
    this.context = context;
    this.address = address;
    this.onNews = onNews;
    this.pause = new Alarm(context.alarms, () => this.onNews());
  }

  /** The node said it on its connection. */
  learn(nodeId: string, clusterTimeMs: number): void {
    this.nodeId = nodeId;
    this.timeMs = clusterTimeMs;
    this.learnedAtMs = this.context.env.clock.nowMs();
  }

  /** The cluster found it too old. */
  distrust(): void {
    this.learnedAtMs = -Infinity;
  }

  /** The connection is gone: all is forgotten. */
  reset(): void {
    this.learnedAtMs = -Infinity;
    this.pause.clear();
    this.probe?.stop();
    this.probe = undefined;
  }

  clusterTime(nowMs: number): number | undefined {
    const { limits } = this.context;
    if (nowMs - this.learnedAtMs <= limits.sessionTimeAgeMs) return this.timeMs;
    const { nodeId } = this;
    if (this.probe !== undefined || this.pause.isSet || nodeId === undefined) return undefined;
    this.probe = new ClockProbe(this.context, this.address, nodeId, (clusterTimeMs) => {
      this.probe = undefined;
      if (clusterTimeMs === undefined) {
        this.pause.set(this.context.env.clock.nowMs() + limits.reconnectMsMin);
        return;
      }
      this.learn(nodeId, clusterTimeMs);
      this.onNews();
    });
    return undefined;
  }
}
