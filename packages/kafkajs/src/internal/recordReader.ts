/**
 * Record batches (magic 2) on their way in: checksum, decompression, the abort filter and the conversion to `core`'s
 * records in one pass.
 *
 * kafkajs's own decoder skips checksums, spreads a batch's records as arguments (a batch of some hundred thousand small
 * records overflows the stack), forgets batches that compaction has emptied (the position then never passes them) and
 * keeps headers in an object, which loses the order of repeated names: it is not used.
 */
import { crc32c } from "@exactly-once/codecs"
import { type Driver, Offset } from "@exactly-once/core"
import { type AbortedTransaction, makeAbortFilter } from "./abortFilter.ts"
import { maxDecompressedSize, type Registry } from "./compression.ts"
import { batchHead } from "./recordWriter.ts"

/** Bytes that are not what they should be. */
export interface Unreadable {
  readonly failure: "CorruptRecord" | "Misconfigured"
  readonly setting?: string
  readonly offset: bigint
  readonly description: string
}

export interface Read {
  readonly records: ReadonlyArray<Driver.FetchedRecord>
  /** Past the last whole batch, control batches and emptied ones included; the fetch offset when there was none. */
  readonly nextOffset: bigint
}

class In {
  readonly bytes: Buffer
  at: number
  constructor(bytes: Buffer, at: number) {
    this.bytes = bytes
    this.at = at
  }
  varint(): number {
    let value = 0
    let shift = 0
    for (;;) {
      const byte = this.bytes[this.at++]
      if (byte === undefined || shift > 28) throw new RangeError("a varint runs past the end of its batch")
      value |= (byte & 127) << shift
      if (byte < 128) return value >>> 1 ^ -(value & 1)
      shift += 7
    }
  }
  varlong(): number {
    let value = 0
    let factor = 1
    for (;;) {
      const byte = this.bytes[this.at++]
      if (byte === undefined || factor > 2 ** 63) throw new RangeError("a varint runs past the end of its batch")
      value += (byte & 127) * factor
      if (byte < 128) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
      factor *= 128
    }
  }
  data(): Buffer | null {
    const length = this.varint()
    if (length < 0) return null
    const start = this.at
    this.at += length
    if (this.at > this.bytes.length) throw new RangeError("a field runs past the end of its batch")
    return this.bytes.subarray(start, this.at)
  }
  text(): string {
    const length = this.varint()
    const start = this.at
    this.at += length
    return this.bytes.toString("utf8", start, this.at)
  }
}

const none: Driver.FetchedRecord["headers"] = []

const readHeaders = (input: In): Driver.FetchedRecord["headers"] => {
  const count = input.varint()
  if (count <= 0) return none
  const headers: Array<readonly [string, Uint8Array | null]> = []
  for (let i = 0; i < count; i++) headers.push([input.text(), input.data()])
  return headers
}

const isAbortMarker = (bytes: Buffer, start: number): boolean => {
  const input = new In(bytes, start)
  input.varint()
  input.at++
  input.varlong()
  input.varint()
  const key = input.data()
  return key !== null && key.length >= 4 && key.readInt16BE(2) === 0
}

/**
 * The committed records of one partition from `fetchOffset` on.
 */
export const readRecords = (options: {
  readonly topic: string
  readonly partition: number
  readonly bytes: Buffer
  readonly fetchOffset: bigint
  readonly aborted: ReadonlyArray<AbortedTransaction>
  readonly codecs: Registry
}): Read | Unreadable => {
  const { bytes, codecs, fetchOffset, partition, topic } = options
  const visible = makeAbortFilter(options.aborted)
  const records: Array<Driver.FetchedRecord> = []
  let nextOffset = fetchOffset
  let start = 0
  while (start + batchHead <= bytes.length) {
    const end = start + 12 + bytes.readInt32BE(start + 8)
    // the broker cuts the last batch where the size limit fell
    if (end > bytes.length) break
    const baseOffset = bytes.readBigInt64BE(start)
    const magic = bytes.readInt8(start + 16)
    if (magic !== 2) {
      return {
        failure: "Misconfigured",
        offset: baseOffset,
        description: `${topic}-${partition} holds messages in the old format ${magic} at offset ${baseOffset}: ` +
          "rewrite the topic with a current producer"
      }
    }
    if (crc32c(bytes.subarray(start + 21, end)) !== bytes.readUInt32BE(start + 17)) {
      return {
        failure: "CorruptRecord",
        offset: baseOffset,
        description: `the batch at offset ${baseOffset} of ${topic}-${partition} does not match its checksum`
      }
    }
    const attributes = bytes.readInt16BE(start + 21)
    const lastOffset = baseOffset + BigInt(bytes.readInt32BE(start + 23))
    const count = bytes.readInt32BE(start + 57)
    const control = (attributes & 0x20) !== 0
    const seen = visible({
      producerId: bytes.readBigInt64BE(start + 43),
      lastOffset,
      transactional: (attributes & 0x10) !== 0,
      control,
      abortMarker: control && count > 0 && isAbortMarker(bytes, start + batchHead)
    })
    if (seen && count > 0 && lastOffset >= fetchOffset) {
      try {
        let input: In
        const codecId = attributes & 7
        if (codecId === 0) {
          input = new In(bytes.subarray(0, end), start + batchHead)
        } else {
          const { codec, name } = codecs.byId(codecId)
          if (codec === undefined) {
            return {
              failure: "Misconfigured",
              setting: "codecs",
              offset: baseOffset,
              description:
                `${topic}-${partition} is compressed with ${name} at offset ${baseOffset} and there is no such ` +
                "codec here: install its library or pass one as a `codecs` option"
            }
          }
          const unpacked = codec.decompress(bytes.subarray(start + batchHead, end), maxDecompressedSize)
          input = new In(Buffer.from(unpacked.buffer, unpacked.byteOffset, unpacked.byteLength), 0)
        }
        const firstTimestamp = Number(bytes.readBigInt64BE(start + 27))
        const appendTime = (attributes & 8) === 0 ? undefined : bytes.readBigInt64BE(start + 35)
        for (let i = 0; i < count; i++) {
          const length = input.varint()
          const recordEnd = input.at + length
          input.at++
          const timestampDelta = input.varlong()
          const offset = baseOffset + BigInt(input.varint())
          const key = input.data()
          const value = input.data()
          const headers = readHeaders(input)
          if (input.at !== recordEnd) throw new RangeError("a record does not end where its length says")
          if (offset >= fetchOffset) {
            records.push({
              topic,
              partition,
              offset: Offset.offsetUnsafe(offset),
              timestamp: appendTime ?? BigInt(firstTimestamp + timestampDelta),
              key,
              value,
              headers
            })
          }
        }
      } catch (error) {
        return {
          failure: "CorruptRecord",
          offset: baseOffset,
          description: `the batch at offset ${baseOffset} of ${topic}-${partition} cannot be read: ` +
            (error instanceof Error ? error.message : String(error))
        }
      }
    }
    if (lastOffset >= nextOffset) nextOffset = lastOffset + 1n
    start = end
  }
  return { records, nextOffset }
}
