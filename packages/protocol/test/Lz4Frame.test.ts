import { assert, describe, it } from "@effect/vitest"
import { Lz4Frame, MalformedBytes, RecordBatch } from "@exactly-once/protocol"
import { javaBatches } from "./javaFixtures.ts"

describe("Lz4Frame", () => {
  const frames = javaBatches.filter(({ name }) => name.startsWith("lz4")).map(({ bytes }) =>
    RecordBatch.split(Buffer.from(bytes, "hex")).batches[0]!.bytes.subarray(61)
  )

  it("the bound of Java's frames covers what is in them, by blocks of 64 KiB", () => {
    assert.deepStrictEqual(frames.map((frame) => Lz4Frame.decompressedBound(frame) % 65_536 === 0), [true, true])
    assert.isAtLeast(Lz4Frame.decompressedBound(frames[1]!), 120_000)
  })

  it("a frame that is cut off anywhere, or has bytes behind it, is malformed", () => {
    for (const frame of frames) {
      for (let length = 0; length < frame.length; length++) {
        assert.throws(() => Lz4Frame.decompressedBound(frame.subarray(0, length)), MalformedBytes)
      }
      assert.throws(() => Lz4Frame.decompressedBound(new Uint8Array([...frame, 0])), MalformedBytes)
    }
  })
})
