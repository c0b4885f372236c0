// Whoever decides by the kind of a thing must be found when a kind is added: every `switch` over a union of
// words or numbers ends in `default` with `assertNever`, and nobody decides by a chain of three or more
// comparisons instead, which would send a new kind down its last branch. Types come from the compiler.

import { posix } from 'node:path';
import ts from 'typescript';

/** A program over the sources in `root`, as the build makes it. */
export function createSourceProgram(root: string): ts.Program {
  const { config } = ts.readConfigFile(posix.join(root, 'tsconfig.json'), (path) => ts.sys.readFile(path));
  const { options, fileNames } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  return ts.createProgram(fileNames, { ...options, noEmit: true });
}

/** A program over one made-up file, without any library. */
export function createProgramOf(path: string, code: string): ts.Program {
  const file = ts.createSourceFile(path, code, ts.ScriptTarget.ES2022, true);
  const host: ts.CompilerHost = {
    ...ts.createCompilerHost({}),
    getSourceFile: (name) => (name === path ? file : undefined),
    getCurrentDirectory: () => '',
    fileExists: (name) => name === path,
    readFile: () => undefined,
  };
  return ts.createProgram([path], { noLib: true, strict: true, target: ts.ScriptTarget.ES2022 }, host);
}

/**
 * Complaints about the files of `program` whose path `nameOf` gives; `undefined` leaves a file out. `open`:
 * files with a switch over a union that is not kvorum's, or truly open, and why.
 */
export function checkSwitches(
  program: ts.Program,
  nameOf: (file: ts.SourceFile) => string | undefined,
  open: Readonly<Record<string, string>> = {},
): string[] {
  const checker = program.getTypeChecker();
  const complaints: string[] = [];
  for (const file of program.getSourceFiles()) {
    const name = nameOf(file);
    if (name === undefined || name in open) continue;
    const complain = (node: ts.Node, words: string): void => {
      const line = file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1;
      complaints.push(`${name}:${line}: ${words}`);
    };
    const see = (node: ts.Node): void => {
      if (ts.isSwitchStatement(node)) checkSwitch(checker, node, complain);
      const chain = chainAt(node);
      if (chain !== undefined) checkChain(checker, chain, complain);
      node.forEachChild(see);
    };
    see(file);
  }
  return complaints;
}

function checkSwitch(
  checker: ts.TypeChecker,
  node: ts.SwitchStatement,
  complain: (node: ts.Node, words: string) => void,
): void {
  if (node.expression.kind === ts.SyntaxKind.TrueKeyword) return;
  if (!isOfLiterals(checker.getTypeAtLocation(node.expression))) return;
  const last = node.caseBlock.clauses.at(-1);
  const text = last !== undefined && ts.isDefaultClause(last) ? last.getText() : '';
  if (/^default:\s*(\{\s*)?(return |throw )?assertNever\(/.test(text)) return;
  complain(node, `switch over ${node.expression.getText()} does not end in assertNever`);
}

interface Chain {
  readonly conditions: readonly ts.Expression[];
  /** Whether all other kinds go down a last branch. */
  readonly hasRest: boolean;
}

/** The if-else chain, the chain of `? :`, or the neighbouring ifs that begin at `node`. */
function chainAt(node: ts.Node): Chain | undefined {
  const conditions: ts.Expression[] = [];
  if (ts.isIfStatement(node) && !(ts.isIfStatement(node.parent) && node.parent.elseStatement === node)) {
    let next: ts.Statement | undefined = node;
    for (; next !== undefined && ts.isIfStatement(next); next = next.elseStatement)
      conditions.push(next.expression);
    return { conditions, hasRest: next !== undefined };
  }
  if (ts.isConditionalExpression(node) && !isElseOf(node)) {
    let next: ts.Expression = node;
    for (; ts.isConditionalExpression(next); next = withoutParentheses(next.whenFalse))
      conditions.push(next.condition);
    return { conditions, hasRest: true };
  }
  if (ts.isBlock(node) || ts.isCaseOrDefaultClause(node) || ts.isSourceFile(node)) {
    const ifs = [...node.statements].filter(ts.isIfStatement);
    return { conditions: ifs.map(({ expression }) => expression), hasRest: false };
  }
  return undefined;
}

function isElseOf(node: ts.ConditionalExpression): boolean {
  let { parent } = node as ts.Node;
  let child: ts.Node = node;
  for (; ts.isParenthesizedExpression(parent); parent = parent.parent) child = parent;
  return ts.isConditionalExpression(parent) && parent.whenFalse === child;
}

function withoutParentheses(node: ts.Expression): ts.Expression {
  return ts.isParenthesizedExpression(node) ? withoutParentheses(node.expression) : node;
}

const branchesMax = 2;

function checkChain(
  checker: ts.TypeChecker,
  { conditions, hasRest }: Chain,
  complain: (node: ts.Node, words: string) => void,
): void {
  const wordsOf = new Map<string, Set<string>>();
  for (const condition of conditions) {
    const comparison = comparisonIn(condition);
    if (comparison === undefined) continue;
    const { subject, word } = comparison;
    if (!isOfLiterals(checker.getTypeAtLocation(subject))) continue;
    const words = wordsOf.get(subject.getText()) ?? new Set();
    wordsOf.set(subject.getText(), words.add(word));
  }
  for (const [subject, words] of wordsOf) {
    const branches = words.size + Number(hasRest);
    if (branches <= branchesMax || conditions[0] === undefined) continue;
    complain(conditions[0], `chain of ${branches} branches by ${subject}: use a switch with assertNever`);
  }
}

/** `subject === 'word'` in a condition, alone or as the first part of it joined by `&&`. */
function comparisonIn(condition: ts.Expression): { subject: ts.Expression; word: string } | undefined {
  const node = withoutParentheses(condition);
  if (!ts.isBinaryExpression(node)) return undefined;
  if (node.operatorToken.kind === ts.SyntaxKind.AmpersandAmpersandToken) return comparisonIn(node.left);
  if (node.operatorToken.kind !== ts.SyntaxKind.EqualsEqualsEqualsToken) return undefined;
  return ts.isStringLiteral(node.right) ? { subject: node.left, word: node.right.text } : undefined;
}

/** Whether the type is one word or number, or a union of nothing else (`undefined` may be among them). */
function isOfLiterals(type: ts.Type): boolean {
  const parts = type.isUnion() ? type.types : [type];
  const nothing = ts.TypeFlags.Undefined | ts.TypeFlags.Null;
  const literal = ts.TypeFlags.StringLiteral | ts.TypeFlags.NumberLiteral | ts.TypeFlags.BooleanLiteral;
  return (
    parts.some((part) => (part.flags & literal) !== 0) &&
    parts.every((part) => (part.flags & (literal | nothing)) !== 0)
  );
}
