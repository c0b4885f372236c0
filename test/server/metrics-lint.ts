// The rules of `promtool check metrics`, for the text that a node gives to Prometheus.

/** Other units than the base units, which Prometheus wants; and how the base units are not to be written. */
const otherUnits: Readonly<Record<string, string>> = {
  milliseconds: 'seconds',
  microseconds: 'seconds',
  nanoseconds: 'seconds',
  minutes: 'seconds',
  hours: 'seconds',
  days: 'seconds',
  bits: 'bytes',
  kilobytes: 'bytes',
  megabytes: 'bytes',
  gigabytes: 'bytes',
  kibibytes: 'bytes',
  mebibytes: 'bytes',
  percent: 'ratio',
  percents: 'ratio',
};
const abbreviations = ['s', 'ms', 'us', 'ns', 'sec', 'b', 'kb', 'mb', 'gb', 'tb', 'pb', 'm', 'h', 'd'];
const types = ['counter', 'gauge', 'histogram', 'summary', 'untyped'];
const ofHistograms = ['_count', '_sum', '_bucket'];

/** What is wrong with the text; empty when nothing is. */
export function complaintsAbout(text: string): string[] {
  const complaints: string[] = [];
  const declared = new Map<string, string>();
  const helped = new Set<string>();
  const familyOf = (sample: string): string | undefined =>
    declared.has(sample) ? sample : [...declared.keys()].find((name) => sample.startsWith(`${name}_`));
  for (const line of text.split('\n')) {
    const help = /^# HELP (\S+) \S/.exec(line);
    if (help?.[1] !== undefined) helped.add(help[1]);
    const [, name, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (name !== undefined && type !== undefined) {
      if (declared.has(name)) complaints.push(`${name}: declared twice`);
      declared.set(name, type);
      complaints.push(...complaintsOfName(name, type).map((complaint) => `${name}: ${complaint}`));
      if (!helped.has(name)) complaints.push(`${name}: no help`);
    } else if (line !== '' && !line.startsWith('#')) {
      const [, sample = '', labels = ''] = /^([^\s{]+)(\{.*\})? \S+$/.exec(line) ?? [];
      const family = familyOf(sample);
      if (family === undefined) complaints.push(`${line}: a sample of nothing`);
      const isSized = ['histogram', 'summary'].includes(declared.get(family ?? '') ?? '');
      for (const label of ['le', 'quantile']) {
        if (!isSized && labels.includes(`${label}="`)) complaints.push(`${sample}: label ${label}`);
      }
      const names = [...labels.matchAll(/(\w+)="/g)].map(([, label]) => label ?? '');
      complaints.push(
        ...names.filter((n) => !/^[a-z][a-z0-9_]*$/.test(n)).map((n) => `${sample}: characters of ${n}`),
      );
    }
  }
  return complaints;
}

function complaintsOfName(name: string, type: string): string[] {
  const complaints: string[] = [];
  const words = name.split('_');
  if (!/^[a-z][a-z0-9_]*$/.test(name)) complaints.push('characters that are not a to z, 0 to 9 or _');
  if (type === 'counter' && !name.endsWith('_total')) complaints.push('a counter without _total');
  if (type !== 'counter' && name.endsWith('_total')) complaints.push(`_total of a ${type}`);
  if (type !== 'histogram' && type !== 'summary') {
    const end = ofHistograms.find((suffix) => name.endsWith(suffix));
    if (end !== undefined) complaints.push(`${end} of a ${type}`);
  }
  if (words.some((word) => types.includes(word))) complaints.push('its type in its name');
  for (const word of words) {
    const base = Object.hasOwn(otherUnits, word) ? otherUnits[word] : undefined;
    if (base !== undefined) complaints.push(`base unit ${base} instead of ${word}`);
  }
  const abbreviated = words.slice(1).find((word) => abbreviations.includes(word));
  if (abbreviated !== undefined) complaints.push(`abbreviated unit ${abbreviated}`);
  return complaints;
}
