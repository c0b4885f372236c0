// The sources with some unions made larger, in memory only, and the files that do not compile then. All
// members are added at once and the sources are checked once: what the compiler says of a place names the
// member that the place does not know.

import { posix } from 'node:path';
import ts from 'typescript';

/** A place where a member is added, and what is added there. */
export interface Addition {
  readonly file: string;
  /** A type or an interface, to which `member` is added; or a constant, to whose object or list it is. */
  readonly name: string;
  readonly member: string;
  /** What only this member says, so that it is found in what the compiler says. */
  readonly marker: string;
}

/**
 * The files of src that do not compile with all `additions` made, from the root of the repository, by marker.
 */
export function filesThatFail(root: string, additions: readonly Addition[]): Map<string, Set<string>> {
  const { config } = ts.readConfigFile(posix.join(root, 'tsconfig.json'), (path) => ts.sys.readFile(path));
  const parsed = ts.parseJsonConfigFileContent(config, ts.sys, root);
  const options = { ...parsed.options, noEmit: true };
  const host = ts.createCompilerHost(options, true);
  const getSourceFile: ts.CompilerHost['getSourceFile'] = (name, languageVersion) => {
    let file = host.getSourceFile(name, languageVersion);
    for (const addition of additions) {
      if (file === undefined || name !== posix.join(root, addition.file)) continue;
      file = ts.createSourceFile(name, withMember(file, addition), languageVersion, true);
    }
    return file;
  };
  const program = ts.createProgram(parsed.fileNames, options, { ...host, getSourceFile });
  const found = new Map<string, Set<string>>();
  for (const { file, messageText } of program.getSemanticDiagnostics()) {
    if (file === undefined) continue;
    const words = ts.flattenDiagnosticMessageText(messageText, ' ');
    for (const { marker } of additions) {
      if (!new RegExp(`\\b${marker}\\b`).test(words)) continue;
      const files = found.get(marker) ?? new Set();
      found.set(marker, files.add(file.fileName.slice(root.length)));
    }
  }
  return found;
}

/** The text of `source` with the member added. */
export function withMember(source: ts.SourceFile, { name, member }: Addition): string {
  for (const statement of source.statements) {
    if (ts.isTypeAliasDeclaration(statement) && statement.name.text === name) {
      return insert(source.text, statement.type.getEnd(), ` | ${member}`);
    }
    if (ts.isInterfaceDeclaration(statement) && statement.name.text === name) {
      return insert(source.text, statement.getEnd() - 1, `  ${member};\n`);
    }
    if (!ts.isVariableStatement(statement)) continue;
    for (const { name: declared, initializer } of statement.declarationList.declarations) {
      if (!ts.isIdentifier(declared) || declared.text !== name || initializer === undefined) continue;
      const literal = literalIn(initializer);
      if (literal !== undefined) return insert(source.text, literal.getStart(source) + 1, ` ${member}, `);
    }
  }
  throw new Error(`${source.fileName} declares no type, interface, object or list ${name}`);
}

function literalIn(node: ts.Node): ts.Node | undefined {
  if (ts.isObjectLiteralExpression(node) || ts.isArrayLiteralExpression(node)) return node;
  if (ts.isAsExpression(node) || ts.isSatisfiesExpression(node)) return literalIn(node.expression);
  return undefined;
}

const insert = (text: string, at: number, words: string): string =>
  text.slice(0, at) + words + text.slice(at);
