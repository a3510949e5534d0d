/**
 * What one partition remembers of each producer id: the epoch, the last five batches (KIP-98, KIP-360), the first offset of an open
 * transaction, and the epoch of the coordinator that wrote the last marker. The rules are those of a partition leader; whether a
 * transaction exists at its coordinator is asked before (KIP-890), not here.
 */
import * as Code from "../errorCodes.ts"
import { type BatchHead, isTransactional, lastSequence, NO_SEQUENCE, sequenceAfter } from "./BatchHead.ts"

/** How many batches of a producer are remembered to recognise one that is sent again. */
const WINDOW = 5

interface RememberedBatch {
  readonly firstSequence: number
  readonly lastSequence: number
  readonly baseOffset: number
  readonly timestamp: number
}

export interface ProducerEntry {
  readonly producerId: number
  epoch: number
  /** Of the coordinator that wrote the last marker; -1 before the first one. */
  coordinatorEpoch: number
  lastTimestamp: number
  /** The first offset of the open transaction; -1 when there is none. */
  transactionStart: number
  readonly window: Array<RememberedBatch>
}

/**
 * What a leader remembers of a producer that it asked the coordinator about, until the transaction's first batch is in the log: no batch
 * with a higher sequence than the lowest one asked about may come first (KIP-890).
 */
interface Admission {
  epoch: number
  lowestSequence: number
  /** Of transactions whose epoch moves on with each of them: they begin with sequence 0, also for a producer of which nothing is known. */
  readonly fromZero: boolean
}

/** An error, or the offset of a batch that is already in the log, or neither: the batch may be appended. */
export interface Verdict {
  readonly error: number
  readonly duplicateOf: number
}

const ACCEPT: Verdict = { error: Code.NONE, duplicateOf: -1 }
const refuse = (error: number): Verdict => ({ error, duplicateOf: -1 })

export class ProducerStates {
  private readonly entries = new Map<number, ProducerEntry>()
  /** Open transactions in the order of their first offsets, since a producer enters it with the highest offset so far. */
  private readonly open = new Map<number, ProducerEntry>()
  private readonly admissions = new Map<number, Admission>()

  get(producerId: number): ProducerEntry | undefined {
    return this.entries.get(producerId)
  }

  values(): Iterable<ProducerEntry> {
    return this.entries.values()
  }

  get size(): number {
    return this.entries.size
  }

  /** The first offset of the earliest open transaction; -1 when none is open. */
  get firstOpenOffset(): number {
    for (const entry of this.open.values()) return entry.transactionStart
    return -1
  }

  openTransactions(): Iterable<ProducerEntry> {
    return this.open.values()
  }

  /** True while a transaction of exactly this producer and epoch is open here: then its next batch needs no verification. */
  hasOpenTransaction(producerId: number, epoch: number): boolean {
    const entry = this.open.get(producerId)
    return entry !== undefined && entry.epoch === epoch
  }

  /** Whether this log has seen a later epoch of the producer. Then its coordinator need not be asked. */
  isFenced(producerId: number, epoch: number): boolean {
    const entry = this.entries.get(producerId)
    return entry !== undefined && epoch < entry.epoch
  }

  /** The coordinator is asked about a batch of a transaction that is not open here. */
  admit(head: BatchHead, fromZero: boolean): void {
    const { baseSequence, producerEpoch: epoch, producerId } = head
    const known = this.admissions.get(producerId)
    if (known === undefined) this.admissions.set(producerId, { epoch, lowestSequence: baseSequence, fromZero })
    else if (epoch > known.epoch || (epoch === known.epoch && baseSequence < known.lowestSequence)) {
      known.epoch = epoch
      known.lowestSequence = baseSequence
    }
  }

  /**
   * Judges a client's batch that carries a producer id. A producer of which nothing is known may begin with any sequence, as its state may
   * have expired.
   */
  check(head: BatchHead): Verdict {
    const entry = this.entries.get(head.producerId)
    if (entry !== undefined && head.producerEpoch < entry.epoch) return refuse(Code.INVALID_PRODUCER_EPOCH)
    if (entry !== undefined && head.producerEpoch === entry.epoch) {
      const last = lastSequence(head)
      for (const batch of entry.window) {
        if (batch.firstSequence === head.baseSequence && batch.lastSequence === last) {
          return { error: Code.NONE, duplicateOf: batch.baseOffset }
        }
      }
    }
    const admission = this.admissions.get(head.producerId)
    if (admission !== undefined) {
      const unknown = entry === undefined || entry.window.length === 0
      if (admission.fromZero && unknown && head.baseSequence !== 0) return refuse(Code.OUT_OF_ORDER_SEQUENCE_NUMBER)
      if (head.baseSequence > admission.lowestSequence) return refuse(Code.OUT_OF_ORDER_SEQUENCE_NUMBER)
    }
    if (entry === undefined) return ACCEPT
    const expected = head.producerEpoch === entry.epoch ? this.nextSequence(entry) : 0
    if (head.baseSequence !== expected) return refuse(Code.OUT_OF_ORDER_SEQUENCE_NUMBER)
    if (entry.transactionStart >= 0 && !isTransactional(head)) return refuse(Code.INVALID_TXN_STATE)
    return ACCEPT
  }

  private nextSequence(entry: ProducerEntry): number {
    const last = entry.window.at(-1)
    return last === undefined ? 0 : sequenceAfter(last.lastSequence, 1)
  }

  /** Remembers a batch that was appended at `baseOffset`. */
  appended(head: BatchHead, baseOffset: number): void {
    const entry = this.entryAt(head.producerId, head.producerEpoch)
    if (entry.window.length === WINDOW) entry.window.shift()
    entry.window.push({
      firstSequence: head.baseSequence,
      lastSequence: lastSequence(head),
      baseOffset,
      timestamp: head.maxTimestamp
    })
    entry.lastTimestamp = head.maxTimestamp
    if (isTransactional(head)) this.begin(entry, baseOffset)
  }

  /** The same for a log whose contents are not batches of a client: the offsets topic, which has no sequences. */
  appendedUnsequenced(producerId: number, epoch: number, baseOffset: number, now: number): void {
    const entry = this.entryAt(producerId, epoch)
    entry.lastTimestamp = now
    this.begin(entry, baseOffset)
  }

  private begin(entry: ProducerEntry, offset: number): void {
    if (entry.transactionStart >= 0) return
    entry.transactionStart = offset
    this.admissions.delete(entry.producerId)
    this.open.set(entry.producerId, entry)
  }

  private entryAt(producerId: number, epoch: number): ProducerEntry {
    const known = this.entries.get(producerId)
    if (known === undefined) {
      const created: ProducerEntry = {
        producerId,
        epoch,
        coordinatorEpoch: -1,
        lastTimestamp: -1,
        transactionStart: -1,
        window: []
      }
      this.entries.set(producerId, created)
      return created
    }
    if (known.epoch !== epoch) {
      known.epoch = epoch
      known.window.length = 0
    }
    return known
  }

  /** Judges a marker: a coordinator or a producer epoch older than one seen is refused. */
  checkMarker(producerId: number, epoch: number, coordinatorEpoch: number): number {
    const entry = this.entries.get(producerId)
    if (entry === undefined) return Code.NONE
    if (epoch < entry.epoch) return Code.INVALID_PRODUCER_EPOCH
    return coordinatorEpoch < entry.coordinatorEpoch ? Code.TRANSACTION_COORDINATOR_FENCED : Code.NONE
  }

  /** Ends the open transaction; answers its first offset, -1 when none was open. */
  ended(producerId: number, epoch: number, coordinatorEpoch: number, now: number): number {
    const entry = this.entryAt(producerId, epoch)
    const start = entry.transactionStart
    entry.transactionStart = -1
    entry.coordinatorEpoch = coordinatorEpoch
    entry.lastTimestamp = now
    this.open.delete(producerId)
    return start
  }

  /** Forgets producers that wrote nothing since `before` (`producer.id.expiration.ms`), unless a transaction of theirs is open. */
  expire(before: number): void {
    this.admissions.clear()
    for (const entry of this.entries.values()) {
      if (entry.transactionStart < 0 && entry.lastTimestamp < before) this.entries.delete(entry.producerId)
    }
  }

  /** The last sequence number of a producer; -1 when unknown. */
  static lastSequenceOf(entry: ProducerEntry): number {
    return entry.window.at(-1)?.lastSequence ?? NO_SEQUENCE
  }

  snapshot(): Array<ProducerEntry> {
    return Array.from(this.entries.values(), (entry) => ({ ...entry, window: [...entry.window] }))
  }

  static restore(entries: ReadonlyArray<ProducerEntry>): ProducerStates {
    const states = new ProducerStates()
    for (const entry of entries) states.entries.set(entry.producerId, { ...entry, window: [...entry.window] })
    const open = [...states.entries.values()].filter((entry) => entry.transactionStart >= 0)
    open.sort((a, b) => a.transactionStart - b.transactionStart)
    for (const entry of open) states.open.set(entry.producerId, entry)
    return states
  }
}
