// Decides how much of the log is kept: it is cut to about half of its limits when it is over one of them.
// Must never cut what the store does not hold durably. Followers and snapshots that still need a part of the
// log keep it, but not for ever: a limit that any slow peer can lift is none.

export interface LogRetentionOptions {
  /** Entries beyond which the log is cut. 1 or more. */
  readonly logEntriesMax: number;
  /** Bytes beyond which the log is cut. 1 or more. */
  readonly logBytesMax: number;
  /** The entry just before the first one kept. */
  baseIndex(): number;
  lastIndex(): number;
  /** The store holds the effects of all entries through this one durably. */
  durableAppliedIndex(): number;
  /** Bytes of the log on disk. */
  logBytes(): number;
  /** The largest index through which the log can be cut and still keep at least about this many bytes. */
  sealedThrough(bytesToKeep: number): number;
  /** While leading: the matchIndex of each other member heard within the election timeout. Else empty. */
  matchIndexes(): readonly number[];
  /** Transfers of snapshots need the entries after this one; `undefined`: none is under way. */
  pinnedIndex(): number | undefined;
  /** Removes the entries through `index`. */
  truncate(index: number): void;
}

/** So many times over its limits the log is kept for live followers, and for transfers of snapshots. */
const followersLimit = 2;
const transfersLimit = 4;

export class LogRetention {
  private readonly options: LogRetentionOptions;

  constructor(options: LogRetentionOptions) {
    this.options = options;
  }

  /** Cuts the log if it is over its limits. Cheap: call it whenever the log or the store has moved. */
  check(): void {
    const { options } = this;
    const { logEntriesMax, logBytesMax } = options;
    const baseIndex = options.baseIndex();
    const lastIndex = options.lastIndex();
    const entries = lastIndex - baseIndex;
    const bytes = options.logBytes();
    if (entries <= logEntriesMax && bytes <= logBytesMax) return;
    let index = baseIndex;
    if (entries > logEntriesMax) index = lastIndex - Math.floor(logEntriesMax / 2);
    if (bytes > logBytesMax) index = Math.max(index, options.sealedThrough(Math.floor(logBytesMax / 2)));
    index = Math.min(index, options.durableAppliedIndex());
    const excess = Math.max(entries / logEntriesMax, bytes / logBytesMax);
    if (excess <= followersLimit) index = Math.min(index, ...options.matchIndexes());
    if (excess <= transfersLimit) index = Math.min(index, options.pinnedIndex() ?? index);
    if (index > baseIndex) options.truncate(index);
  }
}
