/**
 * Record batches (magic 2) on their way out. One pass for the sizes, one that writes; no object per record.
 *
 * kafkajs's own encoder makes several objects per record, keeps headers in an object, so that repeated names lose their
 * order, and orders timestamps as text: it is not used.
 */
import { crc32c } from "@exactly-once/codecs"
import type { Driver } from "@exactly-once/core"
import type { Codec } from "./compression.ts"

/** Bytes of a batch before its records. */
export const batchHead = 61

/** The most a record's own fields can take besides key, value and headers. */
const recordOverhead = 5 + 1 + 10 + 5 + 5 + 5 + 5

const sizeOfVarint = (value: number): number => {
  const zigzag = (value << 1 ^ value >> 31) >>> 0
  return zigzag < 0x80 ? 1 : zigzag < 0x4000 ? 2 : zigzag < 0x200000 ? 3 : zigzag < 0x10000000 ? 4 : 5
}

/** A record's size in a batch, never too small: what batches are cut by. */
export const sizeBound = (record: Driver.EncodedRecord): number => {
  let size = recordOverhead + (record.key?.length ?? 0) + (record.value?.length ?? 0)
  if (record.headers !== undefined) {
    for (const [name, value] of record.headers) size += 10 + Buffer.byteLength(name) + (value?.length ?? 0)
  }
  return size
}

class Out {
  readonly bytes: Buffer
  at: number
  constructor(bytes: Buffer, at: number) {
    this.bytes = bytes
    this.at = at
  }
  varint(value: number): void {
    let rest = (value << 1 ^ value >> 31) >>> 0
    while (rest > 127) {
      this.bytes[this.at++] = rest & 127 | 128
      rest >>>= 7
    }
    this.bytes[this.at++] = rest
  }
  /** A difference of two timestamps: wider than 32 bits, within a double's 53. */
  varlong(value: number): void {
    let rest = value < 0 ? -2 * value - 1 : 2 * value
    while (rest > 127) {
      this.bytes[this.at++] = rest % 128 + 128
      rest = Math.floor(rest / 128)
    }
    this.bytes[this.at++] = rest
  }
  data(value: Uint8Array | null): void {
    if (value === null) return this.varint(-1)
    this.varint(value.length)
    this.bytes.set(value, this.at)
    this.at += value.length
  }
}

const sizeOfVarlong = (value: number): number => {
  let rest = value < 0 ? -2 * value - 1 : 2 * value
  let size = 1
  while (rest > 127) {
    size++
    rest = Math.floor(rest / 128)
  }
  return size
}

const sizeOfData = (value: Uint8Array | null): number => value === null ? 1 : sizeOfVarint(value.length) + value.length

const sizeOfBody = (record: Driver.EncodedRecord, timestampDelta: number, offsetDelta: number): number => {
  const headers = record.headers ?? []
  let size = 1 + sizeOfVarlong(timestampDelta) + sizeOfVarint(offsetDelta) + sizeOfData(record.key) +
    sizeOfData(record.value) + sizeOfVarint(headers.length)
  for (const [name, value] of headers) {
    const length = Buffer.byteLength(name)
    size += sizeOfVarint(length) + length + sizeOfData(value)
  }
  return size
}

export interface BatchOptions {
  readonly producerId: bigint
  readonly epoch: number
  readonly firstSequence: number
  readonly transactional: boolean
  /** For records without a timestamp. Milliseconds since the epoch. */
  readonly now: number
  readonly compression: { readonly id: number; readonly codec: Codec } | undefined
}

/** One batch of one partition, checksum included. `records` is not empty. */
export const writeBatch = (records: ReadonlyArray<Driver.EncodedRecord>, options: BatchOptions): Buffer => {
  const count = records.length
  const timestamps = new Float64Array(count)
  const bodies = new Int32Array(count)
  let max = 0
  let size = 0
  const base = records[0]?.timestamp === undefined ? options.now : Number(records[0].timestamp)
  for (let i = 0; i < count; i++) {
    const record = records[i] as Driver.EncodedRecord // i < count
    const timestamp = record.timestamp === undefined ? options.now : Number(record.timestamp)
    timestamps[i] = timestamp
    if (i === 0 || timestamp > max) max = timestamp
    const body = sizeOfBody(record, timestamp - base, i)
    bodies[i] = body
    size += sizeOfVarint(body) + body
  }
  const out = new Out(Buffer.allocUnsafe(batchHead + size), batchHead)
  for (let i = 0; i < count; i++) {
    const record = records[i] as Driver.EncodedRecord // i < count
    const delta = (timestamps[i] ?? base) - base
    out.varint(bodies[i] ?? 0)
    out.bytes[out.at++] = 0
    out.varlong(delta)
    out.varint(i)
    out.data(record.key)
    out.data(record.value)
    const headers = record.headers ?? []
    out.varint(headers.length)
    for (const [name, value] of headers) {
      const length = Buffer.byteLength(name)
      out.varint(length)
      out.at += out.bytes.write(name, out.at, "utf8")
      out.data(value)
    }
  }
  let { bytes } = out
  if (options.compression !== undefined) {
    const packed = options.compression.codec.compress(bytes.subarray(batchHead))
    const whole = Buffer.allocUnsafe(batchHead + packed.length)
    whole.set(packed, batchHead)
    bytes = whole
  }
  bytes.writeBigInt64BE(0n, 0)
  bytes.writeInt32BE(bytes.length - 12, 8)
  bytes.writeInt32BE(-1, 12)
  bytes.writeInt8(2, 16)
  bytes.writeInt16BE((options.compression?.id ?? 0) | (options.transactional ? 0x10 : 0), 21)
  bytes.writeInt32BE(count - 1, 23)
  bytes.writeBigInt64BE(BigInt(base), 27)
  bytes.writeBigInt64BE(BigInt(max), 35)
  bytes.writeBigInt64BE(options.producerId, 43)
  bytes.writeInt16BE(options.epoch, 51)
  bytes.writeInt32BE(options.firstSequence, 53)
  bytes.writeInt32BE(count, 57)
  bytes.writeUInt32BE(crc32c(bytes.subarray(21)), 17)
  return bytes
}

/** The sequence after `count` more records: 31 bits, around to zero. */
export const nextSequence = (sequence: number, count: number): number => (sequence + count) % 0x80000000
