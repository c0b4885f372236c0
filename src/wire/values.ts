// What stands in frames, before they are packed and after they are unpacked.

/** What may stand in a frame that is sent. `undefined` is sent as nil. */
export type WireValue = undefined | null | boolean | number | string | Uint8Array | readonly WireValue[];

/** A frame as positions, ready to be packed. */
export type WireFrame = readonly WireValue[];

/** An unpacked array: a frame, a record or a command. Its values have the types that the sender chose. */
export type WireArray = readonly unknown[];

/** What a value is, in few words and without its content when that may be long. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return 'nil';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return `text of ${value.length} characters`;
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (Array.isArray(value)) return `an array of ${value.length}`;
  return `a ${typeof value}`;
}
