/**
 * What passed the proxy, in order, and who waits for something to pass.
 */

/**
 * - `received`: the client's request reached the proxy.
 * - `forwarded`: it went on to the broker (a second time for a duplicate).
 * - `answered`: the broker's answer reached the proxy, so the request has taken effect.
 * - `delivered`: the answer went on to the client.
 * - `faulted`: a rule fired on it.
 * - `opened`, `closed`: the connection itself; no request belongs to it.
 */
export type Phase = "opened" | "received" | "faulted" | "forwarded" | "answered" | "delivered" | "closed"

export interface Observation {
  /** Counts from 0 over the life of the proxy. */
  readonly index: number
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly phase: Phase
  readonly connection: number
  /** The broker's own address behind this connection. */
  readonly broker: string
  /** Numbers the requests of all connections; the same in every phase of one request. -1 for the connection itself. */
  readonly exchange: number
  /** The name of the request; its key as text where the codec does not know it. */
  readonly api: string
  readonly version: number
  readonly clientId: string | null
  /** The request's decoded body; `undefined` where it is not known to the codec or was too large to keep. */
  readonly request: () => unknown
  /** The answer's decoded body, from `answered` on. */
  readonly response: () => unknown
}

interface Waiter {
  readonly predicate: (observation: Observation) => boolean
  readonly resolve: (observation: Observation) => void
}

/** Bounded: the older half is forgotten when `capacity` is reached. */
export class Journal {
  private entries: Array<Observation> = []
  private next = 0
  private readonly waiters = new Set<Waiter>()
  private readonly capacity: number

  constructor(capacity = 200_000) {
    this.capacity = capacity
  }

  get size(): number {
    return this.next
  }

  record(fields: Omit<Observation, "index" | "at">): void {
    const observation: Observation = { index: this.next++, at: Date.now(), ...fields }
    this.entries.push(observation)
    if (this.entries.length > this.capacity) this.entries = this.entries.slice(this.capacity >> 1)
    // A copy: whoever is resumed here may wait for the next one at once, and must not meet this one again.
    for (const waiter of Array.from(this.waiters)) {
      if (waiter.predicate(observation)) {
        this.waiters.delete(waiter)
        waiter.resolve(observation)
      }
    }
  }

  /** What is kept from `from` on. */
  since(from: number): ReadonlyArray<Observation> {
    const first = this.entries[0]
    return first === undefined ? [] : this.entries.slice(Math.max(0, from - first.index))
  }

  /** Calls back with the first observation from `from` on that matches, now or later. Answers how to stop waiting. */
  wait(
    from: number,
    predicate: (observation: Observation) => boolean,
    resolve: (observation: Observation) => void
  ): () => void {
    const found = this.since(from).find(predicate)
    if (found !== undefined) {
      resolve(found)
      return () => {}
    }
    const waiter: Waiter = { predicate, resolve }
    this.waiters.add(waiter)
    return () => {
      this.waiters.delete(waiter)
    }
  }
}
