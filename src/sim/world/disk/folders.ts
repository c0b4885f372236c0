// The names in the virtual disk: which file a path leads to, now and after a power cut. Creating, renaming
// and removing are durable only once the folder was synced; until then a power cut keeps a prefix or any
// subset of them. A rename inside one folder is atomic. Paths are relative, with `/`; the root is ''.

import { assertNever } from '../../../base/assert.js';
import { KvorumError } from '../../../base/errors.js';
import type { Dice } from '../dice.js';
import { ordinaryUnits, type UnitRules, VirtualFile } from './file.js';

/** A file, or a folder of names. */
type Node = VirtualFile | Folder;

interface Change {
  readonly set: readonly (readonly [name: string, node: Node])[];
  readonly remove: readonly string[];
}

/** What survives of changes to names that no sync of the folder covered. */
export type EntryFate = 'none' | 'prefix' | 'subset' | 'all';

class Folder {
  readonly current = new Map<string, Node>();
  readonly durable = new Map<string, Node>();
  /** Changes in `current` that are not in `durable`, oldest first. */
  private pending: Change[] = [];
  /** Changes that have left `pending` since the folder was made. */
  private settled = 0;

  change(change: Change): void {
    apply(change, this.current);
    this.pending.push(change);
  }

  mark(): number {
    return this.settled + this.pending.length;
  }

  syncUpTo(mark: number): void {
    const covered = this.pending.splice(0, Math.max(0, mark - this.settled));
    this.settled += covered.length;
    for (const change of covered) apply(change, this.durable);
  }

  copy(): Folder {
    const copy = new Folder();
    for (const [name, node] of this.current) {
      const nodeCopy = node.copy();
      copy.current.set(name, nodeCopy);
      copy.durable.set(name, nodeCopy);
    }
    return copy;
  }

  losePower(fate: EntryFate, dice: Dice): void {
    for (const change of this.surviving(fate, dice)) apply(change, this.durable);
    this.settled += this.pending.length;
    this.pending = [];
    this.current.clear();
    for (const [name, node] of this.durable) this.current.set(name, node);
  }

  private surviving(fate: EntryFate, dice: Dice): readonly Change[] {
    const { pending } = this;
    switch (fate) {
      case 'all':
        return pending;
      case 'none':
        return [];
      case 'prefix':
        return pending.slice(0, dice.integer(0, pending.length));
      case 'subset':
        return pending.filter(() => dice.chance(0.5));
      default:
        return assertNever(fate);
    }
  }
}

export class VirtualFolders {
  private readonly root: Folder;
  private readonly units: UnitRules;
  private nextOrdinal = 1;

  constructor(units: UnitRules = ordinaryUnits, root = new Folder()) {
    this.units = units;
    this.root = root;
  }

  /** A copy of what programs see now, all of it durable. */
  copy(): VirtualFolders {
    const copy = new VirtualFolders(this.units, this.root.copy());
    copy.nextOrdinal = this.nextOrdinal;
    return copy;
  }

  /** The file at `path`; `undefined` if there is nothing or a folder. */
  file(path: string): VirtualFile | undefined {
    const node = this.node(path);
    return node instanceof VirtualFile ? node : undefined;
  }

  exists(path: string): boolean {
    return this.node(path) !== undefined;
  }

  list(directory: string): string[] {
    const folder = this.node(directory);
    return folder instanceof Folder ? [...folder.current.keys()].sort() : [];
  }

  create(path: string): VirtualFile {
    if (this.exists(path)) throw diskError('EEXIST', 'create', path);
    const { folder, name } = this.parent(path);
    const file = new VirtualFile(this.nextOrdinal++, this.units);
    folder.change({ set: [[name, file]], remove: [] });
    return file;
  }

  makeDirectory(path: string): void {
    if (this.node(path) instanceof Folder) return;
    if (this.exists(path)) throw diskError('EEXIST', 'mkdir', path);
    const { folder, name } = this.parent(path);
    folder.change({ set: [[name, new Folder()]], remove: [] });
  }

  rename(from: string, to: string): void {
    const node = this.node(from);
    if (node === undefined) throw diskError('ENOENT', 'rename', from);
    const source = this.parent(from);
    const target = this.parent(to);
    if (source.folder === target.folder) {
      source.folder.change({ set: [[target.name, node]], remove: [source.name] });
      return;
    }
    target.folder.change({ set: [[target.name, node]], remove: [] });
    source.folder.change({ set: [], remove: [source.name] });
  }

  remove(path: string): void {
    if (!this.exists(path)) throw diskError('ENOENT', 'unlink', path);
    const { folder, name } = this.parent(path);
    folder.change({ set: [], remove: [name] });
  }

  /** A mark for `syncUpTo`: the changes to the folder so far. */
  mark(directory: string): number {
    return this.folder(directory).mark();
  }

  /** The changes to the folder before the mark are durable. */
  syncUpTo(directory: string, mark: number): void {
    this.folder(directory).syncUpTo(mark);
  }

  losePower(fate: EntryFate, dice: Dice): void {
    const visit = (folder: Folder): void => {
      folder.losePower(fate, dice);
      for (const node of folder.current.values()) if (node instanceof Folder) visit(node);
    };
    visit(this.root);
  }

  /** Every file that some name leads to now. */
  files(): VirtualFile[] {
    const found = new Set<VirtualFile>();
    const visit = (folder: Folder): void => {
      for (const node of [...folder.current.values(), ...folder.durable.values()]) {
        if (node instanceof Folder) visit(node);
        else found.add(node);
      }
    };
    visit(this.root);
    return [...found].sort((a, b) => a.ordinal - b.ordinal);
  }

  private node(path: string): Node | undefined {
    let node: Node | undefined = this.root;
    for (const name of segments(path)) {
      if (!(node instanceof Folder)) return undefined;
      node = node.current.get(name);
    }
    return node;
  }

  private folder(path: string): Folder {
    const node = this.node(path);
    if (!(node instanceof Folder)) throw diskError('ENOENT', 'open folder', path);
    return node;
  }

  private parent(path: string): { folder: Folder; name: string } {
    const names = segments(path);
    const name = names.pop();
    if (name === undefined) throw diskError('EINVAL', 'use as a file', path);
    return { folder: this.folder(names.join('/')), name };
  }
}

/** The error of a failed file operation, as the real disk gives it. */
export function diskError(errno: string, action: string, path: string): KvorumError {
  return new KvorumError('DISK', `cannot ${action} ${path}: ${errno}`, { details: { errno, path } });
}

function segments(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

function apply(change: Change, names: Map<string, Node>): void {
  for (const name of change.remove) names.delete(name);
  for (const [name, node] of change.set) names.set(name, node);
}
