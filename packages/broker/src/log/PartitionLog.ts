/**
 * The log of one partition. Batches are stored as the client sent them: only the base offset and the leader epoch are written anew, and
 * neither is under the CRC. There is one replica, so the high watermark is the end of the log.
 */
import * as Code from "../errorCodes.ts"
import { AbortedIndex, type AbortedTransaction } from "./AbortedIndex.ts"
import * as BatchHead from "./BatchHead.ts"
import { encodeMarker } from "./marker.ts"
import { type ProducerEntry, ProducerStates } from "./ProducerStates.ts"
import { Segment } from "./Segment.ts"

/** Segments double from here, so that a thousand empty brokers cost nothing and a large log has few segments. */
const FIRST_SEGMENT = 8 * 1024
const LARGEST_SEGMENT = 4 * 1024 * 1024

/** What became of a batch: an error, or where it lies; a batch that was there already has the offset it got then. */
export interface Appended {
  readonly error: number
  readonly baseOffset: number
}

/** A run of batches, the last of which may be cut off. */
export interface Extent {
  readonly bytes: Uint8Array
  /** One past the last offset of its last batch; the offset asked for when it is empty. */
  readonly nextOffset: number
}

export interface Marker {
  readonly producerId: number
  readonly producerEpoch: number
  readonly coordinatorEpoch: number
  readonly commit: boolean
}

export interface LogSnapshot {
  readonly startOffset: number
  readonly endOffset: number
  readonly batches: ReadonlyArray<Uint8Array>
  readonly producers: ReadonlyArray<ProducerEntry>
  readonly aborted: ReadonlyArray<AbortedTransaction>
  readonly epochs: ReadonlyArray<readonly [epoch: number, startOffset: number]>
}

const NOTHING = new Uint8Array(0)

export class PartitionLog {
  startOffset = 0
  endOffset = 0
  producers = new ProducerStates()
  private aborted = new AbortedIndex()
  private segments: Array<Segment> = []
  private bytesHeld = 0
  /** The leader epochs that wrote here, each with its first offset (KIP-101). */
  private epochs: Array<readonly [epoch: number, startOffset: number]> = []

  get highWatermark(): number {
    return this.endOffset
  }

  /** Up to here every transaction is decided: what a read_committed consumer may see. */
  get lastStableOffset(): number {
    const open = this.producers.firstOpenOffset
    return open < 0 ? this.endOffset : Math.max(open, this.startOffset)
  }

  get sizeInBytes(): number {
    return this.bytesHeld
  }

  /** Appends one client batch whose form was already checked. */
  append(head: BatchHead.BatchHead, batch: Uint8Array, leaderEpoch: number): Appended {
    if (head.producerId >= 0) {
      const verdict = this.producers.check(head)
      if (verdict.error !== Code.NONE) return { error: verdict.error, baseOffset: -1 }
      if (verdict.duplicateOf >= 0) return { error: Code.NONE, baseOffset: verdict.duplicateOf }
    }
    const baseOffset = this.endOffset
    this.store(batch, head.lastOffsetDelta + 1, head.maxTimestamp, leaderEpoch)
    if (head.producerId >= 0) this.producers.appended(head, baseOffset)
    return { error: Code.NONE, baseOffset }
  }

  /**
   * Takes one offset for something that is not kept as bytes: a group's offset commit. To a reader of the log it looks as if compaction
   * had removed it. With a producer id it opens a transaction as a data batch would.
   */
  appendUnread(producer: { readonly id: number; readonly epoch: number } | undefined, now: number): Appended {
    if (producer !== undefined && this.producers.isFenced(producer.id, producer.epoch)) {
      return { error: Code.INVALID_PRODUCER_EPOCH, baseOffset: -1 }
    }
    const baseOffset = this.endOffset++
    if (producer !== undefined) this.producers.appendedUnsequenced(producer.id, producer.epoch, baseOffset, now)
    return { error: Code.NONE, baseOffset }
  }

  /** Writes a commit or abort marker, and with it moves the last stable offset: one step, as readers may be waiting for it. */
  appendMarker(marker: Marker, leaderEpoch: number, now: number): number {
    const error = this.producers.checkMarker(marker.producerId, marker.producerEpoch, marker.coordinatorEpoch)
    if (error !== Code.NONE) return error
    const offset = this.endOffset
    this.store(encodeMarker(marker, now), 1, now, leaderEpoch)
    const firstOffset = this.producers.ended(marker.producerId, marker.producerEpoch, marker.coordinatorEpoch, now)
    if (firstOffset >= 0 && !marker.commit) {
      const { lastStableOffset } = this
      this.aborted.append({ producerId: marker.producerId, firstOffset, lastOffset: offset, lastStableOffset })
    }
    return Code.NONE
  }

  private store(batch: Uint8Array, count: number, maxTimestamp: number, leaderEpoch: number): void {
    let segment = this.segments.at(-1)
    if (segment === undefined || segment.room < batch.length) {
      const capacity = segment === undefined ? FIRST_SEGMENT : Math.min(segment.bytes.length * 2, LARGEST_SEGMENT)
      segment = new Segment(Math.max(capacity, batch.length))
      this.segments.push(segment)
    }
    if (this.epochs.length === 0 || this.epochs.at(-1)![0] < leaderEpoch) {
      this.epochs.push([leaderEpoch, this.endOffset])
    }
    segment.append(batch, this.endOffset, count, leaderEpoch, maxTimestamp)
    this.bytesHeld += batch.length
    this.endOffset += count
  }

  /**
   * Bytes from the batch that holds `from` on, of batches that end at or before `upTo`: at most `maxBytes`, which may cut the last batch
   * off, as Kafka does. The first batch is given whole or not at all: whole, whatever its size, with `atLeastOne`. At most one segment's
   * worth at a time, again as Kafka does, so that it is always one view.
   */
  read(from: number, upTo: number, maxBytes: number, atLeastOne: boolean): Extent {
    const nothing = { bytes: NOTHING, nextOffset: from }
    const segment = this.segmentFor(from)
    if (segment === undefined) return nothing
    const first = segment.indexAfter(from)
    const last = segment.indexThrough(upTo)
    if (last <= first) return nothing
    const start = segment.position(first)
    const whole = segment.position(first + 1) - start
    if (maxBytes < whole && !atLeastOne) return nothing
    const end = Math.min(segment.position(last), start + Math.max(maxBytes, whole))
    return { bytes: segment.bytes.subarray(start, end), nextOffset: segment.ends[segment.indexAt(end - 1)]! }
  }

  /** How many bytes a reader at `from` could get up to `upTo`. Counting stops at `enough`. */
  available(from: number, upTo: number, enough: number): number {
    let bytes = 0
    for (let i = this.segmentIndex(from); i < this.segments.length; i++) {
      const segment = this.segments[i]!
      const first = segment.indexAfter(from)
      const last = segment.indexThrough(upTo)
      if (last > first) bytes += segment.position(last) - segment.position(first)
      if (bytes >= enough || segment.endOffset >= upTo) break
    }
    return bytes
  }

  /** The index of the first segment that ends after `offset`. */
  private segmentIndex(offset: number): number {
    let low = 0
    let high = this.segments.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.segments[middle]!.endOffset <= offset) low = middle + 1
      else high = middle
    }
    return low
  }

  private segmentFor(offset: number): Segment | undefined {
    return this.segments[this.segmentIndex(offset)]
  }

  abortedBetween(from: number, upTo: number): Array<AbortedTransaction> {
    return this.aborted.between(from, upTo)
  }

  /** The first batch whose largest timestamp is not below `timestamp`. */
  batchAtTimestamp(timestamp: number): Uint8Array | undefined {
    for (const segment of this.segments) {
      const index = segment.maxTimestamps.findIndex((time, at) =>
        time >= timestamp && segment.ends[at]! > this.startOffset
      )
      if (index >= 0) return segment.batch(index)
    }
    return undefined
  }

  /** The batch that holds the largest timestamp of the log. */
  batchOfMaxTimestamp(): Uint8Array | undefined {
    let found: Uint8Array | undefined
    let largest = -1
    for (const segment of this.segments) {
      for (let i = 0; i < segment.maxTimestamps.length; i++) {
        if (segment.maxTimestamps[i]! > largest && segment.ends[i]! > this.startOffset) {
          largest = segment.maxTimestamps[i]!
          found = segment.batch(i)
        }
      }
    }
    return found
  }

  /** The largest leader epoch not above `epoch`, and where the next one starts (KIP-101, KIP-320). */
  endOffsetForEpoch(epoch: number, current: number): { readonly epoch: number; readonly endOffset: number } {
    if (epoch === current) return { epoch, endOffset: this.endOffset }
    if (epoch > current) return { epoch: -1, endOffset: -1 }
    const at = this.epochs.findLastIndex(([known]) => known <= epoch)
    if (at < 0) return { epoch: -1, endOffset: -1 }
    return { epoch: this.epochs[at]![0], endOffset: this.epochs[at + 1]?.[1] ?? this.endOffset }
  }

  /** The leader epoch that wrote `offset`; -1 when it is not known. */
  epochAt(offset: number): number {
    return this.epochs.findLast(([, start]) => start <= offset)?.[0] ?? -1
  }

  /** Every stored batch, as views, in order. */
  *batches(): Iterable<Uint8Array> {
    for (const segment of this.segments) {
      for (let i = 0; i < segment.positions.length; i++) {
        if (segment.ends[i]! > this.startOffset) yield segment.batch(i)
      }
    }
  }

  /** Moves the start of the log (DeleteRecords, retention); what lies wholly below is let go. */
  deleteBelow(offset: number): void {
    this.startOffset = Math.max(this.startOffset, Math.min(offset, this.endOffset))
    const keep = this.segments.findIndex((segment) => segment.endOffset > this.startOffset)
    const dropped = this.segments.splice(0, keep < 0 ? this.segments.length : keep)
    for (const segment of dropped) this.bytesHeld -= segment.size
    this.aborted.dropBelow(this.startOffset)
  }

  /** Lets go of the oldest segments while what remains is still at least `bytes` (`retention.bytes`). */
  retain(bytes: number): void {
    while (this.segments.length > 1 && this.bytesHeld - this.segments[0]!.size >= bytes) {
      this.deleteBelow(this.segments[1]!.firstOffset)
    }
  }

  /** Loses everything from `offset` on, as a leader does that never replicated it. Producer state is what the remaining batches say. */
  truncate(offset: number): void {
    const kept = [...this.batches()].filter((batch) => this.nextOffsetOf(batch) <= offset).map((batch) => batch.slice())
    const markers = this.aborted.snapshot().filter((entry) => entry.lastOffset < offset)
    const epochs = this.epochs.filter(([, start]) => start < offset)
    const coordinatorEpochs = new Map(
      [...this.producers.values()].map((entry) => [entry.producerId, entry.coordinatorEpoch])
    )
    const { startOffset } = this
    this.segments = []
    this.bytesHeld = 0
    this.endOffset = kept.length === 0 ? startOffset : 0
    this.producers = new ProducerStates()
    for (const batch of kept) {
      const head = BatchHead.read(BatchHead.viewOf(batch), 0)!
      this.endOffset = head.baseOffset
      this.store(batch, head.lastOffsetDelta + 1, head.maxTimestamp, head.leaderEpoch)
      if (head.producerId < 0) continue
      if (BatchHead.isControl(head)) {
        const epoch = coordinatorEpochs.get(head.producerId) ?? 0
        this.producers.ended(head.producerId, head.producerEpoch, epoch, head.maxTimestamp)
      } else this.producers.appended(head, head.baseOffset)
    }
    this.aborted = AbortedIndex.restore(markers)
    this.epochs = epochs
  }

  private nextOffsetOf(batch: Uint8Array): number {
    const head = BatchHead.read(BatchHead.viewOf(batch), 0)!
    return head.baseOffset + head.lastOffsetDelta + 1
  }

  snapshot(): LogSnapshot {
    return {
      startOffset: this.startOffset,
      endOffset: this.endOffset,
      batches: Array.from(this.batches(), (batch) => batch.slice()),
      producers: this.producers.snapshot(),
      aborted: this.aborted.snapshot(),
      epochs: [...this.epochs]
    }
  }

  static restore(snapshot: LogSnapshot): PartitionLog {
    const log = new PartitionLog()
    log.startOffset = snapshot.startOffset
    for (const batch of snapshot.batches) {
      const head = BatchHead.read(BatchHead.viewOf(batch), 0)!
      log.endOffset = head.baseOffset
      log.store(batch, head.lastOffsetDelta + 1, head.maxTimestamp, head.leaderEpoch)
    }
    log.endOffset = snapshot.endOffset
    log.producers = ProducerStates.restore(snapshot.producers)
    log.aborted = AbortedIndex.restore(snapshot.aborted)
    log.epochs = [...snapshot.epochs]
    return log
  }
}
