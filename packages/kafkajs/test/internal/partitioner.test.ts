import { assert, describe, it } from "@effect/vitest"
import { createRequire } from "node:module"
import { makePartitioner, murmur2 } from "../../src/internal/partitioner.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const leaders = (...ids: ReadonlyArray<number>) => ids.map((leader, partition) => ({ partition, leader }))
const keyless = { key: null, value: null }

describe("the partitioner", () => {
  it("hashes like the Java client's own test", () => {
    const vectors: ReadonlyArray<readonly [string, number]> = [
      ["21", -973932308],
      ["foobar", -790332482],
      ["a-little-bit-long-string", -985981536],
      ["a-little-bit-longer-string", -1486304829],
      ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
      ["abc", 479470107]
    ]
    for (const [text, hash] of vectors) assert.strictEqual(murmur2(bytes(text)), hash, text)
  })

  it("hashes like kafkajs, whatever the length and the bytes", () => {
    // kafkajs's murmur2 is a plain function of a Buffer
    const theirs = createRequire(import.meta.url)("kafkajs/src/producer/partitioners/default/murmur2.js") as (
      key: Buffer
    ) => number
    for (let length = 0; length < 64; length++) {
      const key = Buffer.from(Array.from({ length }, (_, i) => (i * 89 + length * 31) % 256))
      assert.strictEqual(murmur2(key), theirs(key), `length ${length}`)
    }
  })

  it("takes a record's own partition, and refuses one that does not exist", () => {
    const { choose } = makePartitioner(() => 0)
    assert.strictEqual(choose("t", { ...keyless, partition: 2 }, 10, leaders(1, 1, 1)), 2)
    assert.strictEqual(choose("t", { ...keyless, partition: 3 }, 10, leaders(1, 1, 1)), undefined)
    assert.strictEqual(choose("t", { ...keyless, partition: -1 }, 10, leaders(1, 1, 1)), undefined)
  })

  it("keeps a key in its partition, led or not", () => {
    const { choose } = makePartitioner(() => 0)
    const record = { key: bytes("foobar"), value: null }
    assert.strictEqual(choose("t", record, 10, leaders(1, 1, 1)), (-790332482 & 0x7fffffff) % 3)
    assert.strictEqual(choose("t", record, 10, leaders(-1, -1, -1)), (-790332482 & 0x7fffffff) % 3)
  })

  it("stays with one partition for 16 KB of records without a key, then takes another one that has a leader", () => {
    let next = 0
    const { choose } = makePartitioner(() => (next++ % 10) / 10)
    const chosen = Array.from({ length: 40 }, () => choose("t", keyless, 1_024, leaders(1, -1, 1, 1)))
    assert.notInclude(chosen, 1)
    for (let i = 0; i + 1 < chosen.length; i++) {
      if ((i + 1) % 16 === 0) assert.notStrictEqual(chosen[i], chosen[i + 1])
      else assert.strictEqual(chosen[i], chosen[i + 1])
    }
  })
})
