import { assert, describe, it } from "@effect/vitest"
import { type MalformedBytes, Reader, UnencodableValue, Writer } from "@exactly-once/protocol"

const reason = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    return (error as MalformedBytes).reason
  }
  return "none"
}

const read = (...bytes: Array<number>): Reader => new Reader(new Uint8Array(bytes))

describe("Reader", () => {
  it("bounds an array by the bytes that are left before anything is allocated", () => {
    assert.strictEqual(reason(() => read(0x7f, 0xff, 0xff, 0xff, 1, 2, 3).arrayLength(1)), "LengthTooLarge")
    assert.strictEqual(reason(() => read(0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2).compactArrayLength(1)), "LengthTooLarge")
    assert.strictEqual(reason(() => read(0, 0, 0, 3, 1, 2, 3, 4, 5).arrayLength(2)), "LengthTooLarge")
    assert.strictEqual(read(0, 0, 0, 2, 1, 2, 3, 4, 5).arrayLength(2), 2)
  })

  it("bounds the elements of one frame, however small they are", () => {
    const reader = new Reader(new Uint8Array([0, 0, 0, 3, 1, 1, 1, 1]), 0, 8, 2)
    assert.strictEqual(reason(() => reader.arrayLength(1)), "TooManyElements")
  })

  it("refuses lengths below -1, and -1 where null is not allowed", () => {
    assert.strictEqual(reason(() => read(0xff, 0xfe).nullableString()), "NegativeLength")
    assert.strictEqual(reason(() => read(0xff, 0xff).string()), "UnexpectedNull")
    assert.strictEqual(read(0xff, 0xff).nullableString(), null)
    assert.strictEqual(reason(() => read(0xff, 0xff, 0xff, 0xfe).nullableBytes()), "NegativeLength")
    assert.strictEqual(reason(() => read(0xff, 0xff, 0xff, 0xff).bytes()), "UnexpectedNull")
    assert.strictEqual(reason(() => read(0xff, 0xff, 0xff, 0xfe).nullableArrayLength(1)), "NegativeLength")
    assert.strictEqual(reason(() => read(0).compactString()), "UnexpectedNull")
    assert.strictEqual(reason(() => read(0).compactBytes()), "UnexpectedNull")
    assert.strictEqual(reason(() => read(0).compactArrayLength(1)), "UnexpectedNull")
  })

  it("refuses bytes that reach beyond the end", () => {
    assert.strictEqual(reason(() => read(0x7f, 0xff, 0xff, 0xff, 1).bytes()), "LengthTooLarge")
    assert.strictEqual(reason(() => read(9, 1).compactBytes()), "LengthTooLarge")
    assert.strictEqual(reason(() => read(1, 2, 3).int32()), "Truncated")
    assert.strictEqual(reason(() => new Reader(new Uint8Array(8), 0, 7).int64()), "Truncated")
  })

  it("refuses varints that are cut off or longer than 32 bits", () => {
    assert.strictEqual(reason(() => read(0x80).uvarint()), "Truncated")
    assert.strictEqual(reason(() => read(0x80, 0x80, 0x80, 0x80, 0x10).uvarint()), "InvalidVarint")
    assert.strictEqual(reason(() => read(0x80, 0x80, 0x80, 0x80, 0x80, 0x01).uvarint()), "InvalidVarint")
    assert.strictEqual(read(0xff, 0xff, 0xff, 0xff, 0x0f).uvarint(), 0xffff_ffff)
  })

  it("reads what Writer wrote, at the ends of every range", () => {
    const writer = new Writer(1)
    for (const value of [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455, 268_435_456, 0xffff_ffff]) {
      writer.uvarint(value)
      assert.strictEqual(new Reader(writer.finish()).uvarint(), value)
      writer.reset()
    }
    writer.float64(-1.5e300)
    writer.uint16(65_535)
    writer.uint32(0xffff_fffe)
    const reader = new Reader(writer.finish())
    assert.strictEqual(reader.float64(), -1.5e300)
    assert.strictEqual(reader.uint16(), 65_535)
    assert.strictEqual(reader.uint32(), 0xffff_fffe)
  })

  it("a number outside the range of its type is refused, not wrapped", () => {
    const writer = new Writer()
    const refused: ReadonlyArray<() => void> = [
      () => writer.int8(128),
      () => writer.int8(-129),
      () => writer.int16(32_768),
      () => writer.uint16(-1),
      () => writer.int32(2 ** 31),
      () => writer.int32(0.5),
      () => writer.int32(Number.NaN),
      () => writer.uint32(2 ** 32),
      () => writer.int64(2n ** 63n),
      () => writer.int64(-(2n ** 63n) - 1n)
    ]
    for (const write of refused) assert.throws(write, UnencodableValue)
    assert.strictEqual(writer.offset, 0)
  })

  it("hands out views, not copies, and reads Node's Buffer as plain bytes", () => {
    const frame = Buffer.from([0, 0, 0, 2, 7, 8])
    const bytes = new Reader(frame).bytes()
    assert.strictEqual(bytes.constructor, Uint8Array)
    frame[4] = 9
    assert.deepStrictEqual([...bytes], [9, 8])
  })

  it("keeps text as it is: byte order marks, astral characters, long strings", () => {
    for (
      const text of ["", "\u{feff}a", "é".repeat(100), "😀".repeat(50), "a".repeat(97) + "é", "x".repeat(42) + "世"]
    ) {
      const writer = new Writer(1)
      writer.string(text)
      writer.compactString(text)
      const reader = new Reader(writer.finish())
      assert.strictEqual(reader.string(), text)
      assert.strictEqual(reader.compactString(), text)
      reader.expectEnd()
    }
  })

  it("a lone surrogate is written as the replacement character, with the right length", () => {
    for (const text of ["\ud800", "a\udc00b", "\ud83dx".repeat(60)]) {
      const writer = new Writer(1)
      writer.compactString(text)
      writer.string(text)
      const reader = new Reader(writer.finish())
      const expected = text.toWellFormed()
      assert.strictEqual(reader.compactString(), expected)
      assert.strictEqual(reader.string(), expected)
    }
  })

  it("tagged fields of every size are framed", () => {
    for (const size of [0, 1, 127, 128, 16_383, 16_384, 2_097_152]) {
      const writer = new Writer(1)
      const content = new Uint8Array(size).fill(7)
      const start = writer.beginTagged(5)
      writer.raw(content)
      writer.endTagged(start)
      writer.int8(42)
      const reader = new Reader(writer.finish())
      assert.strictEqual(reader.uvarint(), 5)
      const end = reader.taggedEnd()
      assert.strictEqual(reader.unknownTag(5, end).data.length, size)
      assert.strictEqual(reader.int8(), 42)
    }
  })
})
