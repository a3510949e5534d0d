import { assert, describe, it } from "@effect/vitest"
import { codecs, crc32c } from "@exactly-once/codecs"
import { BatchBuilder, Codecs, Crc32c, MalformedBytes, RecordBatch, Xerial } from "@exactly-once/protocol"
import { hex, javaBatches, randomBytes, randomFrom } from "./javaBatches.ts"

const NAMES = { gzip: Codecs.GZIP, snappy: Codecs.SNAPPY, lz4: Codecs.LZ4, zstd: Codecs.ZSTD }
const types = Object.entries(NAMES)

const inputs: ReadonlyArray<Uint8Array> = [
  new Uint8Array([7]),
  new Uint8Array(100),
  randomBytes(1, 5000),
  new Uint8Array(200_000).map((_, index) => index % 251),
  randomBytes(2, 70_000),
  new Uint8Array(0)
]

describe("every codec", () => {
  for (const [name, type] of types) {
    const codec = codecs.compression(type)

    it(`${name} gives back what it was given`, () => {
      for (const input of inputs) {
        assert.strictEqual(hex(codec.decompress(codec.compress(input), input.length + 5_000_000)), hex(input))
      }
    })

    it(`${name} reads the batches that Java compressed`, () => {
      const own = javaBatches.filter((batch) => batch.name.split(",")[0] === name)
      assert.isAtLeast(own.length, 1)
      for (const { bytes, records } of own) {
        const batch = RecordBatch.split(Buffer.from(bytes, "hex")).batches[0]!
        assert.isTrue(batch.isValid(codecs.crc32c))
        assert.strictEqual(batch.compression, type)
        assert.deepStrictEqual(
          batch.records(codecs).map((record) => {
            const value = record.value!
            return [
              String(record.timestamp),
              hex(record.key!),
              hex(value.length > 1000 ? value.subarray(0, 96) : value),
              record.headerCount
            ]
          }),
          records.map((record) => [record.timestamp, record.key, record.value, record.headers.length])
        )
      }
    })

    it(`${name} compresses a batch that reads back as it was`, () => {
      const builder = new BatchBuilder()
      for (let i = 0; i < 500; i++) {
        builder.append({ timestamp: i, key: new Uint8Array([i]), value: new Uint8Array(100).fill(i) })
      }
      const batch = RecordBatch.split(builder.finish({ compression: type, codecs, baseOffset: 9n })).batches[0]!
      assert.isTrue(batch.isValid())
      assert.isBelow(batch.sizeInBytes, builder.sizeInBytes / 2)
      const records = batch.records(codecs)
      assert.strictEqual(records.length, 500)
      assert.strictEqual(records[499]!.offset, 508n)
      assert.strictEqual(hex(records[300]!.value!), hex(new Uint8Array(100).fill(300)))
    })

    it(`${name} stops a bomb at the limit`, () => {
      const bomb = codec.compress(new Uint8Array(20_000_000))
      const before = process.memoryUsage().rss
      assert.throws(() => codec.decompress(bomb, 1_000_000), MalformedBytes)
      assert.isBelow(process.memoryUsage().rss - before, 15_000_000)
    })

    it(`${name} refuses damaged and cut off bytes with a typed error`, () => {
      const whole = codec.compress(new Uint8Array(3000).map((_, index) => (index * index) >> 6))
      const below = randomFrom(31)
      let refused = 0
      for (let length = 0; length < whole.length; length += 7) {
        try {
          codec.decompress(whole.slice(0, length), 100_000)
        } catch (error) {
          assert.instanceOf(error, MalformedBytes, `${length} of ${whole.length} bytes`)
          refused++
        }
      }
      // A frame of no chunks is empty, not malformed, in snappy's framing alone.
      assert.isAtLeast(refused, Math.floor(whole.length / 7) - 3)
      for (let round = 0; round < 2000; round++) {
        const damaged = whole.slice()
        for (let hits = 0; hits <= below(4); hits++) damaged[below(damaged.length)] = below(256)
        try {
          assert.isAtMost(codec.decompress(damaged, 100_000).length, 100_000)
        } catch (error) {
          assert.instanceOf(error, MalformedBytes)
        }
      }
    })
  }
})

describe("snappy", () => {
  it("reads a bare block, as librdkafka writes it", () => {
    const framed = codecs.compression(Codecs.SNAPPY).compress(new Uint8Array(1000).fill(3))
    assert.isTrue(Xerial.isFramed(framed))
    const bare = framed.subarray(20)
    assert.deepStrictEqual([...codecs.compression(Codecs.SNAPPY).decompress(bare, 1000)], [
      ...new Uint8Array(1000).fill(3)
    ])
  })

  it("ends on a literal whose length has its sign bit set", () => {
    const evil = new Uint8Array([10, 0xfc, 0xf8, 0xff, 0xff, 0xff, 0, 0, 0, 0])
    assert.throws(() => codecs.compression(Codecs.SNAPPY).decompress(evil, 100), MalformedBytes)
  })
})

describe("crc32c", () => {
  it("agrees with the plain one on both sides of the size where it changes over", () => {
    const bytes = randomBytes(8, 4096)
    for (const length of [0, 1, 255, 256, 257, 1000, 4096]) {
      assert.strictEqual(crc32c(bytes.subarray(0, length)), Crc32c.crc32c(bytes.subarray(0, length)))
    }
    assert.strictEqual(crc32c(new TextEncoder().encode("123456789")), 0xe306_9283)
  })
})
