// A node's structured log line as people read it, for the commands that run nodes in front of someone.

const levels = new Map([
  [10, 'trace'],
  [20, 'debug'],
  [30, 'info'],
  [40, 'warning'],
  [50, 'error'],
  [60, 'fatal'],
]);

const hidden = new Set(['level', 'time', 'pid', 'hostname', 'msg', 'event', 'node', 'nodeId', 'name']);

/** What a structured line holds; `undefined` for any other line. */
export function logRecord(line: string): Readonly<Record<string, unknown>> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** `{"level":40,"msg":"slow disk","ms":80}` as `warning: slow disk (ms 80)`; any other line as it is. */
export function readableLogLine(line: string): string {
  const record = logRecord(line);
  const message = record?.['msg'];
  if (record === undefined || typeof message !== 'string') return line;
  const level = levels.get(Number(record['level'])) ?? String(record['level']);
  const fields = Object.entries(record)
    .filter(([name]) => !hidden.has(name))
    .map(([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`);
  return `${level}: ${message}${fields.length === 0 ? '' : ` (${fields.join(', ')})`}`;
}
