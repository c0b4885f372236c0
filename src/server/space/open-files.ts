// How many files this process may have open, and how many it has: what the system says, read once at the
// start. Node raises the soft limit to the hard one by itself before any of this runs.

import { readdirSync, readFileSync } from 'node:fs';

export interface OpenFiles {
  /** The most there may be at once: files, sockets and all else that has a descriptor. */
  readonly limit: number;
  /** Who says so. */
  readonly source: 'the system' | "Node's report" | 'nobody, so the usual one is taken';
  /** Open now; `undefined` where the system does not tell. */
  readonly openNow: number | undefined;
}

/** What most systems give a process, where none says. */
const usualLimit = 1_024;
/** Stands for no limit. */
const unlimited = 1_048_576;

export function openFilesOfProcess(): OpenFiles {
  const openNow = countOpen();
  const told = toldBySystem();
  if (told !== undefined) return { limit: told, source: 'the system', openNow };
  const reported = limitOf(reportedLimit());
  if (reported !== undefined) return { limit: reported, source: "Node's report", openNow };
  return { limit: usualLimit, source: 'nobody, so the usual one is taken', openNow };
}

/** The soft limit in the text of `/proc/self/limits`. */
export function softLimitIn(text: string): number | undefined {
  return limitOf(/^Max open files\s+(\S+)/m.exec(text)?.[1]);
}

function toldBySystem(): number | undefined {
  try {
    return softLimitIn(readFileSync('/proc/self/limits', 'latin1'));
  } catch {
    // Not Linux.
    return undefined;
  }
}

/** Node's report has it on all systems but Windows, and takes longer to make. */
function reportedLimit(): unknown {
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: unknown } } };
  return report.userLimits?.open_files?.soft;
}

function limitOf(value: unknown): number | undefined {
  if (value === 'unlimited') return unlimited;
  const limit = Number(value);
  return value !== undefined && Number.isSafeInteger(limit) && limit > 0
    ? Math.min(limit, unlimited)
    : undefined;
}

function countOpen(): number | undefined {
  try {
    // One of them is the folder that is being read.
    return readdirSync('/proc/self/fd').length - 1;
  } catch {
    return undefined;
  }
}
