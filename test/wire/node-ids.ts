// Ids that every place takes which takes ids of nodes, and ids that every place refuses.

export const nodeIds = {
  good: ['n1', 'N1', '0', 'a.b', 'node_1-a', 'n'.repeat(64)],
  bad: [
    '',
    '.',
    '..',
    '...',
    '.n1',
    '-n1',
    '_n1',
    'a/b',
    '../n1',
    'a\\b',
    'a\0',
    'n1\n',
    'a b',
    'ñ',
    'n'.repeat(65),
  ],
} as const;
