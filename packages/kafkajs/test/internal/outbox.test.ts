import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { Outbox } from "../../src/internal/outbox.ts"
import { makePartitioner } from "../../src/internal/partitioner.ts"
import { sizeBound } from "../../src/internal/recordWriter.ts"

const leaders = [0, 1, 2].map((partition) => ({ partition, leader: 1 }))
const make = (limits = { maxBatchBytes: 1_000, maxRecordBytes: 2_000 }) => new Outbox(limits, makePartitioner(() => 0))
const record = (partition: number, size: number) => ({ key: null, value: new Uint8Array(size), partition })

const Sent = Schema.Struct({
  partition: Schema.Literals([0, 1, 2]),
  size: Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 1_500 })))
})

describe("the outbox", () => {
  it.prop(
    "each record once, in order within its partition, one piece of a partition per round, none over the limit",
    [Schema.Array(Sent)],
    ([sent]) => {
      const outbox = make()
      const records = sent.map(({ partition, size }) => record(partition, size))
      assert.isUndefined(outbox.add("t", records, leaders))
      const rounds = outbox.drain()
      const places: Array<Array<number>> = [[], [], []]
      for (const round of rounds) {
        assert.strictEqual(new Set(round.map(({ partition }) => partition)).size, round.length)
        for (const { indices, partition, records: piece } of round) {
          assert.deepStrictEqual(piece, indices.map((index) => records[index]) as never)
          assert.isTrue(piece.length === 1 || piece.reduce((size, one) => size + sizeBound(one), 0) <= 1_000)
          places[partition]?.push(...indices)
        }
      }
      for (const partition of [0, 1, 2]) {
        assert.deepStrictEqual(places[partition], sent.flatMap((one, i) => one.partition === partition ? [i] : []))
      }
      assert.isTrue(outbox.isEmpty)
    },
    { arbitrary: { runs: 200 } }
  )

  it("a record above the limit is refused at its place, with the option to raise", () => {
    const refused = make().add("t", [record(0, 10), record(0, 3_000)], leaders)
    assert.strictEqual(refused?.index, 1)
    assert.include(refused?.why ?? "", "maxRecordBytes is 2000")
  })

  it("counts the bytes that wait, and forgets them when it is drained", () => {
    const outbox = make()
    outbox.add("t", [record(0, 100)], leaders)
    assert.isAbove(outbox.bytes, 100)
    outbox.drain()
    assert.strictEqual(outbox.bytes, 0)
  })
})
