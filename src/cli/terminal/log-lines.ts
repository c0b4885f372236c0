// A node's structured log line as people read it, for the commands that run nodes in front of someone.

const levels = new Map([
  [10, 'trace'],
  [20, 'debug'],
  [30, 'info'],
  [40, 'warning'],
  [50, 'error'],
  [60, 'fatal'],
]);

const hidden = new Set(['level', 'time', 'pid', 'hostname', 'msg', 'node', 'nodeId', 'name']);

/** `{"level":40,"msg":"slow disk","ms":80}` as `warning: slow disk (ms 80)`; any other line as it is. */
export function readableLogLine(line: string): string {
  if (!line.startsWith('{')) return line;
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return line;
  }
  const message = record['msg'];
  if (typeof message !== 'string') return line;
  const level = levels.get(Number(record['level'])) ?? String(record['level']);
  const fields = Object.entries(record)
    .filter(([name]) => !hidden.has(name))
    .map(([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`);
  return `${level}: ${message}${fields.length === 0 ? '' : ` (${fields.join(', ')})`}`;
}
