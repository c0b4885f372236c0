// Ends what is over by the cluster time of the entry, in every table: the leader says when to look, each
// replica looks at the deadlines itself.

import type { ExpireTablesCommand } from '../../commands.js';
import type { LeaderCommandRule } from '../rule.js';

export const expireTables: LeaderCommandRule<ExpireTablesCommand> = {
  apply({ change, tables }, run) {
    for (const table of tables.all) table.expire(run.clusterTimeMs, run.effects);
    return change.result('OK', 0);
  },
};
