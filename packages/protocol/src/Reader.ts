import { MalformedBytes, type MalformedReason } from "./errors.ts"
import { decodeUtf8 } from "./utf8.ts"
import * as Uuid from "./Uuid.ts"

/** A tagged field that the schema of this version does not name; kept so that it can be written again (KIP-482). */
export interface UnknownTag {
  readonly tag: number
  readonly data: Uint8Array
}

/**
 * Reads the protocol's primitive types from bytes it does not copy: every `Uint8Array` it hands out is a view of its input.
 *
 * All lengths are checked against what is left before anything is allocated, and the number of array elements of one reader is bounded
 * (a frame of empty strings costs one byte each on the wire and many in memory). Every failure is a `MalformedBytes`.
 */
export class Reader {
  readonly input: Uint8Array
  readonly end: number
  offset: number
  private readonly view: DataView
  private elements: number

  constructor(input: Uint8Array, offset = 0, end = input.length, maxElements = 4_000_000) {
    // A subclass (Node's Buffer) would hand out slower views and make every access below polymorphic.
    this.input = input.constructor === Uint8Array ? input : new Uint8Array(input.buffer, input.byteOffset, input.length)
    this.view = new DataView(input.buffer, input.byteOffset, input.length)
    this.offset = offset
    this.end = end
    this.elements = maxElements
  }

  get remaining(): number {
    return this.end - this.offset
  }

  private fail(reason: MalformedReason, detail: string): MalformedBytes {
    return new MalformedBytes(reason, this.offset, detail)
  }

  /** Moves past `size` bytes and answers where they start. */
  private take(size: number): number {
    const at = this.offset
    const next = at + size
    if (next > this.end) throw this.fail("Truncated", `${size} bytes wanted, ${this.end - at} left`)
    this.offset = next
    return at
  }

  boolean(): boolean {
    return this.input[this.take(1)] !== 0
  }

  int8(): number {
    return this.view.getInt8(this.take(1))
  }

  int16(): number {
    return this.view.getInt16(this.take(2))
  }

  uint16(): number {
    return this.view.getUint16(this.take(2))
  }

  int32(): number {
    return this.view.getInt32(this.take(4))
  }

  uint32(): number {
    return this.view.getUint32(this.take(4))
  }

  int64(): bigint {
    return this.view.getBigInt64(this.take(8))
  }

  float64(): number {
    return this.view.getFloat64(this.take(8))
  }

  uuid(): string {
    return Uuid.read(this.input, this.take(16))
  }

  /** An unsigned 32-bit number in at most five bytes of seven bits. */
  uvarint(): number {
    const bytes = this.input
    let at = this.offset
    if (at >= this.end) throw this.fail("Truncated", "a varint wanted, nothing left")
    let byte = bytes[at++]!
    if (byte < 128) {
      this.offset = at
      return byte
    }
    let value = byte & 127
    for (let shift = 7; shift < 35; shift += 7) {
      if (at >= this.end) throw this.fail("Truncated", "a varint is cut off")
      byte = bytes[at++]!
      if (shift === 28 && byte > 15) break
      value |= (byte & 127) << shift
      if (byte < 128) {
        this.offset = at
        return value >>> 0
      }
    }
    throw this.fail("InvalidVarint", "a varint is longer than 32 bits")
  }

  private checked(length: number): number {
    if (length > this.end - this.offset) {
      throw this.fail("LengthTooLarge", `a length of ${length}, ${this.end - this.offset} bytes left`)
    }
    return length
  }

  private text(length: number): string {
    if (length > 32_767) throw this.fail("LengthTooLarge", `a string of ${length} bytes`)
    const start = this.take(length)
    return decodeUtf8(this.input, start, start + length)
  }

  private blob(length: number): Uint8Array {
    const start = this.offset
    this.offset = start + this.checked(length)
    return new Uint8Array(this.input.buffer, this.input.byteOffset + start, length)
  }

  private missing(length: number, what: string): MalformedBytes {
    return length === -1
      ? this.fail("UnexpectedNull", `null where ${what} is required`)
      : this.fail("NegativeLength", `a length of ${length}`)
  }

  string(): string {
    const length = this.int16()
    if (length < 0) throw this.missing(length, "a string")
    return this.text(length)
  }

  nullableString(): string | null {
    const length = this.int16()
    if (length >= 0) return this.text(length)
    if (length === -1) return null
    throw this.missing(length, "a string")
  }

  compactString(): string {
    const length = this.uvarint() - 1
    if (length < 0) throw this.missing(length, "a string")
    return this.text(length)
  }

  compactNullableString(): string | null {
    const length = this.uvarint() - 1
    return length < 0 ? null : this.text(length)
  }

  bytes(): Uint8Array {
    const length = this.int32()
    if (length < 0) throw this.missing(length, "a byte string")
    return this.blob(length)
  }

  nullableBytes(): Uint8Array | null {
    const length = this.int32()
    if (length >= 0) return this.blob(length)
    if (length === -1) return null
    throw this.missing(length, "a byte string")
  }

  compactBytes(): Uint8Array {
    const length = this.uvarint() - 1
    if (length < 0) throw this.missing(length, "a byte string")
    return this.blob(length)
  }

  compactNullableBytes(): Uint8Array | null {
    const length = this.uvarint() - 1
    return length < 0 ? null : this.blob(length)
  }

  private counted(length: number, minElementSize: number): number {
    if (length * minElementSize > this.end - this.offset) {
      throw this.fail("LengthTooLarge", `an array of ${length} elements, ${this.end - this.offset} bytes left`)
    }
    this.elements -= length
    if (this.elements < 0) throw this.fail("TooManyElements", "more array elements than this reader allows")
    return length
  }

  /** The length of an array whose elements take at least `minElementSize` bytes each. */
  arrayLength(minElementSize: number): number {
    const length = this.int32()
    if (length < 0) throw this.missing(length, "an array")
    return this.counted(length, minElementSize)
  }

  /** As `arrayLength`; -1 for null. */
  nullableArrayLength(minElementSize: number): number {
    const length = this.int32()
    if (length >= 0) return this.counted(length, minElementSize)
    if (length === -1) return -1
    throw this.missing(length, "an array")
  }

  compactArrayLength(minElementSize: number): number {
    const length = this.uvarint() - 1
    if (length < 0) throw this.missing(length, "an array")
    return this.counted(length, minElementSize)
  }

  compactNullableArrayLength(minElementSize: number): number {
    const length = this.uvarint() - 1
    return length < 0 ? -1 : this.counted(length, minElementSize)
  }

  /** The size of a tagged field: the position where it must end. */
  taggedEnd(): number {
    const size = this.uvarint()
    return this.offset + this.checked(size)
  }

  /** Throws unless the tagged field that was to end at `expected` was read to exactly there. */
  endTagged(expected: number): void {
    if (this.offset !== expected) throw this.fail("InvalidTag", `a tagged field ends at byte ${expected}`)
  }

  unknownTag(tag: number, end: number): UnknownTag {
    const data = this.blob(end - this.offset)
    return { tag, data }
  }

  /** Reads a section of tagged fields of which none is known. */
  unknownTags(): Array<UnknownTag> | undefined {
    const count = this.uvarint()
    if (count === 0) return undefined
    const tags: Array<UnknownTag> = []
    this.counted(count, 2)
    for (let i = 0; i < count; i++) tags.push(this.unknownTag(this.uvarint(), this.taggedEnd()))
    return tags
  }

  /** The number of tagged fields; each takes at least two bytes. */
  tagCount(): number {
    return this.counted(this.uvarint(), 2)
  }

  /** Throws unless everything was read. */
  expectEnd(): void {
    if (this.offset !== this.end) throw this.fail("TrailingBytes", `${this.end - this.offset} bytes left over`)
  }
}
