// Whether an error says that the disk is full: the one failure of a disk that passes, and that damages
// nothing where it was met before anything in use was changed.

import { KvorumError } from '../../base/errors.js';
import { errnoOf } from '../wal/segments.js';

/** Whether it was the disk, or its quota, that had no room. */
export function isNoSpace(error: unknown): boolean {
  if (KvorumError.is(error, 'NO_SPACE')) return true;
  // LevelDB gives the system's words instead of its name for them.
  return /ENOSPC|EDQUOT|No space left|quota exceeded/i.test(errnoOf(error) ?? '');
}
