// What happens in the log and the folder of a node, for those who watch it. Only told: nothing there is
// decided by who listens, and what is told here must stay true whatever line is made of it.

import type { LogIndex } from '../raft/types.js';

export type StorageEvent =
  /** What a crash left of the last write was cut off; the last index is unknown while the log is read. */
  | {
      readonly kind: 'tornTailCut';
      readonly file: string;
      readonly fromOffset: number;
      readonly bytes: number;
      readonly lastIndex: LogIndex | undefined;
    }
  /** The disk had no room for the next segment; told once until there is room again. */
  | { readonly kind: 'logRoomLow'; readonly errno: string; readonly readySegments: number }
  | { readonly kind: 'logRoomAgain'; readonly path: string }
  /** Others than the account of the node could read the data folder, by its mode: not any more. */
  | { readonly kind: 'folderNarrowed'; readonly directory: string; readonly mode: string }
  /** They still can: its mode may not be changed. */
  | {
      readonly kind: 'folderOpenToOthers';
      readonly directory: string;
      readonly mode: string;
      readonly error: string;
    }
  /** There was no file descriptor for this: it is tried again. Told once until there are enough again. */
  | { readonly kind: 'descriptorsShort'; readonly action: string; readonly errno: string }
  | { readonly kind: 'descriptorsAgain' };
