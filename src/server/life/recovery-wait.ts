// The wait between finding damage and repairing it: says what is damaged, what happens now and whom it waits
// for, and begins the repair when enough was heard. Decides nothing (recovering.ts does) and repairs nothing
// (rebuild.ts does). What a log does at each start is another recovery (storage/wal/recovery.ts).

import type { NodeId, Report, Timers } from '../../base/env.js';
import type { Term } from '../../raft/types.js';
import type { Damage } from '../../storage/folder/damage.js';
import type { Formation } from '../../wire/commands/entry-codec.js';
import type { NodeEvent } from '../events.js';
import type { ProvedPeer } from '../peers/peers.js';
import { RecoveryRule } from './recovering.js';

export interface RecoveryWaitOptions {
  readonly nodeId: NodeId;
  readonly formation: Formation;
  readonly damage: Damage;
  /** The store is intact: only what is not in it comes from the others. */
  readonly hasStore: boolean;
  readonly report: Report<NodeEvent>;
  readonly timers: Timers;
  /** Called once: everyone was heard. */
  rebuild(floor: Term): void;
}

const waitingReportMs = 5_000;

export class RecoveryWait {
  private readonly options: RecoveryWaitOptions;
  private readonly recovering: RecoveryRule;
  private isOver = false;

  constructor(options: RecoveryWaitOptions) {
    this.options = options;
    const { nodeId, formation, damage, hasStore, report } = options;
    const memberIds = formation.members.map((member) => member.nodeId);
    this.recovering = new RecoveryRule({ nodeId, memberIds });
    const { missing } = this.recovering;
    report({ kind: 'damageFound', damage, keepsStore: hasStore, missing });
    this.reportWaiting();
  }

  /** Another member has proved itself to this process. */
  heard(peer: Pick<ProvedPeer, 'nodeId' | 'currentTerm'>): void {
    if (this.isOver) return;
    const step = this.recovering.heard(peer);
    if (step.kind === 'wait') return;
    this.isOver = true;
    const { floor } = step;
    const { damage, report, rebuild } = this.options;
    report({ kind: 'repairBegins', what: damage.what, term: floor });
    rebuild(floor);
  }

  private reportWaiting(): void {
    this.options.timers.set(waitingReportMs, () => {
      if (this.isOver) return;
      const { missing, damaged } = this.recovering;
      const { report } = this.options;
      if (missing.length > 0) report({ kind: 'repairWaits', missing, damaged });
      else report({ kind: 'repairImpossible', damaged });
      this.reportWaiting();
    });
  }
}
