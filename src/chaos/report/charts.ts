// The still pictures of the report: throughput, latency and who led when, over the time of the load, with the
// faults as bands behind them. Shapes are SVG that stretches with the page, words are HTML beside them, so
// that both are readable at any width. Needs no script.

import { assertNever } from '../../base/assert.js';
import { finalClient, type ChaosEvidence } from '../run.js';
import { isWrite, percentile } from './figures.js';
import { counted, duration, escapeHtml, grouped, moment } from './html.js';
import { faultKinds } from '../plan.js';

/** All shapes are drawn on a field of this size and stretched. */
const width = 1_000;
const height = 160;
const binsMax = 300;

interface Bin {
  writes: number;
  reads: number;
  unknown: number;
  failed: number;
  readonly latencies: number[];
}

interface Scale {
  readonly binMs: number;
  readonly totalMs: number;
  readonly bins: readonly Bin[];
}

export function renderCharts(evidence: ChaosEvidence): string {
  const scale = binsOf(evidence);
  return [throughput(evidence, scale), latency(evidence, scale), leaders(evidence)].join('\n');
}

/** Operations by the time at which they were answered. */
function binsOf({ operations, loadFromNs, loadToNs }: ChaosEvidence): Scale {
  const totalMs = Math.max(1, (loadToNs - loadFromNs) / 1e6);
  const binMs = Math.max(250, Math.ceil(totalMs / binsMax / 250) * 250);
  const count = Math.max(1, Math.ceil(totalMs / binMs));
  const bins = Array.from({ length: count }, (): Bin => {
    return { writes: 0, reads: 0, unknown: 0, failed: 0, latencies: [] };
  });
  for (const operation of operations) {
    const { c, call, ret, out } = operation;
    const at = Math.floor(((ret ?? loadToNs) - loadFromNs) / 1e6 / binMs);
    const bin = c === finalClient ? undefined : bins[Math.min(at, count - 1)];
    if (bin === undefined) continue;
    switch (out.st) {
      case 'unknown':
        bin.unknown += 1;
        break;
      case 'fail':
        bin.failed += 1;
        break;
      case 'ok':
        if (isWrite(operation)) bin.writes += 1;
        else bin.reads += 1;
        if (ret !== null) bin.latencies.push((ret - call) / 1e6);
        break;
      default:
        assertNever(out.st);
    }
  }
  return { binMs, totalMs, bins };
}

// ---- the three charts

function throughput(evidence: ChaosEvidence, { bins, binMs, totalMs }: Scale): string {
  const perSecond = (count: number): number => (count / binMs) * 1_000;
  const most = Math.max(1, ...bins.map((bin) => perSecond(bin.writes + bin.reads)));
  const top = niceTop(most);
  const y = (value: number): number => height - (value / top) * height;
  const reads = bins.map((bin) => y(perSecond(bin.writes + bin.reads)));
  const writes = bins.map((bin) => y(perSecond(bin.writes)));
  const unknown = bins
    .map((bin, index) => {
      if (bin.unknown === 0) return '';
      const x = ((index + 0.5) * width) / bins.length;
      return `<path class="s-unknown" d="M${round(x)} ${height}V${height - 14}"/>`;
    })
    .join('');
  const shapes =
    `<path class="s-read" d="${area(reads)}"/><path class="s-write" d="${area(writes)}"/>` + unknown;
  const worst = bins.filter((bin) => bin.writes === 0).length;
  const label =
    `Acknowledged operations per second, up to ${grouped(most)}; ` +
    `${counted(worst, 'interval')} of ${duration(binMs)} without an acknowledged write`;
  return figure({
    title: 'Throughput',
    legend: [
      ['write', 'writes per second'],
      ['read', 'reads on top of them'],
      ['unknown', 'outcome unknown'],
    ],
    label,
    evidence,
    totalMs,
    shapes,
    marks: [0, top / 2, top].map((value) => [1 - value / top, grouped(value)]),
  });
}

function latency(evidence: ChaosEvidence, { bins, totalMs }: Scale): string {
  const all = bins.map(({ latencies }) => Float64Array.from(latencies).sort());
  const most = Math.max(10, ...all.map((sorted) => percentile(sorted, 1)));
  const decades = Math.ceil(Math.log10(most));
  const bottom = -1;
  const place = (ms: number): number => {
    const exponent = Math.min(decades, Math.max(bottom, Math.log10(Math.max(ms, 1e-6))));
    return height - ((exponent - bottom) / (decades - bottom)) * height;
  };
  const line = (share: number): string =>
    steps(all.map((sorted) => (sorted.length === 0 ? undefined : place(percentile(sorted, share)))));
  const shapes =
    `<path class="s-max" d="${line(1)}"/><path class="s-p99" d="${line(0.99)}"/>` +
    `<path class="s-p50" d="${line(0.5)}"/>`;
  const marks = Array.from({ length: decades - bottom + 1 }, (_, index): [number, string] => {
    return [1 - index / (decades - bottom), duration(10 ** (bottom + index))];
  });
  return figure({
    title: 'Latency',
    legend: [
      ['p50', 'half are faster'],
      ['p99', '99 of 100 are faster'],
      ['max', 'the slowest'],
    ],
    label: `Latency of successful operations on a logarithmic scale; the slowest took ${duration(most)}`,
    evidence,
    totalMs,
    shapes,
    marks,
  });
}

function leaders(evidence: ChaosEvidence): string {
  const { leaderships, loadFromNs, loadToNs, phases } = evidence;
  const nodes = [...new Set(phases.map(({ node }) => node))].sort();
  const rowHeight = height / Math.max(1, nodes.length);
  const totalMs = Math.max(1, (loadToNs - loadFromNs) / 1e6);
  const x = (ns: number): number => Math.min(width, Math.max(0, ((ns - loadFromNs) / 1e6 / totalMs) * width));
  const row = (node: string): number => nodes.indexOf(node) * rowHeight;
  const bar = (type: string, node: string, fromNs: number, toNs: number, title: string): string => {
    const [left, right] = [x(fromNs), x(toNs)];
    if (toNs < loadFromNs || fromNs > loadToNs) return '';
    const place = `x="${round(left)}" y="${round(row(node) + 3)}"`;
    const size = `width="${round(Math.max(1.5, right - left))}" height="${round(rowHeight - 6)}"`;
    return `<rect class="${type}" ${place} ${size}><title>${escapeHtml(title)}</title></rect>`;
  };
  const away = phases
    .filter(({ condition }) => condition !== 'leader' && condition !== 'follower')
    .map(({ node, condition, fromNs, toNs }) => {
      const type = condition === 'down' ? 's-down' : 's-other';
      return bar(type, node, fromNs, toNs, `${node}: ${condition}`);
    });
  const names = leaderships.map(({ node }) => node);
  const led = leaderships.map(({ node, term, fromNs, toNs }) =>
    bar('s-leader', node, fromNs, toNs, `${node} leads in term ${term}, ${duration((toNs - fromNs) / 1e6)}`),
  );
  return figure({
    title: 'Leaders by term',
    legend: [
      ['leader', 'leads'],
      ['other', 'candidate, recovering or catching up'],
      ['down', 'no answer'],
    ],
    label: `${counted(leaderships.length, 'term')} with a leader: ${names.join(', ')}`,
    evidence,
    totalMs,
    shapes: away.join('') + led.join(''),
    marks: nodes.map((node, index): [number, string] => [(index + 0.5) / nodes.length, node]),
  });
}

// ---- what they share

interface Figure {
  readonly title: string;
  readonly legend: readonly (readonly [type: string, words: string])[];
  /** For those who do not see it. */
  readonly label: string;
  readonly evidence: ChaosEvidence;
  readonly totalMs: number;
  readonly shapes: string;
  /** On the left side: share of the height from the top, and the words. */
  readonly marks: readonly (readonly [share: number, words: string])[];
}

function figure({ title, legend, label, evidence, totalMs, shapes, marks }: Figure): string {
  const grid = marks
    .map(([share]) => `<path class="grid" d="M0 ${round(share * height)}H${width}"/>`)
    .join('');
  const ticks = timeTicks(totalMs).map(
    (ms) => `<span style="left:${percent(ms / totalMs)}">${moment(ms)}</span>`,
  );
  const sides = marks.map(
    ([share, words]) => `<span style="top:${percent(share)}">${escapeHtml(words)}</span>`,
  );
  const keys = legend.map(([type, words]) => `<li><i class="key k-${type}"></i>${escapeHtml(words)}</li>`);
  return `<figure class="chart">
<figcaption><h3>${escapeHtml(title)}</h3><ul class="legend">${keys.join('')}</ul></figcaption>
<div class="plot"><div class="side" aria-hidden="true">${sides.join('')}</div>
<svg viewBox="0 0 ${width} ${height}" preserveAspectRatio="none" role="img" aria-label="${escapeHtml(label)}">
${faultBands(evidence, totalMs)}${grid}${shapes}</svg>
<div class="time" aria-hidden="true">${ticks.join('')}</div></div></figure>`;
}

function faultBands({ faults, loadFromNs }: ChaosEvidence, totalMs: number): string {
  return faults
    .filter(({ done }) => done === 'done')
    .map(({ kind, words, fromNs, toNs }) => {
      const left = ((fromNs - loadFromNs) / 1e6 / totalMs) * width;
      const wide = Math.max(1.5, ((toNs - fromNs) / 1e6 / totalMs) * width);
      const title = escapeHtml(`${kind}: ${words}`);
      const place = `x="${round(left)}" y="0" width="${round(wide)}" height="${height}"`;
      return `<rect class="band g-${faultKinds[kind].group}" ${place}><title>${title}</title></rect>`;
    })
    .join('');
}

/** About eight moments, at round numbers of seconds. */
export function timeTicks(totalMs: number): number[] {
  const steps = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400];
  const step = (steps.find((seconds) => totalMs / 1_000 / seconds <= 8) ?? 28_800) * 1_000;
  return Array.from({ length: Math.floor(totalMs / step) + 1 }, (_, index) => index * step);
}

function niceTop(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 2, 4, 5, 10].find((candidate) => candidate * power >= value) ?? 10;
  return factor * power;
}

/** A filled shape under steps. */
function area(heights: readonly number[]): string {
  return `M0 ${height}${steps(heights).replace(/M/g, 'L')}L${width} ${height}Z`;
}

/** One level step per bin; a gap where there is none. */
function steps(heights: readonly (number | undefined)[]): string {
  const wide = width / heights.length;
  let broken = true;
  let path = '';
  heights.forEach((level, index) => {
    if (level === undefined) {
      broken = true;
      return;
    }
    path += `${broken ? 'M' : 'L'}${round(index * wide)} ${round(level)}H${round((index + 1) * wide)}`;
    broken = false;
  });
  return path;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function percent(share: number): string {
  return `${Math.round(share * 10_000) / 100}%`;
}
