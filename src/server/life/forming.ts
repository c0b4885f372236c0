// First start: empty nodes become a cluster exactly once. The node with the smallest id forms it, and only
// after every member of the cluster file has told it, in this process's life, that it is empty too. Everyone
// else waits to be told by a node that is formed. The state begins with the highest format level that all of
// them know. An unformed node has no log, no term and no vote to give.

import { assert } from '../../base/assert.js';
import type { NodeId } from '../../base/env.js';
import type { KvorumError } from '../../base/errors.js';
import { formatLevels } from '../../kv/format-level.js';
import type { Formation } from '../../wire/commands/entry-codec.js';
import type { PeerHello } from '../../wire/peers/frames.js';
import type { ClusterView } from './cluster-view.js';
import { refuseFormation, type OwnIdentity } from './identity.js';

export interface FormingOptions {
  readonly own: OwnIdentity;
  readonly view: ClusterView;
  drawClusterId(): string;
  decodeFormation(payload: Uint8Array): Formation;
}

/**
 * `join`: make this formation durable. `stop`: this node may not go on, for this reason. `wait`: nothing
 * new.
 */
export type FormingStep =
  | { readonly kind: 'join'; readonly formation: Formation }
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

  /** A hello that identity allows. */
  heard(hello: PeerHello): FormingStep {
    if (hello.formation !== undefined) {
      // Throws for bytes that are no formation, which is the link's fault.
      const formation = this.options.decodeFormation(hello.formation);
      const error = refuseFormation(this.options.own, formation, hello);
      return error === undefined ? { kind: 'join', formation } : { kind: 'stop', error };
    }
    if (hello.clusterId !== undefined) return { kind: 'wait' };
    // A peer that was wiped meanwhile answers with a new instanceId: the newest one counts.
    this.emptyPeers.set(hello.nodeId, { instanceId: hello.instanceId, formatLevelMax: hello.formatLevelMax });
    return this.formIfComplete();
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
    return { kind: 'join', formation: { clusterId: this.options.drawClusterId(), members, formatLevel } };
  }
}
