// Who may have how many of the process's descriptors: first what a node cannot do without, then strangers and
// clients. Pure, so that every limit can be tried. Must never give out more than there are: a node that finds
// none for its log ends, and takes its clients with it.

import { KvorumError } from '../../base/errors.js';
import { spareDescriptors } from '../../storage/disk/descriptors.js';
import { storeFilesMax } from '../../storage/level/store.js';
import type { OpenFiles } from './open-files.js';

export interface DescriptorWants {
  readonly openFiles: OpenFiles;
  /** Members of the cluster beside this one. */
  readonly otherMembers: number;
  /** Clients that are to be served at once, if there is room for them. */
  readonly clientsMax: number;
}

export interface DescriptorPlan {
  /** For the process, its files, and its links to members. */
  readonly reserved: number;
  readonly membersMax: number;
  /** Connections that have not said who they are. */
  readonly strangersMax: number;
  readonly clientsMax: number;
  /** Tables that one LevelDB keeps open. */
  readonly storeFilesMax: number;
}

/** What Node and its libraries have open before anything else, where it cannot be counted. */
const processDescriptors = 32;
/** Segments of the log: in use, ready, being made, and their folder. Each member may read one more. */
const logDescriptors = 8;
/** Two stores, each with two logs, MANIFEST, LOCK, LOG and a new table open beside others, and the lock. */
const storeDescriptors = 2 * 8 + 4;
/** The node's address, and what lives shortly: notes, folders that are listed, the resolver of names. */
const otherDescriptors = 7;
/** Links of one member: each way one, and one that replaces it. */
const linksPerMember = 4;
/** The least that is worth a start. */
const strangersMin = 8;
const clientsMin = 8;
/** More than this many at once bring nothing: they have seconds to say who they are. */
const strangersMax = 256;

/**
 * LevelDB maps a table into memory and closes its file, as long as all stores of the process together have at
 * most 1,000 open: up to here two stores and the lock of the folder stay below that.
 */
const mappedFilesMax = 450;
/** With this many the tables of a store beyond the mapped ones get descriptors of their own. */
const plenty = 8_192;

/** Throws `CONFIG`, which says what the limit must be, when there are too few for a node. */
export function planDescriptors({ openFiles, otherMembers, clientsMax }: DescriptorWants): DescriptorPlan {
  const { limit, openNow = processDescriptors } = openFiles;
  const membersMax = linksPerMember * otherMembers;
  const hasPlenty = limit >= plenty;
  const tables = hasPlenty ? storeFilesMax : 0;
  const files = logDescriptors + otherMembers + storeDescriptors + tables + otherDescriptors;
  const reserved = openNow + files + spareDescriptors + membersMax;
  const least = reserved + strangersMin + clientsMin;
  if (limit < least) {
    const fact = `this process may have ${limit} files and sockets open, and a node needs at least ${least}`;
    throw new KvorumError('CONFIG', `${fact}: start it with ulimit -n ${least} or more`, {
      details: { limit, least },
    });
  }
  const rest = limit - reserved;
  const strangers = Math.max(strangersMin, Math.min(strangersMax, Math.floor(rest / 4)));
  return {
    reserved,
    membersMax,
    strangersMax: strangers,
    clientsMax: Math.min(clientsMax, rest - strangers),
    storeFilesMax: hasPlenty ? storeFilesMax : mappedFilesMax,
  };
}
