// The settings and the metrics of a node, against what people read of them.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Setting } from '../../src/base/settings.js';
import { nodeSettings } from '../../src/server/config/node-config.js';
import { metrics } from '../../src/server/operate/metrics.js';

const page = readFileSync(new URL('../../docs/settings.md', import.meta.url), 'utf8');

function formatNumber(value: number, unit: Setting['unit']): string {
  if (unit === 'ms') return `${value.toLocaleString('en')} ms`;
  if (unit === 'count') return value.toLocaleString('en');
  const units = ['bytes', 'KiB', 'MiB', 'GiB'];
  let power = 0;
  let rest = value;
  for (; power < units.length - 1 && rest % 1_024 === 0; power++) rest /= 1_024;
  return `${rest.toLocaleString('en')} ${units[power] ?? ''}`;
}

function rowOf(name: string, setting: Setting): string {
  const { min, max, unit, words } = setting;
  const bounds =
    max === Number.MAX_SAFE_INTEGER
      ? `at least ${formatNumber(min, unit)}`
      : `${formatNumber(min, unit)} to ${formatNumber(max, unit)}`;
  return `| \`${name}\` | ${formatNumber(setting.default, unit)} | ${bounds} | ${words} |`;
}

const all: [name: string, setting: Setting][] = Object.entries(nodeSettings).flatMap(([group, settings]) =>
  Object.entries<Setting>(settings).map(([name, setting]): [string, Setting] => [
    `${group}.${name}`,
    setting,
  ]),
);

describe('settings', () => {
  test('are on their page, as they are and in their order', () => {
    const start = page.indexOf('| setting |');
    expect(start).toBeGreaterThan(0);
    const table = page.slice(start).trimEnd();
    expect(table.split('\n').slice(2)).toEqual(all.map(([name, setting]) => rowOf(name, setting)));
  });

  test.each(all)('%s has a default within its bounds, and its unit in its name', (name, setting) => {
    expect(setting.default).toBeGreaterThanOrEqual(setting.min);
    expect(setting.default).toBeLessThanOrEqual(setting.max);
    const ofName = /Ms(Min|Max)?$/.test(name) ? 'ms' : /Bytes(Max)?$/.test(name) ? 'bytes' : 'count';
    expect(setting.unit).toBe(ofName);
  });
});

describe('metrics', () => {
  test.each(Object.entries(metrics))('%s is named as what it is', (name, { type, help }) => {
    expect(name).toMatch(/^kvorum_[a-z_]+$/);
    expect(name.endsWith('_total')).toBe(type === 'counter');
    expect(help).toMatch(/^[A-Z0-9].*\.$/);
  });
});
