// A mutant: one known bug of systems like this one, as a change to the text of the sources. The switchboard
// is this folder and nothing else: the product's build compiles `src` as it is and cannot reach it. Source:
// research §4.9.

/** A passage of a source file and what stands there instead. */
export interface Edit {
  /** Below `src`, for example `raft/election.ts`. */
  readonly file: string;
  /** Must be in the file exactly once. */
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  /** `M1` .. `M40` as in the research, the others our own. */
  readonly id: string;
  /** What is wrong, in a few words. */
  readonly name: string;
  readonly edits: readonly Edit[];
  /**
   * Why no run can show it: another rule covers it. It is listed and not run; a stronger form that takes that
   * rule away too must be in the list.
   */
  readonly equivalent?: string;
}

/** A mutant of a feature that does not exist yet. */
export interface LaterMutant {
  readonly id: string;
  readonly name: string;
  readonly feature: string;
}

/** The passage to be changed is not there, or not only there: the mutant must follow its source. */
export class StaleMutantError extends Error {
  override readonly name = 'StaleMutantError';
}

/**
 * The changed texts of the files that the mutant touches, by name. `read`: the text of a file below `src`.
 * Throws `StaleMutantError`.
 */
export function applyMutant(mutant: Mutant, read: (file: string) => string): Map<string, string> {
  const texts = new Map<string, string>();
  for (const { file, find, replace } of mutant.edits) {
    const text = texts.get(file) ?? read(file);
    const count = text.split(find).length - 1;
    if (count !== 1) {
      const where = `${JSON.stringify(find.slice(0, 60))} is in src/${file} ${count} times`;
      throw new StaleMutantError(`${mutant.id}: ${where}; write the mutant anew for the source as it is`);
    }
    texts.set(
      file,
      text.replace(find, () => replace),
    );
  }
  return texts;
}
