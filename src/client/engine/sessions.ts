// The sessions of one client: what makes a write happen exactly once however often it is sent (dissertation
// §6.3). Decides which session a write gets, and when a session is replaced or given up. Must never give a
// write a second stamp while a copy with the first may take effect.
//
// A sequence is settled when its outcome is known, or when nobody will ever ask for it again because the
// caller gave up. The second is safe: the client never sends that stamp again, and a copy still on its way is
// either applied before the first command that acknowledges it (it had effect, once, and the caller was told
// `unknown`) or after it, and is then refused as STALE.

import { assert, assertNever } from '../../base/assert.js';
import { toByteString } from '../../base/bytes.js';
import type { Entropy } from '../../base/env.js';
import { retiredSessionsMax } from './limits.js';
import type { PendingRequest } from './pending-request.js';
import { Session } from './session.js';

/** Where the cluster time for a new session comes from: the leader's connection. */
export interface ClusterTimeSource {
  /** A cluster time that is young enough, or `undefined`: it is being asked for. */
  clusterTime(nowMs: number): number | undefined;
}

/** What became of the write that had a stamp. */
export type StampEnd =
  /** The state machine judged it. */
  | 'judged'
  /** Nobody waits for it any more; a copy is on a connection that lives. */
  | 'leftOnTheWay'
  /** Nobody waits for it any more, or it was refused without being judged. */
  | 'dropped';

export class Sessions {
  private readonly entropy: Entropy;
  private readonly idleMsMax: number;
  /** New writes go here. Never dead, never retired. */
  private current: Session | undefined;
  /** Retired sessions whose writes are not all settled. */
  private readonly retired = new Set<Session>();

  constructor(entropy: Entropy, idleMsMax: number) {
    this.entropy = entropy;
    this.idleMsMax = idleMsMax;
  }

  /** Stamps a write that has no stamp. False: it must wait, for a session, for its window or for the time. */
  stampNext(request: PendingRequest, source: ClusterTimeSource, nowMs: number): boolean {
    const session = this.usable(source, nowMs);
    if (session === undefined) return false;
    request.stamp(session, session.take());
    return true;
  }

  /**
   * Takes the stamp back from a write of which no copy can take effect any more, when its session may have
   * expired: it gets another one.
   */
  unstampIfStale(request: PendingRequest, nowMs: number): boolean {
    const { session } = request;
    if (session === undefined) return true;
    if (session.state !== 'dead' && !this.isIdle(session, nowMs)) return false;
    if (session.state !== 'open') this.kill(session);
    this.settle(session, request.sequence);
    request.unstamp();
    return true;
  }

  /** The cluster does not know the request's session: nothing new is given to it. */
  expired(request: PendingRequest): void {
    if (request.session !== undefined) this.kill(request.session);
  }

  /** The machine was suspended: every session is older than the monotonic clock says. */
  suspended(unseenMs: number): void {
    this.current?.age(unseenMs);
    for (const session of this.retired) session.age(unseenMs);
  }

  /** The request is about to be done: its sequence is settled. */
  end(request: PendingRequest, how: StampEnd): void {
    const { session } = request;
    if (session === undefined) return;
    switch (how) {
      case 'judged':
        assert(request.state === 'sent', 'a write was judged that was not sent');
        session.confirmedAtMs = Math.max(session.confirmedAtMs, request.sentAtMs);
        if (session.state === 'opening') session.state = 'open';
        break;
      case 'leftOnTheWay':
        // Sequence 1 may still be on its way, and then what follows on the same connection finds the session
        // open. If not, an unknown session never executes anything, says so, and the writes go to a new one.
        if (session.state === 'opening') session.state = 'open';
        break;
      case 'dropped':
        if (session.state === 'opening') this.kill(session);
        break;
      default:
        assertNever(how);
    }
    this.settle(session, request.sequence);
  }

  /** The session to close when the client is closed: the current one, if the cluster may know it. */
  closable(): Session | undefined {
    return this.current?.state === 'open' ? this.current : undefined;
  }

  private usable(source: ClusterTimeSource, nowMs: number): Session | undefined {
    let session = this.current;
    if (session?.state === 'open') {
      const replace = this.isIdle(session, nowMs) || session.isStuck;
      if (!replace) return session.hasRoom ? session : undefined;
      if (session.waiting > 0 && this.retired.size >= retiredSessionsMax) return undefined;
      this.retire(session);
      session = undefined;
    }
    // The first write of a session goes alone: the others would not find it.
    if (session?.state === 'opening') return undefined;
    const clusterTimeMs = source.clusterTime(nowMs);
    if (clusterTimeMs === undefined) return undefined;
    session = new Session(toByteString(this.entropy.bytes(16)), clusterTimeMs, nowMs);
    this.current = session;
    return session;
  }

  private isIdle(session: Session, nowMs: number): boolean {
    return nowMs - session.confirmedAtMs > this.idleMsMax;
  }

  private retire(session: Session): void {
    session.retired = true;
    if (this.current === session) this.current = undefined;
    if (session.waiting > 0) this.retired.add(session);
  }

  private kill(session: Session): void {
    session.state = 'dead';
    if (this.current === session) this.current = undefined;
    this.retired.delete(session);
  }

  private settle(session: Session, sequence: number): void {
    session.settle(sequence);
    if (session.retired && session.waiting === 0) this.retired.delete(session);
  }
}
