// Where the members are, as the operator says: the cluster file of this node, and what it says when it is
// read again. Who the members are is not decided here: the formation says that. Must never take an address
// from a peer's word.

import { defined } from '../../base/assert.js';
import type { NodeId } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { Member } from '../../wire/clients/answers.js';

/** A member that is somewhere else than before. */
export interface Move {
  readonly nodeId: NodeId;
  readonly from: string;
  readonly to: string;
}

export class ClusterView {
  readonly nodeId: NodeId;
  /** Sorted. The same for the life of a process. */
  readonly memberIds: readonly NodeId[];
  private readonly addresses: Map<NodeId, string>;

  constructor(nodeId: NodeId, members: readonly Member[]) {
    this.nodeId = nodeId;
    this.memberIds = members.map((member) => member.nodeId).sort();
    this.addresses = new Map(members.map((member) => [member.nodeId, member.address]));
  }

  get members(): Member[] {
    return this.memberIds.map((nodeId) => ({ nodeId, address: defined(this.addressOf(nodeId), 'address') }));
  }

  /** Of whom this node dials. */
  get others(): Member[] {
    return this.members.filter(({ nodeId }) => nodeId !== this.nodeId);
  }

  addressOf(nodeId: NodeId): string | undefined {
    return this.addresses.get(nodeId);
  }

  /**
   * Takes the addresses of a file that was read again, and says which are new. Throws `CONFIG`, and takes
   * none, when it lists other nodes: members are not added or removed by a file.
   */
  move(members: readonly Member[]): Move[] {
    const listed = members.map((member) => member.nodeId).sort();
    if (listed.join() !== this.memberIds.join()) {
      const lists = `it lists ${listed.join(', ')}, this node was started with ${this.memberIds.join(', ')}`;
      throw new KvorumError('CONFIG', `${lists}: a file that is read again may only move members`);
    }
    const moves: Move[] = [];
    for (const { nodeId, address: to } of members) {
      const from = defined(this.addresses.get(nodeId), 'address');
      if (to !== from) moves.push({ nodeId, from, to });
      this.addresses.set(nodeId, to);
    }
    return moves;
  }
}
