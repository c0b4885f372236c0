// Where mutants are made: a temporary folder with a copy of the built product, and for each mutant one more
// with its files changed. Nothing outside that folder is written. It is removed in the end, whatever happens.

import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { applyMutant, type Mutant } from './mutant.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The text of a file below `src`. */
export function readSource(file: string): string {
  return readFileSync(join(root, 'src', file), 'utf8');
}

export class Workshop {
  readonly folder: string;
  /** The product as it is. */
  readonly original: string;

  /** Copies `dist`, which must be the build of `src` as it is. */
  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'kvorum-mutants-'));
    process.on('exit', () => this.remove());
    this.original = join(this.folder, 'original');
    mkdirSync(this.original);
    // Found from the copies as it is from the original.
    symlinkSync(join(root, 'node_modules'), join(this.folder, 'node_modules'));
    writeFileSync(join(this.folder, 'package.json'), '{ "type": "module" }\n');
    cpSync(join(root, 'dist'), this.original, {
      recursive: true,
      filter: (path) => !/\.(map|d\.ts)$/.test(path),
    });
  }

  /** A folder with the mutant's build. Throws `StaleMutantError`. */
  make(mutant: Mutant): string {
    const texts = applyMutant(mutant, readSource);
    const folder = join(this.folder, mutant.id);
    cpSync(this.original, folder, { recursive: true });
    for (const [file, text] of texts) {
      const path = join(folder, file.replace(/\.ts$/, '.js'));
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, transpile(file, text));
    }
    return folder;
  }

  /** Forgets a mutant's build. */
  discard(mutant: Mutant): void {
    rmSync(join(this.folder, mutant.id), { recursive: true, force: true });
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

function transpile(fileName: string, text: string): string {
  const compilerOptions = {
    module: ts.ModuleKind.ESNext,
    target: ts.ScriptTarget.ES2022,
    verbatimModuleSyntax: true,
  };
  return ts.transpileModule(text, { fileName, compilerOptions }).outputText;
}
