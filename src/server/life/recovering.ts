// What a member with a damaged log or store must hear before it may take part again. It has forgotten what
// it promised: votes, and entries it acknowledged. Of the votes: whoever was elected with one has the term
// of it on its own disk, and so has everyone who helped to elect it; a majority of all members and this
// node's vote have at least one member in common. So no vote that mattered was for a later term than the
// largest that any majority knows, and in that term this node gives none. Of the entries: see
// server/replica/catch-up.ts. Pure: decides, and does nothing. Must never end while one other member has
// not answered.

import type { NodeId } from '../../base/env.js';
import type { Term } from '../../raft/types.js';
import type { ProvedPeer } from '../peers/peers.js';

export interface RecoveringOptions {
  readonly nodeId: NodeId;
  /** All members of the cluster, this one too. At least two. */
  readonly memberIds: readonly NodeId[];
}

/** `rebuild`: take part again, from this term on. `wait`: more must be heard. */
export type RecoveringStep =
  { readonly kind: 'rebuild'; readonly floor: Term } | { readonly kind: 'wait'; readonly missing: NodeId[] };

export class RecoveryRule {
  private readonly options: RecoveringOptions;
  /** Members that have answered, each with the largest term it named; `undefined`: it has none to name. */
  private readonly terms = new Map<NodeId, Term | undefined>();

  constructor(options: RecoveringOptions) {
    this.options = options;
  }

  /** Other members that have not answered this process. */
  get missing(): NodeId[] {
    return this.options.memberIds.filter((id) => id !== this.options.nodeId && !this.terms.has(id));
  }

  /** Members that answered, but whose disk was damaged too: they know no term. */
  get damaged(): NodeId[] {
    return [...this.terms].filter(([, term]) => term === undefined).map(([nodeId]) => nodeId);
  }

  /** What a member of the cluster has proved to this process. */
  heard({ nodeId, currentTerm }: Pick<ProvedPeer, 'nodeId' | 'currentTerm'>): RecoveringStep {
    const { memberIds, nodeId: own } = this.options;
    if (nodeId === own || !memberIds.includes(nodeId)) return this.step();
    // What it knew once stays true: a term it names later, or has lost meanwhile, takes nothing away.
    const known = this.terms.get(nodeId);
    this.terms.set(nodeId, currentTerm === undefined ? known : Math.max(currentTerm, known ?? 0));
    return this.step();
  }

  private step(): RecoveringStep {
    const { memberIds } = this.options;
    const known = [...this.terms.values()].filter((term) => term !== undefined);
    const missing = this.missing;
    if (missing.length > 0 || known.length <= memberIds.length / 2) return { kind: 'wait', missing };
    return { kind: 'rebuild', floor: Math.max(...known) };
  }
}
