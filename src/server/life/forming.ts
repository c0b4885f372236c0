// First start: empty nodes become a cluster exactly once. The node with the smallest id forms it, and only
// after every member of the cluster file says at its own address, at the same time, that it is empty too.
// Everyone else waits to be told by a node that is formed. The state begins with the highest format level
// that all of them know. An unformed node has no log, no term and no vote to give.
//
// Nobody can prove anything yet. What is believed is what comes from a member's address as the cluster file
// has it: an empty node is one that answers there, and the formation, with the cluster's secret, goes only
// there and is taken only from who has received a number at its own (server/peers/peers.ts).

import { assert } from '../../base/assert.js';
import type { NodeId } from '../../base/env.js';
import type { KvorumError } from '../../base/errors.js';
import { formatLevels } from '../../kv/format-level.js';
import { decodeFormation, type Formation } from '../../wire/commands/entry-codec.js';
import type { PeerFormation, PeerHello } from '../../wire/peers/frames.js';
import { ClusterSecret } from '../peers/secret.js';
import type { ClusterView } from './cluster-view.js';
import { refuseFormation, type OwnIdentity } from './identity.js';

export interface FormingOptions {
  readonly own: OwnIdentity;
  readonly view: ClusterView;
  drawClusterId(): string;
  drawSecret(): ClusterSecret;
}

/** What a member knows of its cluster. */
export interface Membership {
  readonly formation: Formation;
  readonly secret: ClusterSecret;
}

/**
 * `join`: make this formation durable. `stop`: this node may not go on, for this reason. `wait`: nothing
 * new.
 */
export type FormingStep =
  | { readonly kind: 'join'; readonly membership: Membership }
  | { readonly kind: 'stop'; readonly error: KvorumError }
  | { readonly kind: 'wait' };

interface EmptyPeer {
  readonly instanceId: string;
  readonly formatLevelMax: number;
}

export class FirstStart {
  private readonly options: FormingOptions;
  private readonly emptyPeers = new Map<NodeId, EmptyPeer>();

  constructor(options: FormingOptions) {
    this.options = options;
  }

  /** Members that have not answered yet. */
  get missing(): NodeId[] {
    const { own } = this.options;
    return own.memberIds.filter((nodeId) => nodeId !== own.nodeId && !this.emptyPeers.has(nodeId));
  }

  /** Nothing has been heard yet; a cluster of one forms by itself. */
  begin(): FormingStep {
    return this.formIfComplete();
  }

  /** The peer answers at its address that it is empty. */
  heard({ nodeId, instanceId, formatLevelMax }: PeerHello): FormingStep {
    if (instanceId === undefined) return { kind: 'wait' };
    this.emptyPeers.set(nodeId, { instanceId, formatLevelMax });
    return this.formIfComplete();
  }

  /** The peer answers no more: it may come back wiped, or as a member of a cluster. */
  gone(peer: NodeId): void {
    this.emptyPeers.delete(peer);
  }

  /** A member tells what this node is. Throws for bytes that are no formation, which is the link's fault. */
  told(nodeId: NodeId, frame: PeerFormation): FormingStep {
    const formation = decodeFormation(frame.formation);
    const error = refuseFormation(this.options.own, formation, { nodeId, formatLevel: frame.formatLevel });
    if (error !== undefined) return { kind: 'stop', error };
    return { kind: 'join', membership: { formation, secret: new ClusterSecret(frame.secret) } };
  }

  private formIfComplete(): FormingStep {
    const { own, view } = this.options;
    if (own.nodeId !== own.memberIds[0] || this.missing.length > 0) return { kind: 'wait' };
    const members = own.memberIds.map((nodeId) => ({
      nodeId,
      instanceId: nodeId === own.nodeId ? own.instanceId : (this.emptyPeers.get(nodeId)?.instanceId ?? ''),
      address: view.addressOf(nodeId) ?? '',
    }));
    const heard = [...this.emptyPeers.values()].map((peer) => peer.formatLevelMax);
    const formatLevel = Math.min(own.formatLevelMax, ...heard);
    assert(formatLevel >= formatLevels.min, `no node begins at format level ${formatLevel}`);
    const formation = { clusterId: this.options.drawClusterId(), members, formatLevel };
    return { kind: 'join', membership: { formation, secret: this.options.drawSecret() } };
  }
}
