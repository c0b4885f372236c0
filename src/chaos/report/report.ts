// The report of a chaos run: one HTML file that needs nothing else, for people who were not there. First the
// verdict in words, then the figures, what is wrong if anything is, the timeline, the charts, every check and
// every fault. Must load nothing from anywhere, and take every text that came from outside through html.ts.

import { assertNever } from '../../base/assert.js';
import { figuresOf, type ChaosFigures } from './figures.js';
import { counted, duration, escapeHtml, grouped, moment, scriptJson } from './html.js';
import type { FaultRecord } from '../faults/injector.js';
import { faultKinds } from '../plan.js';
import { renderCharts } from './charts.js';
import { leftOutWords, timelineData, type TimelineData } from './data.js';
import { renderProofs } from './proof.js';
import { reportScript } from './script.js';
import { reportStyle } from './style.js';
import type { ChaosEvidence } from '../run.js';
import type { Check, CheckResult, Verdict } from '../verdict.js';

/** Nothing but what stands in the page. */
const policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

export function renderReport(evidence: ChaosEvidence, verdict: Verdict): string {
  const figures = figuresOf(evidence);
  const data = timelineData(evidence, new Set(verdict.checks.flatMap(({ proof }) => proof)));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${escapeHtml(`kvorum chaos: ${signs[verdict.result].words}`)}</title>
<style>${reportStyle}</style>
</head>
<body><main>
${renderHead(evidence, verdict, figures)}
${renderProofs(verdict.checks, evidence.loadFromNs)}
${renderTimeline(data, verdict)}
<section aria-label="Charts"><h2>The load</h2>${renderCharts(evidence)}</section>
<section aria-label="Checks"><h2>What was checked</h2><ul class="checks">
${verdict.checks.map(renderCheck).join('\n')}</ul></section>
${renderFaults(evidence, figures)}
${renderAgain(evidence)}
</main>
<script type="application/json" id="timeline-data">${scriptJson(data)}</script>
<script>${reportScript}</script>
</body></html>
`;
}

const signs: Readonly<
  Record<CheckResult | 'interrupted', { readonly sign: string; readonly words: string }>
> = {
  holds: { sign: '✓', words: 'passed' },
  violated: { sign: '✗', words: 'failed' },
  undecided: { sign: '?', words: 'undecided' },
  skipped: { sign: '–', words: 'not checked' },
  interrupted: { sign: '–', words: 'cut short' },
};

function renderHead(evidence: ChaosEvidence, verdict: Verdict, figures: ChaosFigures): string {
  const { plan } = evidence;
  const { sign, words } = signs[verdict.result];
  return `<header>
<p class="brand">kvorum chaos · ${counted(plan.nodes, 'node')} · seed ${plan.seed}</p>
<div class="verdict ${verdict.result}">
<p class="sign">${sign} ${escapeHtml(words)}</p>
<h1>${escapeHtml(verdict.words)}</h1>
<p>${escapeHtml(storyOf(evidence, figures))}</p>
</div>
<dl class="facts">${facts(evidence, figures).map(renderFact).join('')}</dl>
</header>`;
}

/** The run in a few sentences. */
function storyOf({ plan, convergence }: ChaosEvidence, figures: ChaosFigures): string {
  const load =
    figures.loadSeconds === 0
      ? 'The load had not begun when the run ended.'
      : `${counted(figures.clients, 'client')} wrote, read and deleted the same few keys of a cluster of ` +
        `${plan.nodes} for ${duration(figures.loadSeconds * 1_000)}, while its processes, network and ` +
        'disks failed.';
  return `${load} ${endingOf(convergence)}`;
}

function endingOf(convergence: ChaosEvidence['convergence']): string {
  switch (convergence.kind) {
    case 'converged': {
      const after = duration(convergence.afterMs);
      return `Then all was repaired, and ${after} later every node had the same state.`;
    }
    case 'not':
      return `Then all was repaired, but the nodes did not come to one state ${convergence.reason}.`;
    case 'skipped':
      return '';
    default:
      return assertNever(convergence);
  }
}

type Fact = readonly [name: string, value: string, more: string];

function facts({ leaderships, loadFromNs }: ChaosEvidence, figures: ChaosFigures): Fact[] {
  const { ok, failed, unknown, longestGapMs, longestGapAtNs } = figures;
  const rate = figures.operations / Math.max(1, figures.loadSeconds);
  const leaderNames = new Set(leaderships.map(({ node }) => node)).size;
  return [
    ['operations', grouped(figures.operations), `${grouped(rate)} a second, ${counted(figures.keys, 'key')}`],
    ['acknowledged', grouped(ok), `${grouped(figures.acknowledgedWrites)} of them writes`],
    ['outcome unknown', grouped(unknown), 'may have happened: checked as both'],
    ['refused', grouped(failed), 'or a condition did not hold'],
    ['faults', grouped(figures.faultsDone), skippedWords(figures.faultsSkipped)],
    [
      'longest wait',
      duration(longestGapMs),
      `without a write, from ${moment((longestGapAtNs - loadFromNs) / 1e6)} on`,
    ],
    ['terms with a leader', grouped(figures.leaderships), `${counted(leaderNames, 'node')} led`],
    ['median latency', duration(figures.latencyMsP50), `99 of 100 below ${duration(figures.latencyMsP99)}`],
  ];
}

function skippedWords(count: number): string {
  return count === 0 ? 'none skipped' : `${grouped(count)} more skipped`;
}

function renderFact([name, value, more]: Fact): string {
  return `<div><dt>${escapeHtml(name)}</dt>
<dd>${escapeHtml(value)}<small>${escapeHtml(more)}</small></dd></div>`;
}

function renderCheck({ name, result, words }: Check): string {
  const { sign } = signs[result];
  return `<li class="${result}"><b><span>${sign}</span>${escapeHtml(name)}</b>
<p>${escapeHtml(words)}</p></li>`;
}

function renderTimeline(data: TimelineData, { checks }: Verdict): string {
  const { clients, nodes } = data;
  const left = leftOutWords(data);
  const isProven = checks.some(({ proof }) => proof.length > 0);
  const proof: [string, string][] = isProven ? [['k-proof', 'part of the proof']] : [];
  const keys: [string, string][] = [
    ['k-write', 'write'],
    ['k-read', 'read'],
    ['k-failed', 'refused or condition false'],
    ['k-unknown', 'unknown'],
    ...proof,
    ['g-process', 'process fault'],
    ['g-network', 'network'],
    ['g-clients', 'client links'],
    ['g-disk', 'disk'],
  ];
  const legend = keys.map(([type, words]) => `<li><i class="key ${type}"></i>${words}</li>`).join('');
  const what = `${counted(nodes.length, 'node')} and ${counted(clients.length, 'client')}`;
  const label = `Timeline of faults, ${what}`;
  return `<section aria-label="Timeline"><h2>Timeline</h2>
<p>Every operation of every client, under the faults and the state of each node.${left} Drag to move; pinch,
or Ctrl and the wheel, to zoom; with the keyboard arrows, + and −.</p>
<div class="tools"><button type="button" data-zoom="0.5">Zoom in</button>
<button type="button" data-zoom="2">Zoom out</button>
<button type="button" data-zoom="all">Whole run</button></div>
<canvas id="timeline" class="timeline" tabindex="0" role="img" aria-label="${escapeHtml(label)}"></canvas>
<p id="readout" class="readout" aria-live="polite">Point at anything to see what it is.</p>
<noscript><p>The timeline needs scripts; the charts below do not.</p></noscript>
<ul class="legend">${legend}</ul></section>`;
}

function renderFaults({ faults, loadFromNs }: ChaosEvidence, figures: ChaosFigures): string {
  const counts = figures.faultsByKind.map(([kind, count]) => {
    const words = kind in faultKinds ? faultKinds[kind as keyof typeof faultKinds].words : '';
    return `<li title="${escapeHtml(words)}">${escapeHtml(kind)} <b>${count}</b></li>`;
  });
  const rows = [...faults].sort((a, b) => a.fromNs - b.fromNs).map((fault) => renderFault(fault, loadFromNs));
  return `<section aria-label="Faults"><h2>${counted(figures.faultsDone, 'fault')}</h2>
<ul class="counts">${counts.join('')}</ul>
<details><summary>Every fault, with what was done</summary><div class="scroll"><table><thead><tr>
<th class="number">At</th><th>Fault</th><th>What was done</th><th class="number">Lasted</th><th></th>
</tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div></details></section>`;
}

function renderFault({ kind, words, fromNs, toNs, done }: FaultRecord, loadFromNs: number): string {
  const [from, to] = [(fromNs - loadFromNs) / 1e6, (toNs - loadFromNs) / 1e6];
  const button = `<button type="button" data-show="${from.toFixed(1)} ${to.toFixed(1)}">show</button>`;
  const type = done === 'done' ? '' : ' class="skippedrow"';
  const what = `${done === 'done' ? '' : 'skipped: '}${words}`;
  return `<tr${type}><td class="number">${moment(from)}</td><td>${escapeHtml(kind)}</td>
<td class="wide">${escapeHtml(what)}</td><td class="number">${duration(to - from)}</td>
<td>${done === 'done' ? button : ''}</td></tr>`;
}

function renderAgain({ plan, clients, keys }: ChaosEvidence): string {
  const kinds = [...new Set(plan.faults.map(({ kind }) => kind))];
  const command =
    `kvorum chaos --seed ${plan.seed} --nodes ${plan.nodes} ` +
    `--seconds ${Math.round(plan.durationMs / 1_000)} --clients ${clients} --keys ${keys}`;
  return `<footer><h2>Once more</h2>
<p>The same seed plans the same ${counted(plan.faults.length, 'fault')} of ${counted(kinds.length, 'kind')} at
the same times; what real processes make of them differs from run to run.</p>
<pre><code>${escapeHtml(command)}</code></pre>
<p>Beside this file: history.jsonl has every operation on one line, for any other checker; faults.jsonl what
was done, plan.json what was planned, verdict.json this verdict for programs, logs what each node
said.</p></footer>`;
}
