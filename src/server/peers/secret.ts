// The secret of a cluster: who knows it is a member. Drawn by the node that forms the cluster, kept in each
// member's formation record and nowhere else: not in entry 1, which goes wherever the log goes, and not in
// snapshots. Given away only by `forRecord` and `forMember`; no printing of the object shows it.

import { createHmac, timingSafeEqual } from 'node:crypto';
import { assert } from '../../base/assert.js';
import { toHex } from '../../base/bytes.js';
import type { Entropy } from '../../base/env.js';
import { proofBytes } from '../../wire/peers/frames.js';

export class ClusterSecret {
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    assert(bytes.length === proofBytes, `the secret of a cluster has ${bytes.length} bytes`);
    // A copy: what it was read from is not kept alive by it.
    this.#bytes = new Uint8Array(bytes);
  }

  static draw(entropy: Entropy): ClusterSecret {
    return new ClusterSecret(entropy.bytes(proofBytes));
  }

  /** `undefined` for anything that `forRecord` has not made. */
  static fromRecord(text: unknown): ClusterSecret | undefined {
    if (typeof text !== 'string' || !/^[0-9a-f]{64}$/.test(text)) return undefined;
    return new ClusterSecret(Buffer.from(text, 'hex'));
  }

  /** For the formation record of this node. */
  forRecord(): string {
    return toHex(this.#bytes);
  }

  /** For a node that the formation names, by its address and its instance id. */
  forMember(): Uint8Array {
    return new Uint8Array(this.#bytes);
  }

  /** HMAC-SHA256. */
  prove(input: Uint8Array): Uint8Array {
    return new Uint8Array(createHmac('sha256', this.#bytes).update(input).digest());
  }

  /** Compared in constant time. */
  isProof(proof: Uint8Array, input: Uint8Array): boolean {
    return proof.length === proofBytes && timingSafeEqual(proof, this.prove(input));
  }
}
