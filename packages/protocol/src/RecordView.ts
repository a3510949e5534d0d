import { MalformedBytes } from "./errors.ts"
import type { RecordBatch } from "./RecordBatch.ts"
import { decodeUtf8 } from "./utf8.ts"
import { readVarlong } from "./varint.ts"

/** A record's header. Keys may repeat, and their order is kept. */
export interface RecordHeader {
  readonly key: string
  readonly value: Uint8Array | null
}

/**
 * A record as positions in its batch: nothing is copied, and the objects for key, value, headers, offset and timestamp are made when
 * they are asked for. They are views of the frame the batch came in, so copy what is kept for long.
 */
export class RecordView {
  readonly batch: RecordBatch
  /** The bytes the positions below are in: the frame, or what a compressed batch was decompressed to. */
  readonly bytes: Uint8Array
  /** Where this record starts in `bytes`: with it, another view can be pointed at it later. */
  start = 0
  /** This record's offset less the batch's base offset. */
  offsetDelta = 0
  keyStart = 0
  /** -1 for a null key. */
  keyLength = -1
  valueStart = 0
  /** -1 for a null value, which is a tombstone in a compacted topic. */
  valueLength = -1
  headerCount = 0
  private timestampAt = 0
  private headersAt = 0
  private end = 0
  private at = 0

  constructor(batch: RecordBatch, bytes: Uint8Array) {
    this.batch = batch
    this.bytes = bytes
  }

  /** Points this view at the record that starts at `start` and answers where the next one starts. */
  read(start: number, limit: number): number {
    this.start = start
    this.at = start
    this.end = limit
    const size = this.varint()
    const body = this.at
    if (size < 0 || size > limit - body) throw this.malformed(`a record of ${size} bytes, ${limit - body} left`)
    const end = body + size
    this.end = end
    if (body >= end) throw this.malformed("a record without attributes")
    this.at = body + 1
    this.timestampAt = this.at
    this.skipVarlong()
    this.offsetDelta = this.varint()
    this.keyLength = this.length()
    this.keyStart = this.at
    if (this.keyLength > 0) this.at += this.keyLength
    this.valueLength = this.length()
    this.valueStart = this.at
    if (this.valueLength > 0) this.at += this.valueLength
    const headers = this.varint()
    // A header takes two bytes at least.
    if (headers < 0 || headers * 2 > end - this.at) {
      throw this.malformed(`${headers} headers, ${end - this.at} bytes left`)
    }
    this.headerCount = headers
    this.headersAt = this.at
    if (headers === 0 && this.at !== end) throw this.malformed(`${end - this.at} bytes left over in a record`)
    return end
  }

  get offset(): bigint {
    return this.batch.baseOffset + BigInt(this.offsetDelta)
  }

  /** Milliseconds since 1970; the broker's time of appending when the topic is configured so. -1 for none. */
  get timestamp(): bigint {
    if (this.batch.isLogAppendTime) return this.batch.maxTimestamp
    return BigInt.asIntN(64, this.batch.baseTimestamp + readVarlong(this.bytes, this.timestampAt))
  }

  get key(): Uint8Array | null {
    return this.keyLength < 0 ? null : this.view(this.keyStart, this.keyLength)
  }

  get value(): Uint8Array | null {
    return this.valueLength < 0 ? null : this.view(this.valueStart, this.valueLength)
  }

  /** Read on each access. Throws `MalformedBytes` when the headers do not fill the rest of the record. */
  get headers(): Array<RecordHeader> {
    const headers: Array<RecordHeader> = []
    if (this.headerCount === 0) return headers
    this.at = this.headersAt
    for (let i = 0; i < this.headerCount; i++) {
      const keyLength = this.length()
      if (keyLength < 0) throw this.malformed("a header without a key")
      const key = decodeUtf8(this.bytes, this.at, this.at + keyLength)
      this.at += keyLength
      const valueLength = this.length()
      if (valueLength < 0) headers.push({ key, value: null })
      else {
        headers.push({ key, value: this.view(this.at, valueLength) })
        this.at += valueLength
      }
    }
    if (this.at !== this.end) throw this.malformed(`${this.end - this.at} bytes left over in a record`)
    return headers
  }

  private view(start: number, length: number): Uint8Array {
    return new Uint8Array(this.bytes.buffer, this.bytes.byteOffset + start, length)
  }

  private malformed(detail: string): MalformedBytes {
    return new MalformedBytes("InvalidRecord", this.at, detail)
  }

  /** A length that fits what is left of the record; -1 for null. */
  private length(): number {
    const length = this.varint()
    if (length < -1 || length > this.end - this.at) {
      throw this.malformed(`a length of ${length}, ${this.end - this.at} bytes left in the record`)
    }
    return length
  }

  private varint(): number {
    const bytes = this.bytes
    let at = this.at
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      if (at >= this.end) throw this.malformed("a varint is cut off")
      const byte = bytes[at++]!
      if (shift === 28 && byte > 15) break
      value |= (byte & 127) << shift
      if (byte < 128) {
        this.at = at
        return (value >>> 1) ^ -(value & 1)
      }
    }
    throw this.malformed("a varint is longer than 32 bits")
  }

  private skipVarlong(): void {
    const bytes = this.bytes
    for (let size = 1; size <= 10; size++) {
      if (this.at >= this.end) throw this.malformed("a varint is cut off")
      const byte = bytes[this.at++]!
      if (size === 10 && byte > 1) break
      if (byte < 128) return
    }
    throw this.malformed("a varint is longer than 64 bits")
  }
}
