// The proof of a violation as a person can follow it: the few operations that cannot be explained together,
// in the order in which they were asked, over the time that they took. Pure.

import { assertNever } from '../../base/assert.js';
import type { HistoryOperation } from '../../sim/history/file.js';
import { quote } from '../../sim/history/file.js';
import { duration, escapeHtml } from './html.js';
import { finalClient } from '../run.js';
import { linearizableName, type Check } from '../verdict.js';

/** A section per check that has a proof; empty text when none has. `loadFromNs`: what the page calls 0:00. */
export function renderProofs(checks: readonly Check[], loadFromNs: number): string {
  return checks
    .filter(({ result, proof }) => result === 'violated' && proof.length > 0)
    .map((check) => renderProof(check, loadFromNs))
    .join('\n');
}

function renderProof({ name, words, proof }: Check, loadFromNs: number): string {
  const byCall = [...proof].sort((a, b) => a.call - b.call);
  const from = Math.min(...byCall.map(({ call }) => call));
  const to = Math.max(...byCall.map(({ call, ret }) => ret ?? call), from + 1);
  const ms = (ns: number): number => (ns - loadFromNs) / 1e6;
  const bars = byCall.map((operation) => renderBar(operation, from, to));
  const rows = byCall.map((operation) => renderRow(operation, loadFromNs));
  const show = `data-show="${ms(from).toFixed(3)} ${ms(to).toFixed(3)}"`;
  return `<section aria-label="Proof"><h2>Proof: ${escapeHtml(name)}</h2>
<p>${escapeHtml(words)}</p>
<p>${enough(name, byCall.length)} A bar runs from the question to the answer.
<button type="button" ${show}>Show in the timeline</button></p>
<ol class="order">${bars.join('')}</ol>
<div class="scroll"><table><thead><tr><th>Client</th><th>Asked</th><th>Answered</th>
<th class="number">From</th><th class="number">Took</th></tr></thead>
<tbody>${rows.join('')}</tbody></table></div></section>`;
}

function enough(name: string, count: number): string {
  if (count === 1) return 'This one operation is enough.';
  const minimal = name === linearizableName ? ': whoever leaves one out finds an order for the others' : '';
  return `These ${count} of all operations are enough${minimal}.`;
}

function renderBar(operation: HistoryOperation, from: number, to: number): string {
  const { call, ret, out, c } = operation;
  const share = (ns: number): number => Math.round(((ns - from) / (to - from)) * 9_600) / 100 + 2;
  const left = share(call);
  const wide = Math.max(0.4, (ret === null ? 98 : share(ret)) - left);
  const type = out.st === 'unknown' ? 'k-unknown' : operation.op === 'get' ? 'k-down' : 'k-write';
  const words = escapeHtml(`${c}: ${asked(operation)} → ${answered(operation)}`);
  return `<li><span>${words}</span><i class="${type}" style="left:${left}%;width:${wide}%"></i></li>`;
}

function renderRow(operation: HistoryOperation, loadFromNs: number): string {
  const { c, call, ret } = operation;
  const took = ret === null ? 'never' : duration((ret - call) / 1e6);
  return `<tr><td>${escapeHtml(c === finalClient ? 'final read' : c)}</td>
<td class="wide mono">${escapeHtml(asked(operation))}</td>
<td class="wide mono">${escapeHtml(answered(operation))}</td>
<td class="number">${((call - loadFromNs) / 1e9).toFixed(6)} s</td><td class="number">${took}</td></tr>`;
}

/** The question in words. */
function asked({ op, k, v, exp }: HistoryOperation): string {
  const key = quote(k);
  switch (op) {
    case 'get':
      return `get ${key}`;
    case 'put':
      return `put ${key} = ${valueWords(v)}`;
    case 'delete':
      return `delete ${key}`;
    case 'cas':
      return `${v === null ? `delete ${key}` : `put ${key} = ${valueWords(v)}`}, if it is ${valueWords(exp)}`;
    case 'txn':
      return `transaction on ${key}`;
    default:
      return assertNever(op);
  }
}

/** The answer in words. */
function answered({ op, out }: HistoryOperation): string {
  const revision = out.rev === undefined ? '' : ` at revision ${out.rev}`;
  if (out.st === 'unknown') return 'unknown: it may have happened';
  if (out.v !== undefined) return `${op === 'cas' ? 'no, it is ' : ''}${valueWords(out.v)}${revision}`;
  if (out.st === 'fail') return 'refused, certainly not done';
  if (op === 'delete' && out.n === 0) return `nothing to delete${revision}`;
  return `done${revision}`;
}

function valueWords(value: string | null | undefined): string {
  return value === null || value === undefined ? 'absent' : quote(value);
}
