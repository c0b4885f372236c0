// Brings the state to a higher format level. There is no way down: a lower one changes nothing.

import type { RaiseFormatCommand } from '../../commands.js';
import { checkKnownLevel } from '../../format-level.js';
import type { LeaderCommandRule } from '../rule.js';

export const raiseFormat: LeaderCommandRule<RaiseFormatCommand> = {
  apply({ change, software }, run, { level }) {
    // Entries of a level that this software does not know are refused before they are appended.
    checkKnownLevel(level, software, 'the log goes to');
    run.formatLevel = Math.max(run.formatLevel, level);
    run.effects.number(run.formatLevel);
    return change.result('OK', 0);
  },
};
