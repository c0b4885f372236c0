// The report of a fixed small run, and of one with a violation: what stands in it, that it needs nothing
// else, and that nothing that came from outside becomes part of the page. Looked at in a real browser where
// one is installed; KVORUM_SCREENSHOTS=<folder> keeps the pictures.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { duration, escapeHtml, grouped, scriptJson } from '../../src/chaos/report/html.js';
import { renderReport } from '../../src/chaos/report/report.js';
import { leftOutWords, timelineData, type TimelineData } from '../../src/chaos/report/data.js';
import type { ChaosEvidence } from '../../src/chaos/run.js';
import { judge } from '../../src/chaos/verdict.js';
import { Browser, findBrowser } from './browser.js';
import { evidence, fault, loadFromNs, operation, staleOperations } from './evidence.js';

const report = (part: Partial<ChaosEvidence> = {}): string => {
  const all = evidence(part);
  return renderReport(all, judge(all));
};

const script = `document.title='broken'`;
const hostile = `"><img src=x onerror="${script}"></script><script>${script}</script>\u202e`;

describe('the report', () => {
  test('says the verdict first, then figures, timeline, charts, checks and faults', () => {
    const html = report();
    const order = [
      '<h1>Every guarantee held: 9 operations through 2 faults',
      '<dl class="facts">',
      '<h2>Timeline</h2>',
      '<h3>Throughput</h3>',
      '<h3>Latency</h3>',
      '<h3>Leaders by term</h3>',
      '<h2>What was checked</h2>',
      '<h2>2 faults</h2>',
      'kvorum chaos --seed 7 --nodes 3 --seconds 8 --clients 2 --keys 1',
    ];
    const places = order.map((text) => html.indexOf(text));
    expect(
      places.every((place) => place > 0),
      JSON.stringify(places),
    ).toBe(true);
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(html).not.toContain('<h2>Proof');
    expect(html).toContain('<dd>2<small>1 more skipped</small>');
    expect(report({ faults: [fault()] })).toContain('<dd>1<small>none skipped</small>');
    // Acknowledged, unknown, and the longest time without a write: from 180 ms to 5,215 ms.
    for (const figure of ['<dd>7<small>', '<dd>1<small>', '<dd>5.0 s<small>']) expect(html).toContain(figure);
  });

  test('shows the smallest proof of a violation, explained', () => {
    const html = report({ operations: staleOperations() });
    expect(html).toContain('A guarantee was broken: linearizable');
    expect(html).toContain('Proof: linearizable');
    expect(html).toMatch(/<ol class="order"><li>/);
    expect(html).toContain('get &quot;chaos/x/0/1&quot;');
    expect(html).toContain('part of the proof');
    expect(report()).not.toContain('part of the proof');
    expect(html.indexOf('<h2>Proof')).toBeLessThan(html.indexOf('<h2>Timeline</h2>'));
  });

  test('needs nothing from anywhere', () => {
    for (const html of [report(), report({ operations: staleOperations() })]) {
      expect(html).not.toMatch(/(src|href)\s*=|@import|url\(|https?:|<link|<iframe/i);
      expect(html).toContain("default-src 'none'");
    }
  });

  test('keeps what came from outside out of the page', () => {
    const put = operation('c1.1', { op: 'put', k: hostile, v: hostile }, 7_100, 5, { st: 'ok', rev: 5 });
    const get = operation('c1.2', { op: 'get', k: hostile }, 7_200, 5, { st: 'ok', v: null, ver: 0 });
    const html = report({
      operations: [...staleOperations(), put, get],
      faults: [fault({ words: hostile })],
      problems: [hostile],
      exits: [{ nodeId: hostile, how: hostile, lastLine: hostile }],
    });
    expect(html).not.toContain('<img');
    expect(html).not.toContain('\u202e');
    expect(html.match(/<script/g)).toHaveLength(2);
    expect(html.match(/<\/script>/g)).toHaveLength(2);
  });

  test('tells when a run was cut short, did nothing, or did not recover', () => {
    const empty = { operations: [], faults: [], phases: [], leaderships: [], finalRevision: 0 };
    expect(report({ ...empty, interrupted: true, convergence: { kind: 'skipped' } })).toContain('Cut short');
    expect(report({ convergence: { kind: 'not', reason: 'no leader' } })).toContain(
      'did not come to one state',
    );
  });

  test('its timeline has every operation where it was', () => {
    const data = timelineData(evidence(), new Set());
    expect(data.clients).toEqual(['c1.1', 'c1.2', 'final']);
    expect(data.keys).toEqual(['1']);
    expect([data.oneIn, data.othersOneIn]).toEqual([1, 1]);
    const lanes = decode(data);
    expect(lanes[0]).toEqual([
      [100_000, 20_000, 1, 0],
      [900_000, 4_000_000, 17, 0],
      [5_000_000, 12_000, 1, 0],
    ]);
    expect(lanes[2]).toEqual([[9_000_000, 5_000, 0, 0]]);
  });
});

describe('a timeline of too many operations', () => {
  const outcomes = { ok: { st: 'ok' }, fail: { st: 'fail' }, unknown: { st: 'unknown' } } as const;
  /** Evenly mixed; how many are shown of each status, as the page says it, and what is left of the proof. */
  const shownOf = (counts: Readonly<Record<keyof typeof outcomes, number>>) => {
    const entries = Object.entries(counts) as [keyof typeof outcomes, number][];
    const operations = entries.flatMap(([status, count]) =>
      Array.from({ length: count }, (_, i) =>
        operation('c1', { op: 'put', k: 'k', v: 'v' }, (i * 8_000) / count, 1, outcomes[status]),
      ),
    );
    operations.sort((a, b) => a.call - b.call);
    const proof = new Set([3, 7, 11].map((place) => operations[place] as (typeof operations)[0]));
    const data = timelineData(evidence({ operations }), proof);
    const lane = decode(data).flat();
    const shown = [0, 1, 2].map((status) => lane.filter(([, , flags = 0]) => ((flags >> 3) & 7) === status));
    const proven = lane.filter(([, , flags = 0]) => (flags & 64) !== 0);
    return { data, words: leftOutWords(data), shown: shown.map(({ length }) => length), proven, lane };
  };

  test('thins out what went well before anything else', () => {
    const few = shownOf({ ok: 1_000, fail: 200, unknown: 300 });
    expect([few.words, few.shown]).toEqual(['', [1_000, 200, 300]]);
    const { words, shown, proven } = shownOf({ ok: 300_000, fail: 20_000, unknown: 80_000 });
    expect(words).toBe(' It shows one in 2 of the successful ones; history.jsonl has them all.');
    expect(shown.slice(1)).toEqual([20_000, 80_000]);
    expect(shown[0]).toBeLessThanOrEqual(150_003);
    expect(proven).toHaveLength(3);
  });

  test('then what failed and what is unknown, evenly, so that the page stays bounded', () => {
    const { words, shown, proven, lane } = shownOf({ ok: 90, fail: 150_000, unknown: 200_000 });
    const others = 'one in 2 of those that failed or may have happened';
    expect(words).toBe(` It shows ${others}; history.jsonl has them all.`);
    expect(shown[0]).toBe(90);
    expect(lane.length).toBeLessThanOrEqual(250_003);
    expect(lane.length).toBeGreaterThan(170_000);
    expect(proven).toHaveLength(3);
    // From one to the next, in microseconds: no hole anywhere.
    expect(lane.reduce((longest, [since = 0]) => Math.max(longest, since), 0)).toBeLessThan(1_000);
    const both = shownOf({ ok: 200_000, fail: 260_000, unknown: 0 });
    expect(both.words).toBe(
      ` It shows one in 2 of the successful ones and ${others}; history.jsonl has them all.`,
    );
    expect(both.lane.length).toBeLessThanOrEqual(250_003);
  });
});

/** Of each client its operations: since the one before, how long, flags and key. */
function decode({ clients, operations }: TimelineData): number[][][] {
  const bytes = Buffer.from(operations, 'base64');
  let place = 0;
  const next = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[place++] ?? 0;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  const lanes = clients.map(() => Array.from({ length: next() }, () => [next(), next(), next(), next()]));
  expect(place).toBe(bytes.length);
  return lanes;
}

test('figures and text for people', () => {
  expect([0, 999, 1_000, 1_234_567].map(grouped)).toEqual(['0', '999', '1,000', '1,234,567']);
  expect([0.25, 5.21, 217, 4_230, 61_000, 600_000].map(duration)).toEqual([
    '250 µs',
    '5.2 ms',
    '217 ms',
    '4.2 s',
    '1 min 1 s',
    '10 min',
  ]);
  expect(escapeHtml(`<a b="c">'&\u0007`)).toBe('&lt;a b=&quot;c&quot;&gt;&#39;&amp;\\u0007');
  expect(scriptJson({ a: '</script>' })).toBe('{"a":"\\u003c/script>"}');
});

const browserPath = findBrowser();

describe.runIf(browserPath !== undefined)('in a browser', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvorum-report-'));
  let browser: Browser;

  beforeAll(async () => {
    browser = await Browser.start(browserPath ?? '');
  });

  afterAll(async () => {
    await browser.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const page = (html: string): string => {
    const path = join(folder, 'report.html');
    writeFileSync(path, html);
    return pathToFileURL(path).href;
  };

  const hostileRun: Partial<ChaosEvidence> = {
    operations: [
      ...staleOperations(),
      operation('c1.1', { op: 'put', k: hostile, v: 'x'.repeat(500) }, 7_100, 900, { st: 'ok', rev: 5 }),
    ],
    faults: [fault({ words: `${hostile} ${'long'.repeat(100)}` })],
  };

  test.each([
    [390, 'light', 'sound', {}],
    [1_280, 'dark', 'sound', {}],
    [390, 'dark', 'hostile', hostileRun],
    [1_280, 'light', 'hostile', hostileRun],
  ] as const)(
    '%i pixels, %s, %s: drawn, nothing beyond the edge, no complaint',
    async (width, scheme, name, part) => {
      const view = await browser.open(page(report(part)), width, 900, scheme);
      const found = await view.evaluate(`(() => {
      const canvas = document.getElementById('timeline');
      const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      const colours = new Set();
      for (let at = 0; at < pixels.length; at += 4) {
        if (pixels[at + 3] === 255) colours.add(pixels.slice(at, at + 3).join());
      }
      return {
        drawn: document.documentElement.dataset.timeline,
        beyond: document.documentElement.scrollWidth - document.documentElement.clientWidth,
        title: document.title,
        colours: colours.size,
        images: document.images.length,
      };
    })()`);
      expect(found).toMatchObject({ drawn: 'drawn', beyond: 0, images: 0 });
      expect((found as { title: string }).title).toMatch(/^kvorum chaos: /);
      expect((found as { colours: number }).colours).toBeGreaterThan(5);
      expect(view.complaints).toEqual([]);
      const picture = await view.screenshot();
      expect(picture.subarray(1, 4).toString()).toBe('PNG');
      const keep = process.env['KVORUM_SCREENSHOTS'];
      if (keep !== undefined) writeFileSync(join(keep, `report-${name}-${width}-${scheme}.png`), picture);
    },
  );

  test('zooms by button, by key and to a fault, and tells what is under the pointer', async () => {
    const view = await browser.open(page(report()), 1_280, 900, 'light');
    const picture = `document.getElementById('timeline').toDataURL()`;
    const settle = `new Promise((done) => {
      requestAnimationFrame(() => requestAnimationFrame(() => done(${picture})));
    })`;
    const whole = await view.evaluate(settle);
    const zoomed = await view.evaluate(`document.querySelector('[data-zoom="0.5"]').click(); ${settle}`);
    expect(zoomed).not.toBe(whole);
    const press = (key: string): string =>
      `document.getElementById('timeline').dispatchEvent(new KeyboardEvent('keydown', { key: '${key}' }));
      ${settle}`;
    expect(await view.evaluate(press('0'))).toBe(whole);
    expect(await view.evaluate(press('+'))).not.toBe(whole);
    await view.evaluate(press('0'));
    expect(await view.evaluate(`document.querySelector('[data-show]').click(); ${settle}`)).not.toBe(whole);
    await view.evaluate(press('0'));
    const told = await view.evaluate(`(() => {
      const canvas = document.getElementById('timeline'), box = canvas.getBoundingClientRect();
      const at = { clientX: box.left + 64 + (box.width - 72) * 2 / 9.1, clientY: box.top + 12 };
      canvas.dispatchEvent(new PointerEvent('pointermove', at));
      return document.getElementById('readout').textContent;
    })()`);
    expect(told).toBe('fault 1, kill: SIGKILL to n1 (at 0:01.00, 2.0 s)');
  });

  test('names a fault and a term on the timeline only where the name fits', async () => {
    const fromNs = loadFromNs + 2e9;
    const [phase, ...phases] = evidence().phases;
    if (phase === undefined) throw new Error('there is a phase');
    // Some 50 pixels: room for "term 2", not for a number of nine digits.
    const short = { ...phase, term: 123_456_789, fromNs, toNs: fromNs + 4e8 };
    const narrow = fault({ kind: 'flapping', words: 'n1', fromNs, toNs: fromNs + 3e8 });
    const run = { faults: [narrow, fault()], phases: [short, ...phases] };
    const view = await browser.open(page(report(run)), 1_280, 900, 'light');
    const drawnAfter = (action: string): string => `(() => {
      const texts = [], draw = CanvasRenderingContext2D.prototype.fillText;
      CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
        texts.push(text);
        return draw.call(this, text, ...place);
      };
      ${action};
      return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(texts))));
    })()`;
    const key = `new KeyboardEvent('keydown', { key: '0' })`;
    const press = `document.getElementById('timeline').dispatchEvent(${key})`;
    const whole = await view.evaluate(drawnAfter(press));
    expect(whole).toContain('kill');
    expect(whole).not.toContain('flapping');
    expect(whole).toContain('term 3');
    expect(whole).not.toContain('term 123456789');
    const show = `[...document.querySelectorAll('tr')].find((row) => /flapping/.test(row.textContent))
        .querySelector('[data-show]').click()`;
    const near = await view.evaluate(drawnAfter(show));
    expect(near).toContain('flapping');
    expect(near).toContain('term 123456789');
  });
});

test.runIf(browserPath === undefined)('no browser is installed: the report was not looked at', () => {
  console.warn('test/chaos/report.test.ts: install chromium (or set KVORUM_BROWSER) to look at the report');
});
