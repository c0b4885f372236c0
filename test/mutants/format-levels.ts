// Mutants of format levels: what old software takes, and when a cluster is raised.

import type { Mutant } from './mutant.js';

const raise = 'server/replica/format-raise.ts';

export const formatLevelMutants: readonly Mutant[] = [
  {
    id: 'F1',
    name: 'a member appends entries that its software cannot read',
    edits: [
      {
        file: 'server/replica/replica.ts',
        find: '    if (mayAppend) checkPayloads(message, this.context.software);\n',
        replace: '',
      },
    ],
  },
  {
    id: 'F2',
    name: 'a cluster is formed at the level of the node that forms it',
    edits: [
      {
        file: 'server/life/forming.ts',
        find: '    const formatLevel = Math.min(own.formatLevelMax, ...heard);\n',
        replace: '    const formatLevel = own.formatLevelMax;\n',
      },
    ],
  },
  {
    id: 'F3',
    name: 'a cluster is raised although a connected member does not know the level',
    edits: [
      {
        file: raise,
        find: '      else if (known < level) tooOld.push(`${peer} (up to ${known})`);\n',
        replace: '',
      },
    ],
  },
  {
    id: 'F4',
    name: 'a cluster is raised although a member is not connected',
    edits: [
      {
        file: raise,
        find: '      if (known === undefined) missing.push(peer);\n      else if',
        replace: '      if (known === undefined) continue;\n      if',
      },
    ],
  },
  {
    id: 'F5',
    name: 'the door takes what the level of the state does not know',
    edits: [
      {
        file: 'server/front/level-check.ts',
        find: '  if (needed <= formatLevel) return undefined;\n',
        replace: '  if (needed >= 0) return undefined;\n',
      },
    ],
  },
];
