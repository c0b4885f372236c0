// The simulator and chaos go by the events of a node, never by the words of its log: those are for people,
// and whoever edits a line must not disarm a fault by it.

import ts from 'typescript';
import { place, visit, type Source } from './sources.js';

const folders = ['src/sim/', 'src/chaos/', 'src/cli/chaos/', 'src/cli/sim/'];

/** How text from a log is called. */
const texts = new Set(['message', 'msg', 'lastLine', 'logLine', 'line']);
const searches = new Set(['startsWith', 'endsWith', 'includes', 'indexOf', 'match', 'search']);
const comparisons = new Set([
  ts.SyntaxKind.EqualsEqualsEqualsToken,
  ts.SyntaxKind.ExclamationEqualsEqualsToken,
]);

/** Places that search the text of a line or an error, or compare it with words. */
export function checkLogTexts(sources: readonly Source[]): string[] {
  const complaints: string[] = [];
  for (const source of sources.filter(({ path }) => folders.some((folder) => path.startsWith(folder)))) {
    visit(source.tree, (node) => {
      const text = searchedBy(node) ?? comparedBy(node);
      if (text === undefined || !texts.has(lastNameOf(text))) return;
      complaints.push(`${place(source, node)}: goes by ${text.getText()}: go by the kind of an event`);
    });
  }
  return complaints;
}

/** The text that a call looks into: `text.startsWith(…)`, `/…/.test(text)`. */
function searchedBy(node: ts.Node): ts.Expression | undefined {
  if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return undefined;
  const { expression, name } = node.expression;
  if (searches.has(name.text)) return expression;
  return name.text === 'test' || name.text === 'exec' ? node.arguments[0] : undefined;
}

function comparedBy(node: ts.Node): ts.Expression | undefined {
  if (!ts.isBinaryExpression(node) || !comparisons.has(node.operatorToken.kind)) return undefined;
  if (ts.isStringLiteralLike(node.right)) return isEmpty(node.right) ? undefined : node.left;
  return ts.isStringLiteralLike(node.left) && !isEmpty(node.left) ? node.right : undefined;
}

function isEmpty(literal: ts.StringLiteralLike): boolean {
  return literal.text === '';
}

function lastNameOf(expression: ts.Expression): string {
  if (ts.isIdentifier(expression)) return expression.text;
  if (ts.isPropertyAccessExpression(expression)) return expression.name.text;
  const key = ts.isElementAccessExpression(expression) ? expression.argumentExpression : undefined;
  return key !== undefined && ts.isStringLiteralLike(key) ? key.text : '';
}
