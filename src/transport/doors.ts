// Who has a place at this node's address. A connection comes as a stranger and stays one until it has said
// who it is; strangers, clients and members have places apart, so that no kind can take another's. When there
// is no place for one more stranger, the one goes that was silent longest, of the address that has most of
// them. Knows no sockets: what it decides is the listener's to carry out.

export type PlaceKind = 'client' | 'member';

export interface DoorLimits {
  readonly strangersMax: number;
  readonly clientsMax: number;
  /** Of them, from one address that is not this machine's. */
  readonly addressClientsMax: number;
  /** Links of members beyond these stay among the strangers. */
  readonly membersMax: number;
}

/** Where a connection comes from, as far as bounds are concerned. */
export interface Origin {
  /** What counts as one address. */
  readonly address: string;
  /** This machine: not bounded by its address. */
  readonly isLocal: boolean;
}

/** Why there is no place: all are taken, or those of one address. */
export type NoPlace = 'full' | 'address';

interface Place {
  readonly origin: Origin;
  kind: 'stranger' | PlaceKind;
}

export class Doors<Connection> {
  private readonly limits: DoorLimits;
  private readonly places = new Map<Connection, Place>();
  /** The one silent longest first. */
  private readonly strangers = new Map<Connection, Place>();
  private readonly strangersOf = new Map<string, number>();
  private readonly clientsOf = new Map<string, number>();
  private readonly counts: Record<PlaceKind, number> = { client: 0, member: 0 };

  constructor(limits: DoorLimits) {
    this.limits = limits;
  }

  get strangerCount(): number {
    return this.strangers.size;
  }

  count(kind: PlaceKind): number {
    return this.counts[kind];
  }

  /** A connection came. Returns the one that must go for it; that one has no place any more. */
  arrive(connection: Connection, origin: Origin): Connection | undefined {
    const place: Place = { origin, kind: 'stranger' };
    this.places.set(connection, place);
    return this.addStranger(connection, place);
  }

  /** A stranger did something: it is the last that goes. */
  touch(connection: Connection): void {
    const place = this.strangers.get(connection);
    if (place === undefined) return;
    this.strangers.delete(connection);
    this.strangers.set(connection, place);
  }

  /** A stranger said who it is. Returns why it gets no place; it then stays what it was. */
  admit(connection: Connection, kind: PlaceKind): NoPlace | undefined {
    const place = this.strangers.get(connection);
    if (place === undefined) return undefined;
    const { address, isLocal } = place.origin;
    if (kind === 'client') {
      const { clientsMax, addressClientsMax } = this.limits;
      if (this.counts.client >= clientsMax) return 'full';
      const ofAddress = this.clientsOf.get(address) ?? 0;
      if (!isLocal && ofAddress >= addressClientsMax) return 'address';
    } else if (this.counts.member >= this.limits.membersMax) return undefined;
    this.removeStranger(connection, place);
    place.kind = kind;
    this.counts[kind]++;
    if (kind === 'client') add(this.clientsOf, address, 1);
    return undefined;
  }

  /**
   * The connection is being closed, which may take a while: it gives up its place, and is a stranger until it
   * is gone. Returns, as `arrive` does, who must go for it.
   */
  release(connection: Connection): Connection | undefined {
    const place = this.places.get(connection);
    if (place === undefined || place.kind === 'stranger') return undefined;
    this.giveUp(connection, place);
    place.kind = 'stranger';
    return this.addStranger(connection, place);
  }

  /** The connection is gone. */
  leave(connection: Connection): void {
    const place = this.places.get(connection);
    if (place === undefined) return;
    this.places.delete(connection);
    this.giveUp(connection, place);
  }

  /** Takes the place of the stranger that is to go first, and returns it. */
  shed(): Connection | undefined {
    const most = Math.max(0, ...this.strangersOf.values());
    for (const [connection, { origin }] of this.strangers) {
      if (this.strangersOf.get(origin.address) !== most) continue;
      this.leave(connection);
      return connection;
    }
    return undefined;
  }

  private addStranger(connection: Connection, place: Place): Connection | undefined {
    this.strangers.set(connection, place);
    add(this.strangersOf, place.origin.address, 1);
    return this.strangers.size > this.limits.strangersMax ? this.shed() : undefined;
  }

  private removeStranger(connection: Connection, { origin }: Place): void {
    if (this.strangers.delete(connection)) add(this.strangersOf, origin.address, -1);
  }

  private giveUp(connection: Connection, place: Place): void {
    if (place.kind === 'stranger') {
      this.removeStranger(connection, place);
      return;
    }
    this.counts[place.kind]--;
    if (place.kind === 'client') add(this.clientsOf, place.origin.address, -1);
  }
}

function add(counts: Map<string, number>, name: string, change: number): void {
  const count = (counts.get(name) ?? 0) + change;
  if (count === 0) counts.delete(name);
  else counts.set(name, count);
}

/**
 * The origin of a socket's remote address. Of IPv6 the first 64 bits count as one address: whoever has one
 * has all that begin so.
 */
export function originOf(remoteAddress: string | undefined): Origin {
  const address = (remoteAddress ?? '').replace(/^::ffff:(?=\d+\.)/, '');
  if (!address.includes(':')) return { address, isLocal: address.startsWith('127.') };
  return { address: networkOf(address), isLocal: address === '::1' };
}

function networkOf(address: string): string {
  const [head = '', tail] = address.replace(/%.*$/, '').split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
  const groups = [...before, ...Array.from({ length: zeros }, () => '0'), ...after];
  return `${groups.slice(0, 4).join(':')}::/64`;
}
