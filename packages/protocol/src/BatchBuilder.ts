import * as Codecs from "./Codecs.ts"
import { UnencodableValue } from "./errors.ts"
import { CONTROL_BIT, CRC_START, HEAD_SIZE, LENGTH_OVERHEAD, TRANSACTIONAL_BIT } from "./RecordBatch.ts"
import type { RecordHeader } from "./RecordView.ts"
import { encodeUtf8, utf8Length } from "./utf8.ts"
import { varintSize, varlongSize, writeVarint, writeVarlong } from "./varint.ts"

export interface RecordInput {
  readonly key?: Uint8Array | null | undefined
  readonly value?: Uint8Array | null | undefined
  readonly headers?: ReadonlyArray<RecordHeader> | undefined
  /** Milliseconds since 1970. A `bigint` is needed only beyond 2^53. */
  readonly timestamp: number | bigint
}

export interface BatchOptions {
  readonly baseOffset?: bigint | undefined
  readonly partitionLeaderEpoch?: number | undefined
  readonly producerId?: bigint | undefined
  readonly producerEpoch?: number | undefined
  readonly baseSequence?: number | undefined
  readonly isTransactional?: boolean | undefined
  readonly isControl?: boolean | undefined
  /** One of the constants of `Codecs`. */
  readonly compression?: number | undefined
  readonly codecs?: Codecs.Codecs | undefined
}

const MAX_OFFSET_DELTA = 0x7fff_ffff

/**
 * Writes records straight into the batch that will be sent, one pass, one growing buffer. Ask `sizeWith` before `append` to stay
 * below a limit; what `finish` answers is a view of that buffer (unless compressed), so call `reset` only when nobody holds it.
 */
export class BatchBuilder {
  private buffer: Uint8Array
  private offset = HEAD_SIZE
  private records = 0
  private baseTimestamp: number | bigint = 0
  private maxTimestamp: number | bigint = 0
  // What `measure` found for the record at hand, so that `append` need not compute it again.
  private delta: number | bigint = 0
  private bodySize = 0

  constructor(capacity = 4096) {
    this.buffer = new Uint8Array(Math.max(capacity, HEAD_SIZE))
  }

  /** The number of records so far. */
  get count(): number {
    return this.records
  }

  /** The size of the batch so far, before compression. */
  get sizeInBytes(): number {
    return this.offset
  }

  /** The size the batch would have with this record, before compression. */
  sizeWith(record: RecordInput): number {
    this.measure(record)
    return this.offset + varintSize(this.bodySize) + this.bodySize
  }

  append(record: RecordInput): void {
    this.measure(record)
    const size = this.bodySize
    const delta = this.delta
    const needed = this.offset + 5 + size
    if (needed > this.buffer.length) this.grow(needed)
    const bytes = this.buffer
    let at = writeVarint(bytes, this.offset, size)
    bytes[at++] = 0
    at = typeof delta === "number" ? writeVarint(bytes, at, delta) : writeVarlong(bytes, at, delta)
    at = writeVarint(bytes, at, this.records)
    at = writeBytes(bytes, at, record.key)
    at = writeBytes(bytes, at, record.value)
    const headers = record.headers
    if (headers === undefined) bytes[at++] = 0
    else {
      at = writeVarint(bytes, at, headers.length)
      for (const header of headers) {
        at = writeVarint(bytes, at, utf8Length(header.key))
        at = encodeUtf8(header.key, bytes, at)
        at = writeBytes(bytes, at, header.value)
      }
    }
    if (this.records === 0) {
      this.baseTimestamp = record.timestamp
      this.maxTimestamp = record.timestamp
    } else if (record.timestamp > this.maxTimestamp) this.maxTimestamp = record.timestamp
    this.offset = at
    this.records++
  }

  /** The batch with its head and CRC. Compressed batches are a copy; plain ones a view that later appends may move away from. */
  finish(options: BatchOptions = {}): Uint8Array {
    const codecs = options.codecs ?? Codecs.plain
    const compression = options.compression ?? Codecs.NONE
    let batch = this.buffer.subarray(0, this.offset)
    if (compression !== Codecs.NONE) {
      const body = codecs.compression(compression).compress(batch.subarray(HEAD_SIZE))
      batch = new Uint8Array(HEAD_SIZE + body.length)
      batch.set(body, HEAD_SIZE)
    }
    const view = new DataView(batch.buffer, batch.byteOffset, batch.length)
    view.setBigInt64(0, options.baseOffset ?? 0n)
    view.setInt32(8, batch.length - LENGTH_OVERHEAD)
    view.setInt32(12, options.partitionLeaderEpoch ?? -1)
    view.setInt8(16, 2)
    view.setInt16(
      CRC_START,
      compression | (options.isTransactional === true ? TRANSACTIONAL_BIT : 0) |
        (options.isControl === true ? CONTROL_BIT : 0)
    )
    view.setInt32(23, this.records - 1)
    view.setBigInt64(27, BigInt(this.baseTimestamp))
    view.setBigInt64(35, BigInt(this.maxTimestamp))
    view.setBigInt64(43, options.producerId ?? -1n)
    view.setInt16(51, options.producerEpoch ?? -1)
    view.setInt32(53, options.baseSequence ?? -1)
    view.setInt32(57, this.records)
    view.setUint32(17, codecs.crc32c(batch.subarray(CRC_START)))
    return batch
  }

  /** Starts the next batch in the same memory. */
  reset(): void {
    this.offset = HEAD_SIZE
    this.records = 0
  }

  private measure(record: RecordInput): void {
    if (this.records === MAX_OFFSET_DELTA) throw new UnencodableValue("records", "a batch holds at most 2^31 - 1")
    const delta = this.records === 0 ? checkedBase(record.timestamp) : difference(record.timestamp, this.baseTimestamp)
    let size = 1 + (typeof delta === "number" ? varintSize(delta) : varlongSize(delta)) + varintSize(this.records)
    size += sizeOf(record.key) + sizeOf(record.value)
    const headers = record.headers
    if (headers === undefined) size++
    else {
      size += varintSize(headers.length)
      for (const header of headers) {
        const key = utf8Length(header.key)
        size += varintSize(key) + key + sizeOf(header.value)
      }
    }
    this.delta = delta
    this.bodySize = size
  }

  private grow(needed: number): void {
    const next = new Uint8Array(Math.max(2 * this.buffer.length, needed))
    next.set(this.buffer.subarray(0, this.offset))
    this.buffer = next
  }
}

const sizeOf = (bytes: Uint8Array | null | undefined): number =>
  bytes === null || bytes === undefined ? 1 : varintSize(bytes.length) + bytes.length

// Below this a loop beats the call that copies.
const SHORT = 48

const writeBytes = (into: Uint8Array, start: number, bytes: Uint8Array | null | undefined): number => {
  if (bytes === null || bytes === undefined) {
    into[start] = 1
    return start + 1
  }
  const at = writeVarint(into, start, bytes.length)
  if (bytes.length < SHORT) { for (let i = 0; i < bytes.length; i++) into[at + i] = bytes[i]! }
  else into.set(bytes, at)
  return at + bytes.length
}

const checkedBase = (timestamp: number | bigint): number => {
  if (typeof timestamp === "number" && !Number.isSafeInteger(timestamp)) {
    throw new UnencodableValue("timestamp", `${timestamp} is not a whole number of milliseconds`)
  }
  return 0
}

/** A timestamp less the first one: a number when it fits 32 bits, else a `bigint` that wraps at 64 as Kafka's own does. */
const difference = (timestamp: number | bigint, base: number | bigint): number | bigint => {
  if (typeof timestamp === "number" && typeof base === "number") {
    const delta = timestamp - base
    if ((delta | 0) === delta) return delta
    checkedBase(timestamp)
  }
  return BigInt.asIntN(64, BigInt(timestamp) - BigInt(base))
}
