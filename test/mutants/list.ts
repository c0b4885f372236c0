// All mutants, and those that wait for their feature.

import { diskMutants } from './disks.js';
import { electionMutants } from './elections.js';
import { formatLevelMutants } from './format-levels.js';
import type { LaterMutant, Mutant } from './mutant.js';
import { replicationMutants } from './replication.js';
import { serviceMutants } from './services.js';
import { snapshotMutants } from './snapshots.js';

export const mutants: readonly Mutant[] = [
  ...electionMutants,
  ...replicationMutants,
  ...diskMutants,
  ...serviceMutants,
  ...snapshotMutants,
  ...formatLevelMutants,
];

export const laterMutants: readonly LaterMutant[] = [
  { id: 'M14', name: 'a lease is extended from the time of the reply', feature: 'leases' },
  { id: 'M15', name: 'a configuration change before a commit in the own term', feature: 'membership' },
  { id: 'M16', name: 'a configuration takes effect when it is applied', feature: 'membership' },
  { id: 'M17', name: 'no rollback of a configuration that is truncated', feature: 'membership' },
  { id: 'M18', name: 'one quorum of the union in a joint configuration', feature: 'membership' },
  { id: 'M21', name: 'a removed node may campaign', feature: 'membership' },
  { id: 'M30', name: 'a watch resumes at the revision it has', feature: 'watches' },
  { id: 'M31', name: 'a watch drops events when its buffer is full', feature: 'watches' },
  { id: 'M32', name: 'a progress notice before its events', feature: 'watches' },
  { id: 'M33', name: 'the expiry of a lease looks at the local clock', feature: 'leases' },
  { id: 'M34', name: "an old leader's expiry is accepted in a later term", feature: 'leases' },
  { id: 'M35', name: 'a lock is released by key, whoever holds it', feature: 'leases' },
];
