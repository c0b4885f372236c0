// Ends the session that it comes by, at the client's wish. Its outcome is not kept: there is nobody left to
// ask for it.

import type { CloseSessionOperation } from '../../commands.js';
import type { OperationRule } from '../rule.js';

export const closeSession: OperationRule<CloseSessionOperation> = {
  growsStore: false,
  endsSession: true,
  keepsOutcome: false,

  touches() {
    // No key.
  },

  apply({ change, tables }, run, _operation, session) {
    tables.sessions.close(session, run.clusterTimeMs);
    return change.result('OK', 0);
  },
};
