/**
 * Record batches (magic 2), written and read by the suite itself: an instrument that shares this code with the client
 * under test would share its mistakes.
 */
import * as Zlib from "node:zlib"

export interface RawRecord {
  readonly offset: bigint
  readonly timestamp: bigint
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: ReadonlyArray<readonly [string, Uint8Array | null]>
}

/** A batch's head, and its records where it is not a control batch. */
export interface RawBatch {
  readonly baseOffset: bigint
  readonly lastOffset: bigint
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly transactional: boolean
  /** For a control batch, what it decides. */
  readonly marker: "commit" | "abort" | undefined
  readonly records: ReadonlyArray<RawRecord>
}

/** What is written into a batch. */
export interface NewRecord {
  readonly key?: Uint8Array | null
  readonly value?: Uint8Array | null
  readonly headers?: ReadonlyArray<readonly [string, Uint8Array | null]>
  readonly timestamp?: bigint
}

export interface BatchOptions {
  readonly producerId?: bigint
  readonly producerEpoch?: number
  readonly baseSequence?: number
  readonly transactional?: boolean
  /** Milliseconds since the epoch, for records without a timestamp. */
  readonly now: bigint
}

const castagnoli = new Uint32Array(256).map((_, index) => {
  let value = index
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1
  return value
})

const crc32c = (bytes: Uint8Array): number => {
  let crc = 0xffffffff
  for (const byte of bytes) crc = (castagnoli[(crc ^ byte) & 255] ?? 0) ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

const utf8 = new TextEncoder()
const text = new TextDecoder()

const writeVarint = (out: Array<number>, value: bigint | number): void => {
  const wide = BigInt(value)
  let rest = BigInt.asUintN(64, (wide << 1n) ^ (wide >> 63n))
  while (rest > 127n) {
    out.push(Number(rest & 127n) | 128)
    rest >>= 7n
  }
  out.push(Number(rest))
}

const writeBytes = (out: Array<number>, bytes: Uint8Array | null | undefined): void => {
  if (bytes === null || bytes === undefined) {
    writeVarint(out, -1)
    return
  }
  writeVarint(out, bytes.length)
  for (const byte of bytes) out.push(byte)
}

/** One uncompressed batch. */
export const encodeBatch = (records: ReadonlyArray<NewRecord>, options: BatchOptions): Uint8Array => {
  const timestamps = records.map((record) => record.timestamp ?? options.now)
  const base = timestamps[0] ?? options.now
  const body: Array<number> = []
  records.forEach((record, index) => {
    const one: Array<number> = [0]
    writeVarint(one, (timestamps[index] ?? base) - base)
    writeVarint(one, index)
    writeBytes(one, record.key)
    writeBytes(one, record.value)
    writeVarint(one, record.headers?.length ?? 0)
    for (const [name, value] of record.headers ?? []) {
      writeBytes(one, utf8.encode(name))
      writeBytes(one, value)
    }
    writeVarint(body, one.length)
    for (const byte of one) body.push(byte)
  })
  const batch = new Uint8Array(61 + body.length)
  const view = new DataView(batch.buffer)
  view.setInt32(8, 49 + body.length)
  view.setInt32(12, -1)
  view.setInt8(16, 2)
  view.setInt16(21, options.transactional === true ? 16 : 0)
  view.setInt32(23, records.length - 1)
  view.setBigInt64(27, base)
  view.setBigInt64(35, timestamps.reduce((max, at) => at > max ? at : max, base))
  view.setBigInt64(43, options.producerId ?? -1n)
  view.setInt16(51, options.producerEpoch ?? -1)
  view.setInt32(53, options.baseSequence ?? -1)
  view.setInt32(57, records.length)
  batch.set(body, 61)
  view.setUint32(17, crc32c(batch.subarray(21)))
  return batch
}

class Cursor {
  at = 0
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  varint(): bigint {
    let value = 0n
    for (let shift = 0n;; shift += 7n) {
      const byte = this.bytes[this.at++]
      if (byte === undefined) throw new RangeError("a record is cut off")
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return (value >> 1n) ^ -(value & 1n)
    }
  }

  blob(): Uint8Array | null {
    const length = Number(this.varint())
    if (length < 0) return null
    const blob = this.bytes.subarray(this.at, this.at + length)
    this.at += length
    return blob
  }
}

const decompress = (codec: number, bytes: Uint8Array): Uint8Array => {
  if (codec === 0) return bytes
  if (codec === 1) return Zlib.gunzipSync(bytes)
  if (codec === 4) return Zlib.zstdDecompressSync(bytes)
  throw new TypeError(`records compressed with codec ${codec} cannot be read here`)
}

const decodeRecords = (bytes: Uint8Array, count: number, baseOffset: bigint, baseTimestamp: bigint) => {
  const cursor = new Cursor(bytes)
  const records: Array<RawRecord> = []
  for (let i = 0; i < count; i++) {
    cursor.varint()
    cursor.at++
    const timestamp = baseTimestamp + cursor.varint()
    const offset = baseOffset + cursor.varint()
    const key = cursor.blob()
    const value = cursor.blob()
    const headers: Array<readonly [string, Uint8Array | null]> = []
    for (let left = Number(cursor.varint()); left > 0; left--) {
      headers.push([text.decode(cursor.blob() ?? new Uint8Array(0)), cursor.blob()])
    }
    records.push({ offset, timestamp, key, value, headers })
  }
  return records
}

/** The whole batches in a fetched byte range; a batch that is cut off at its end is left out. Throws on a wrong CRC. */
export const decodeBatches = (bytes: Uint8Array): ReadonlyArray<RawBatch> => {
  const batches: Array<RawBatch> = []
  let at = 0
  while (at + 61 <= bytes.length) {
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, bytes.length - at)
    const size = 12 + view.getInt32(8)
    if (at + size > bytes.length) break
    const batch = bytes.subarray(at, at + size)
    if (crc32c(batch.subarray(21)) !== view.getUint32(17)) throw new RangeError(`a batch at byte ${at} has a wrong CRC`)
    const attributes = view.getInt16(21)
    const baseOffset = view.getBigInt64(0)
    const records = decodeRecords(
      decompress(attributes & 7, batch.subarray(61)),
      view.getInt32(57),
      baseOffset,
      view.getBigInt64(27)
    )
    const control = (attributes & 32) !== 0
    batches.push({
      baseOffset,
      lastOffset: baseOffset + BigInt(view.getInt32(23)),
      producerId: view.getBigInt64(43),
      producerEpoch: view.getInt16(51),
      baseSequence: view.getInt32(53),
      transactional: (attributes & 16) !== 0,
      // A marker's key is a version and a type, both int16.
      marker: control ? (records[0]?.key?.[3] === 1 ? "commit" : "abort") : undefined,
      records: control ? [] : records
    })
    at += size
  }
  return batches
}

/** An aborted transaction as Fetch lists it. */
export interface Aborted {
  readonly producerId: bigint
  readonly firstOffset: bigint
}

/**
 * The data of committed transactions and of none. An aborted transaction reaches from its first offset to its
 * producer's next abort marker; Fetch may list several of one producer, in any order.
 */
export const committedOnly = (
  batches: ReadonlyArray<RawBatch>,
  aborted: ReadonlyArray<Aborted>
): ReadonlyArray<RawBatch> => {
  const upcoming = aborted.toSorted((a, b) => a.firstOffset < b.firstOffset ? -1 : 1)
  const open = new Set<bigint>()
  const kept: Array<RawBatch> = []
  for (const batch of batches) {
    while (upcoming[0] !== undefined && upcoming[0].firstOffset <= batch.lastOffset) {
      open.add(upcoming[0].producerId)
      upcoming.shift()
    }
    if (batch.marker === "abort") open.delete(batch.producerId)
    if (batch.marker === undefined && !(batch.transactional && open.has(batch.producerId))) kept.push(batch)
  }
  return kept
}
