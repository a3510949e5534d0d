import { UnencodableValue } from "./errors.ts"
import type { UnknownTag } from "./Reader.ts"
import { encodeUtf8, utf8Length } from "./utf8.ts"
import * as Uuid from "./Uuid.ts"

const MAX_STRING = 32_767
const MAX_INT64 = 2n ** 63n - 1n
const MIN_INT64 = -(2n ** 63n)

// A DataView would wrap in silence: an epoch of 32768 would go out as -32768.
const unfit = (type: string, value: number | bigint): UnencodableValue =>
  new UnencodableValue(type, `${value} does not fit`)

/**
 * Writes the protocol's primitive types into one buffer that doubles when it is full. `finish` answers a view of that buffer;
 * `reset` starts over in the same memory, so call it only when nobody holds an earlier view. A number outside its type's range, or a
 * string longer than 32767 bytes, is an `UnencodableValue`.
 */
export class Writer {
  offset = 0
  private buffer: Uint8Array
  private view: DataView

  constructor(capacity = 512) {
    this.buffer = new Uint8Array(capacity)
    this.view = new DataView(this.buffer.buffer)
  }

  private grow(needed: number): void {
    const next = new Uint8Array(Math.max(this.buffer.length * 2, needed, 64))
    next.set(this.buffer.subarray(0, this.offset))
    this.buffer = next
    this.view = new DataView(next.buffer)
  }

  /** Makes room for `size` more bytes, so that large bodies grow the buffer once. */
  reserve(size: number): void {
    if (this.offset + size > this.buffer.length) this.grow(this.offset + size)
  }

  private take(size: number): number {
    const at = this.offset
    const next = at + size
    if (next > this.buffer.length) this.grow(next)
    this.offset = next
    return at
  }

  finish(): Uint8Array {
    return this.buffer.subarray(0, this.offset)
  }

  reset(): void {
    this.offset = 0
  }

  boolean(value: boolean): void {
    const at = this.take(1)
    this.buffer[at] = value ? 1 : 0
  }

  int8(value: number): void {
    if ((value << 24) >> 24 !== value) throw unfit("int8", value)
    const at = this.take(1)
    this.view.setInt8(at, value)
  }

  int16(value: number): void {
    if ((value << 16) >> 16 !== value) throw unfit("int16", value)
    const at = this.take(2)
    this.view.setInt16(at, value)
  }

  uint16(value: number): void {
    if ((value & 0xffff) !== value) throw unfit("uint16", value)
    const at = this.take(2)
    this.view.setUint16(at, value)
  }

  int32(value: number): void {
    if ((value | 0) !== value) throw unfit("int32", value)
    const at = this.take(4)
    this.view.setInt32(at, value)
  }

  uint32(value: number): void {
    if (value >>> 0 !== value) throw unfit("uint32", value)
    const at = this.take(4)
    this.view.setUint32(at, value)
  }

  int64(value: bigint): void {
    if (value > MAX_INT64 || value < MIN_INT64) throw unfit("int64", value)
    const at = this.take(8)
    this.view.setBigInt64(at, value)
  }

  float64(value: number): void {
    const at = this.take(8)
    this.view.setFloat64(at, value)
  }

  uuid(value: string): void {
    const at = this.take(16)
    Uuid.write(value, this.buffer, at)
  }

  uvarint(value: number): void {
    if (this.offset + 5 > this.buffer.length) this.grow(this.offset + 5)
    const bytes = this.buffer
    let at = this.offset
    let rest = value >>> 0
    while (rest > 127) {
      bytes[at++] = (rest & 127) | 128
      rest >>>= 7
    }
    bytes[at++] = rest
    this.offset = at
  }

  private tooLong(size: number): UnencodableValue {
    return new UnencodableValue("string", `${size} bytes of UTF-8, at most ${MAX_STRING} fit`)
  }

  string(value: string): void {
    const at = this.offset
    this.reserve(2 + 3 * value.length)
    const end = encodeUtf8(value, this.buffer, at + 2)
    const size = end - at - 2
    if (size > MAX_STRING) throw this.tooLong(size)
    this.view.setInt16(at, size)
    this.offset = end
  }

  nullableString(value: string | null): void {
    if (value === null) this.int16(-1)
    else this.string(value)
  }

  compactString(value: string): void {
    const room = 3 * value.length
    if (room < 127) {
      // The length fits one byte however the text turns out, so it is filled in afterwards.
      const at = this.offset
      this.reserve(1 + room)
      const end = encodeUtf8(value, this.buffer, at + 1)
      this.buffer[at] = end - at
      this.offset = end
      return
    }
    const size = utf8Length(value)
    if (size > MAX_STRING) throw this.tooLong(size)
    this.uvarint(size + 1)
    this.reserve(size)
    this.offset = encodeUtf8(value, this.buffer, this.offset)
  }

  compactNullableString(value: string | null): void {
    if (value === null) this.uvarint(0)
    else this.compactString(value)
  }

  /** Bytes without a length. */
  raw(value: Uint8Array): void {
    const at = this.take(value.length)
    this.buffer.set(value, at)
  }

  bytes(value: Uint8Array): void {
    this.reserve(4 + value.length)
    this.int32(value.length)
    this.raw(value)
  }

  nullableBytes(value: Uint8Array | null): void {
    if (value === null) this.int32(-1)
    else this.bytes(value)
  }

  compactBytes(value: Uint8Array): void {
    this.reserve(5 + value.length)
    this.uvarint(value.length + 1)
    this.raw(value)
  }

  compactNullableBytes(value: Uint8Array | null): void {
    if (value === null) this.uvarint(0)
    else this.compactBytes(value)
  }

  /** Overwrites four bytes that were written before, such as the size in front of a frame. */
  patchInt32(at: number, value: number): void {
    this.view.setInt32(at, value)
  }

  /** Opens a tagged field and leaves one byte for its size, which is enough for nearly all of them. */
  beginTagged(tag: number): number {
    this.uvarint(tag)
    return this.take(1)
  }

  /** Closes the tagged field opened at `at`, moving its content when the size needs more than one byte. */
  endTagged(at: number): void {
    const size = this.offset - at - 1
    if (size < 128) {
      this.buffer[at] = size
      return
    }
    const extra = size < 16_384 ? 1 : size < 2_097_152 ? 2 : size < 268_435_456 ? 3 : 4
    this.reserve(extra)
    this.buffer.copyWithin(at + 1 + extra, at + 1, this.offset)
    this.offset = at
    this.uvarint(size)
    this.offset += size
  }

  /** A section of tagged fields of which none is known. */
  unknownTags(tags: ReadonlyArray<UnknownTag> | undefined): void {
    if (tags === undefined || tags.length === 0) {
      const at = this.take(1)
      this.buffer[at] = 0
      return
    }
    this.uvarint(tags.length)
    this.unknownTagsBelow(tags, 0, Infinity)
  }

  /** Writes unknown tags from index `from` on while they are below `tag`, so that all tags of a section ascend. */
  unknownTagsBelow(tags: ReadonlyArray<UnknownTag> | undefined, from: number, tag: number): number {
    if (tags === undefined) return from
    let index = from
    for (; index < tags.length && tags[index]!.tag < tag; index++) {
      const { data, tag: own } = tags[index]!
      this.uvarint(own)
      this.uvarint(data.length)
      this.raw(data)
    }
    return index
  }
}
