/**
 * Where each assigned partition stands: its position, the batch fetched ahead, and the batches that are out. Pure state;
 * the consumer drives it. Nobody but `begin`, `seek` and the acceptance of a fetched batch moves a position.
 */
import type * as Driver from "./Driver.ts"
import * as Offset from "./Offset.ts"
import * as TopicPartition from "./TopicPartition.ts"

/** What a fetch brought of a partition. */
interface Read {
  readonly records: ReadonlyArray<Driver.FetchedRecord>
  readonly nextOffset: bigint
}

interface Standing {
  readonly topic: string
  readonly partition: number
  position: bigint
  /** Where the next batch handed out joins on: behind `position` by what was fetched and had nothing to show. */
  begin: bigint
  /** Counts seeks: what was fetched or handed out before the last one is stale. */
  epoch: number
  out: number
  ready: { readonly read: Read; readonly bytes: number } | undefined
  claim: Claim | undefined
}

/** A fetch that is under way for one partition. */
export interface Claim {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly standing: Standing
  readonly epoch: number
}

export interface Limits {
  readonly unreleasedPerPartition: number
  readonly unreleased: number
  readonly bufferedBytes: number
}

export class Positions {
  readonly #limits: Limits
  #standings = new Map<string, Standing>()
  #handed = new WeakMap<Driver.FetchedBatch, { readonly standing: Standing; readonly epoch: number }>()
  #out = 0
  #buffered = 0
  // where the next round of `take` starts, so that no partition waits behind the others for ever
  #turn = 0

  constructor(limits: Limits) {
    this.#limits = limits
  }

  begin(starts: ReadonlyArray<TopicPartition.TopicPartition & { readonly offset: bigint }>): void {
    this.clear()
    for (const { offset, partition, topic } of starts) {
      this.#standings.set(TopicPartition.format({ topic, partition }), {
        topic,
        partition,
        position: offset,
        begin: offset,
        epoch: 0,
        out: 0,
        ready: undefined,
        claim: undefined
      })
    }
  }

  /** Nothing is assigned: everything out or ahead is stale. */
  clear(): void {
    this.#standings = new Map()
    this.#handed = new WeakMap()
    this.#out = 0
    this.#buffered = 0
  }

  /** What is assigned; `idle` partitions have nothing out and nothing waiting. */
  all(): ReadonlyArray<TopicPartition.TopicPartition & { readonly idle: boolean }> {
    return [...this.#standings.values()].map(({ out, partition, ready, topic }) => ({
      topic,
      partition,
      idle: out === 0 && ready === undefined
    }))
  }

  /** Partitions to fetch now, with the promise to `accept` or `drop` each claim. */
  claim(admits: (topic: string, partition: number) => boolean): ReadonlyArray<Claim> {
    if (this.#buffered >= this.#limits.bufferedBytes) return []
    const claims: Array<Claim> = []
    for (const standing of this.#standings.values()) {
      const { epoch, partition, position, topic } = standing
      if (standing.ready !== undefined || standing.claim !== undefined || !admits(topic, partition)) continue
      const claim = { topic, partition, offset: position, standing, epoch }
      standing.claim = claim
      claims.push(claim)
    }
    return claims
  }

  drop(claim: Claim): void {
    if (claim.standing.claim === claim) claim.standing.claim = undefined
  }

  #current({ epoch, standing }: { readonly standing: Standing; readonly epoch: number }): boolean {
    return this.#standings.get(TopicPartition.format(standing)) === standing && standing.epoch === epoch
  }

  isCurrent(claim: Claim): boolean {
    return this.#current(claim)
  }

  /** Takes what was fetched; a batch without visible records only moves the position. False when it came too late. */
  accept(claim: Claim, read: Read, bytes: number): boolean {
    const { standing } = claim
    this.drop(claim)
    if (!this.#current(claim) || standing.position !== claim.offset) return false
    standing.position = read.nextOffset
    if (read.records.length > 0) {
      standing.ready = { read, bytes }
      this.#buffered += bytes
    }
    return true
  }

  /** Batches that may go out now. */
  take(delivery: Driver.Delivery): ReadonlyArray<Driver.FetchedBatch> {
    const batches: Array<Driver.FetchedBatch> = []
    const all = [...this.#standings.values()]
    const first = this.#turn
    for (let i = 0; i < all.length && this.#out < this.#limits.unreleased; i++) {
      const standing = all[(first + i) % all.length]
      if (standing?.ready === undefined || standing.out >= this.#limits.unreleasedPerPartition) continue
      const { bytes, read } = standing.ready
      const { epoch, partition, topic } = standing
      standing.ready = undefined
      standing.out++
      this.#out++
      this.#buffered -= bytes
      this.#turn = (first + i + 1) % all.length
      const batch: Driver.FetchedBatch = {
        topic,
        partition,
        records: read.records,
        startOffset: Offset.offsetUnsafe(standing.begin),
        nextOffset: Offset.offsetUnsafe(read.nextOffset),
        delivery
      }
      standing.begin = read.nextOffset
      this.#handed.set(batch, { standing, epoch })
      batches.push(batch)
    }
    return batches
  }

  release(batch: Driver.FetchedBatch): void {
    const handed = this.#handed.get(batch)
    if (handed === undefined) return
    this.#handed.delete(batch)
    if (this.#current(handed)) {
      handed.standing.out--
      this.#out--
    }
  }

  /** False when the partition is not assigned. */
  seek(tp: TopicPartition.TopicPartition, offset: bigint): boolean {
    const standing = this.#standings.get(TopicPartition.format(tp))
    if (standing === undefined) return false
    this.#out -= standing.out
    if (standing.ready !== undefined) this.#buffered -= standing.ready.bytes
    standing.position = offset
    standing.begin = offset
    standing.epoch++
    standing.out = 0
    standing.ready = undefined
    standing.claim = undefined
    return true
  }
}
