// What an address is: host:port, the host a name, an IPv4 address, or an IPv6 address in brackets.

export interface HostAndPort {
  /** Without the brackets of an IPv6 address. */
  readonly host: string;
  readonly port: number;
}

const addressPattern = /^([^\s:/[\]]+|\[[0-9a-fA-F:]+\]):(\d{1,5})$/;

/** What is wrong with it, to follow the name of the field; `undefined` when it is an address. */
export function addressFault(text: string): string | undefined {
  const port = addressPattern.exec(text)?.[2];
  if (port === undefined) return 'must be host:port';
  return Number(port) >= 1 && Number(port) <= 65_535
    ? undefined
    : `must have a port of 1 to 65535, not ${port}`;
}

/** Of an address without fault. */
export function splitAddress(address: string): HostAndPort {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  return { host, port: Number(address.slice(colon + 1)) };
}
