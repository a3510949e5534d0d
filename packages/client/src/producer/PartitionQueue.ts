/**
 * The records of one output partition on their way: the batch that grows, those that wait in order, those on the wire.
 */
import { advanceSequence, BatchBuilder, type BatchOptions, type RecordInput } from "@exactly-once/protocol"

/** The records of one call inside one batch: where its caller finds their offsets again. */
export interface Segment {
  readonly call: object
  /** Places in the list that the call was given. */
  readonly indices: Array<number>
}

export interface Batch {
  readonly partition: PartitionQueue
  /** Counts the partition's batches: the order in which they must be appended. */
  readonly ordinal: number
  readonly bytes: Uint8Array
  readonly builder: BatchBuilder
  readonly segments: ReadonlyArray<Segment>
  readonly deadline: number
  /** It went out once without an answer that says it had no effect. */
  uncertain: boolean
}

/** What every batch of a producer carries alike. */
export type Stamp = Pick<BatchOptions, "producerId" | "producerEpoch" | "isTransactional" | "compression" | "codecs">

/** Builders whose bytes nobody holds any more, so that a batch does not cost a new buffer. */
export class BuilderPool {
  private readonly free: Array<BatchBuilder> = []
  private readonly keep: number

  constructor(keep: number) {
    this.keep = keep
  }

  take(): BatchBuilder {
    return this.free.pop() ?? new BatchBuilder(16_384)
  }

  give(builder: BatchBuilder): void {
    if (this.free.length >= this.keep) return
    builder.reset()
    this.free.push(builder)
  }
}

export class PartitionQueue {
  readonly topic: string
  readonly topicId: string
  readonly index: number
  /** Batches that may go out, oldest first. */
  readonly ready: Array<Batch> = []
  /** On the wire. */
  flying = 0
  /** A batch came back unwritten: those behind it come back too, and one at a time goes out until one is written. */
  recovering = false
  /** Waits before it is tried again. */
  paused = false
  /** With transactions of version 1: known to the coordinator. */
  admitted: boolean
  private readonly pool: BuilderPool
  private builder: BatchBuilder | undefined
  private segments: Array<Segment> = []
  private ordinal = 0

  constructor(topic: string, topicId: string, index: number, pool: BuilderPool, admitted: boolean) {
    this.topic = topic
    this.topicId = topicId
    this.index = index
    this.pool = pool
    this.admitted = admitted
  }

  get key(): string {
    return `${this.topic}-${this.index}`
  }

  /** Bytes of the batch that grows. */
  get growing(): number {
    return this.builder?.sizeInBytes ?? 0
  }

  get isEmpty(): boolean {
    return this.builder === undefined && this.ready.length === 0 && this.flying === 0
  }

  /** The size of the growing batch with this record; 0 when no batch grows. */
  sizeWith(record: RecordInput): number {
    return this.builder?.sizeWith(record) ?? 0
  }

  append(record: RecordInput, call: object | undefined, index: number): void {
    this.builder ??= this.pool.take()
    this.builder.append(record)
    if (call === undefined) return
    const last = this.segments.at(-1)
    if (last?.call === call) last.indices.push(index)
    else this.segments.push({ call, indices: [index] })
  }

  /** Closes the growing batch and gives it its place in the producer's sequence. Answers the bytes sealed. */
  seal(stamp: Stamp, sequences: Map<string, number>, deadline: number): number {
    const { builder } = this
    if (builder === undefined) return 0
    const baseSequence = sequences.get(this.key) ?? 0
    sequences.set(this.key, advanceSequence(baseSequence, builder.count))
    const bytes = builder.finish({ ...stamp, baseSequence })
    this.ready.push({
      partition: this,
      ordinal: this.ordinal++,
      bytes,
      builder,
      segments: this.segments,
      deadline,
      uncertain: false
    })
    this.builder = undefined
    this.segments = []
    return bytes.length
  }

  /** Back among those that wait, in its old place. */
  requeue(batch: Batch): void {
    const at = this.ready.findIndex(({ ordinal }) => ordinal > batch.ordinal)
    if (at < 0) this.ready.push(batch)
    else this.ready.splice(at, 0, batch)
  }

  /** Drops what has not gone out. */
  clear(): void {
    this.builder = undefined
    this.segments = []
    this.ready.length = 0
  }
}
