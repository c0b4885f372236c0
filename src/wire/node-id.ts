// What a node's id may be, decided here for cluster files, flags and the wire. An id becomes the name of a
// folder, stands in flags, in lines of the log and in labels of metrics: so no separator of paths, no `.` or
// `..`, nothing that is taken for a flag or hidden, no control character.

import { fieldLimits } from './limits.js';

const pattern = new RegExp(`^[A-Za-z0-9][A-Za-z0-9._-]{0,${fieldLimits.nodeIdLengthMax - 1}}$`);

/** The rule in words, to follow "must be". */
export const nodeIdRule: string =
  `1 to ${fieldLimits.nodeIdLengthMax} letters, digits, ".", "_" or "-", ` +
  'the first one a letter or a digit';

export function isNodeId(text: string): boolean {
  return pattern.test(text);
}
