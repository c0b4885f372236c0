// The wait between finding damage and repairing it: says what is damaged, what happens now and whom it waits
// for, and begins the repair when enough was heard. Decides nothing (recovering.ts does) and repairs nothing
// (rebuild.ts does). What a log does at each start is another recovery (storage/wal/recovery.ts).

import type { Logger, NodeId, Timers } from '../../base/env.js';
import type { Term } from '../../raft/types.js';
import type { Damage } from '../../storage/folder/damage.js';
import type { Formation } from '../../wire/commands/entry-codec.js';
import type { PeerHello } from '../../wire/protocol.js';
import { Recovering } from './recovering.js';

export interface RecoveryWaitOptions {
  readonly nodeId: NodeId;
  readonly formation: Formation;
  readonly damage: Damage;
  /** The store is intact: only what is not in it comes from the others. */
  readonly hasStore: boolean;
  readonly logger: Logger;
  readonly timers: Timers;
  /** Called once: everyone was heard. */
  rebuild(floor: Term): void;
}

const waitingLogMs = 5_000;

export class RecoveryWait {
  private readonly options: RecoveryWaitOptions;
  private readonly recovering: Recovering;
  private isOver = false;

  constructor(options: RecoveryWaitOptions) {
    this.options = options;
    const { nodeId, formation, damage, hasStore, logger } = options;
    const memberIds = formation.members.map((member) => member.nodeId);
    this.recovering = new Recovering({ nodeId, memberIds });
    const { missing } = this.recovering;
    const kept = hasStore ? 'its store is intact and kept' : 'all data comes from the other members';
    const now = `the node takes no part until it has heard from ${missing.join(', ')}; ${kept}`;
    logger.error(
      { damaged: damage.what, folder: damage.name, missing },
      `this member recovers: ${damage.message}; ${now}`,
    );
    this.logWaiting();
  }

  /** A hello of another member, to this process. */
  heard(hello: PeerHello): void {
    if (this.isOver) return;
    const step = this.recovering.heard(hello);
    if (step.kind === 'wait') return;
    this.isOver = true;
    const { floor } = step;
    const fact = `all members were heard: the damaged ${this.options.damage.what} is replaced`;
    const next = `this node takes entries from term ${floor} on, and votes again when it has caught up`;
    this.options.logger.info({ term: floor }, `${fact}; ${next}`);
    this.options.rebuild(floor);
  }

  private logWaiting(): void {
    this.options.timers.set(waitingLogMs, () => {
      if (this.isOver) return;
      const { missing, damaged } = this.recovering;
      const fields = { missing, damaged };
      if (missing.length > 0) {
        const names = missing.join(', ');
        this.options.logger.warn(
          fields,
          `still recovering: start ${names}, or replace what is lost for good`,
        );
      } else {
        const names = damaged.join(', ');
        const fact = `still recovering: ${names} lost their data too, and what is left is no majority`;
        this.options.logger.error(fields, `${fact}; restore one of their data folders`);
      }
      this.logWaiting();
    });
  }
}
