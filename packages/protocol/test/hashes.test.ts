import { assert, describe, it } from "@effect/vitest"
import { Crc32c, Murmur2 } from "@exactly-once/protocol"
import { javaMurmur2 } from "./javaFixtures.ts"
import { Random } from "./random.ts"

describe("murmur2", () => {
  it("is what the Java client computes, and picks the partition it picks", () => {
    assert.isAtLeast(javaMurmur2.length, 24)
    for (const { hash, key, of7 } of javaMurmur2) {
      const bytes = new Uint8Array(Buffer.from(key, "hex"))
      assert.strictEqual(Murmur2.murmur2(bytes), hash, key)
      assert.strictEqual(Murmur2.partitionForKey(bytes, 7), of7, key)
    }
  })
})

const bitwise = (bytes: Uint8Array): number => {
  let crc = 0xffff_ffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1
  }
  return ~crc >>> 0
}

describe("crc32c", () => {
  it("has the check value of the Castagnoli polynomial", () => {
    assert.strictEqual(Crc32c.crc32c(new TextEncoder().encode("123456789")), 0xe306_9283)
    assert.strictEqual(Crc32c.crc32c(new Uint8Array(0)), 0)
  })

  it("agrees with a computation bit by bit at every length and alignment", () => {
    const bytes = new Random(3).bytes(300)
    for (let start = 0; start < 9; start++) {
      for (let end = start; end < 120; end++) {
        assert.strictEqual(Crc32c.crc32c(bytes.subarray(start, end)), bitwise(bytes.subarray(start, end)))
      }
    }
    assert.strictEqual(Crc32c.crc32c(bytes), bitwise(bytes))
  })
})
