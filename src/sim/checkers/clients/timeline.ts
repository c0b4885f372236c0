// The history of a store as facts, and the state that it had at each revision. Facts come from the records
// below the state machine, not from the code that answers clients.

/** One version of one key, or its deletion, as the store's history has it. */
export interface VersionFact {
  readonly revision: number;
  readonly key: string;
  readonly deleted: boolean;
  readonly value: string;
  readonly createRevision: number;
  readonly version: number;
}

export class Timeline {
  /** By ascending revision. */
  readonly facts: readonly VersionFact[];
  private readonly byKey = new Map<string, VersionFact[]>();
  private readonly byRevision = new Map<number, VersionFact[]>();
  private readonly byValue = new Map<string, VersionFact[]>();
  private readonly keys: string[];

  /** `facts`: the complete history, by ascending revision. */
  constructor(facts: readonly VersionFact[]) {
    this.facts = facts;
    for (const fact of facts) {
      add(this.byKey, fact.key, fact);
      add(this.byRevision, fact.revision, fact);
      if (!fact.deleted) add(this.byValue, fact.value, fact);
    }
    this.keys = [...this.byKey.keys()].sort();
  }

  /** The newest version of a key at a revision; `undefined` when it does not exist then. */
  at(key: string, revision: number): VersionFact | undefined {
    const ofKey = this.byKey.get(key) ?? [];
    let low = 0;
    let high = ofKey.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ofKey[middle]?.revision ?? 0) <= revision) low = middle + 1;
      else high = middle;
    }
    const newest = ofKey[low - 1];
    return newest?.deleted === false ? newest : undefined;
  }

  /** All that exists from `start` on at a revision, ascending, at most `limit`. */
  range(start: string, limit: number, revision: number): VersionFact[] {
    const found: VersionFact[] = [];
    for (const key of this.keys) {
      const fact = key >= start ? this.at(key, revision) : undefined;
      if (fact !== undefined && found.length < limit) found.push(fact);
    }
    return found;
  }

  writtenAt(revision: number): readonly VersionFact[] {
    return this.byRevision.get(revision) ?? [];
  }

  withValue(value: string): readonly VersionFact[] {
    return this.byValue.get(value) ?? [];
  }
}

function add<K>(map: Map<K, VersionFact[]>, key: K, fact: VersionFact): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [fact]);
  else list.push(fact);
}
