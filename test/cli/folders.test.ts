// Whether what options name can be written is found out before work begins.

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { lstatSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { UsageError } from '../../src/cli/terminal/exit-codes.js';
import { checkFile, checkFolder, makeFolder } from '../../src/cli/terminal/folders.js';

let root: string;
let file: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'kvorum-folders-'));
  file = join(root, 'file');
  writeFileSync(file, 'mine');
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

describe('a folder', () => {
  test('is made with all that is missing above it, also when it is there', () => {
    const path = join(root, 'a', 'b', 'c');
    makeFolder('--out', path);
    makeFolder('--out', path);
    expect(lstatSync(path).isDirectory()).toBe(true);
  });

  test('is checked without a trace', () => {
    checkFolder('--out', join(root, 'a', 'b'));
    mkdirSync(join(root, 'there'));
    checkFolder('--out', join(root, 'there'));
    expect(readdirSync(root)).toEqual(['file', 'there']);
    expect(readdirSync(join(root, 'there'))).toEqual([]);
  });

  test.each([makeFolder, checkFolder])('is refused where a file stands', (act) => {
    expect(() => act('--out', file)).toThrow(UsageError);
    expect(() => act('--out', file)).toThrow(`--out ${file} is a file; give a new or empty folder`);
    expect(() => act('--out', join(file, 'x', 'y'))).toThrow(`lies below ${file}, which is a file`);
    expect(() => act('--out', join(root, 'n'.repeat(300)))).toThrow(/ENAMETOOLONG/);
    expect(readFileSync(file, 'utf8')).toBe('mine');
  });

  // Node's recursive mkdir never comes back from there.
  test.runIf(existsSync('/proc/self'))('is refused where nobody can make one', () => {
    expect(() => makeFolder('--out', '/proc/xx/yy')).toThrow(/--out \/proc\/xx\/yy cannot be made: ENOENT/);
    expect(() => checkFolder('--out', '/proc/xx')).toThrow(/--out \/proc\/xx cannot be written: ENOENT/);
  });
});

describe('a file', () => {
  test('is checked without a trace: what is there stays', () => {
    checkFile('--trace-json', file);
    checkFile('--trace-json', join(root, 'new'));
    symlinkSync(join(root, 'target'), join(root, 'link'));
    checkFile('--trace-json', join(root, 'link'));
    expect(readFileSync(file, 'utf8')).toBe('mine');
    expect(existsSync(join(root, 'new'))).toBe(false);
    expect(lstatSync(join(root, 'link')).isSymbolicLink()).toBe(true);
  });

  test('is refused with the errno', () => {
    expect(() => checkFile('--trace-json', root)).toThrow(/^--trace-json .* cannot be written: EISDIR/);
    expect(() => checkFile('--trace-json', join(root, 'no', 'x'))).toThrow(/ENOENT/);
    expect(() => checkFile('--trace-json', join(file, 'x'))).toThrow(/ENOTDIR/);
  });
});
