/** R18, R21: what a committed consumer may see. */
import * as Effect from "effect/Effect"
import assert from "node:assert/strict"
import type { Case } from "./Case.ts"
import { awaitSeen, field, saw, seenSince } from "./wire.ts"
import { record, type World } from "./World.ts"

const put = (id: string) => record("key", id)

/**
 * Interleaved transactions of two producers, and records without one: several aborts of one producer in one fetch, an
 * aborted range inside a committed one, an abort marker right before the same producer's next records.
 */
const thicket = (world: World) =>
  Effect.gen(function*() {
    const { input, probe } = world
    const [one, two] = [
      yield* probe.transaction(`${world.prefix}-one`, 60_000),
      yield* probe.transaction(`${world.prefix}-two`, 60_000)
    ]
    const plain = (id: string) => probe.produce(input, 0, [put(id)])
    for (let round = 0; round < 6; round++) {
      yield* one.produce(input, 0, [put(`one-${round}-0`)])
      yield* two.produce(input, 0, [put(`two-${round}-0`), put(`two-${round}-1`)])
      yield* plain(`plain-${round}-0`)
      yield* one.produce(input, 0, [put(`one-${round}-1`), put(`one-${round}-2`)])
      yield* (round % 2 === 0 ? one.end(false) : two.end(round % 3 !== 0))
      yield* plain(`plain-${round}-1`)
      yield* (round % 2 === 0 ? two.end(round % 4 === 0) : one.end(false))
      // A transaction that added the partition and wrote nothing leaves a marker without data.
      yield* one.addPartitions(input, [0])
      yield* one.end(round % 2 === 0)
    }
  })

const seenExactly = (world: World, maxBytesPerPartition: number) =>
  Effect.gen(function*() {
    yield* thicket(world)
    const a = yield* world.worker({ maxBytesPerPartition })
    yield* a.bodies.next("records are delivered")
    const report = yield* world.exact
    assert.ok(report.expected > 12)
    const delivered = a.bodies.all.flat()
    assert.deepEqual(delivered.filter((id) => id.startsWith("one")), [])
    assert.equal(delivered.length, report.expected)
  })

export const reading: ReadonlyArray<Case> = [
  {
    rule: "R18",
    name: "reading is read_committed, and offsets move with transactions only",
    run: (world) =>
      Effect.gen(function*() {
        const { input, probe } = world
        const open = yield* probe.transaction(`${world.prefix}-open`, 60_000)
        yield* world.fill(2, 0)
        const aborted = yield* probe.transaction(`${world.prefix}-aborted`, 60_000)
        yield* aborted.produce(input, 0, [put("never")])
        yield* aborted.end(false)
        yield* open.produce(input, 0, [put("later")])
        yield* world.fill(1, 0)
        const a = yield* world.worker()
        yield* a.outcomes.next("the first batch commits")
        yield* awaitSeen("a further fetch", a.proxy, saw("delivered", ["Fetch"]), yield* a.proxy.mark)
        assert.equal(a.bodies.all.flat().length, 2, "what lies behind an open transaction waits")
        yield* open.end(true)
        yield* a.bodies.next("the rest is delivered", (values) => values.includes("later"), 1)
        yield* world.exact
        assert.ok(!a.bodies.all.flat().includes("never"))
        const fetches = yield* seenSince(a.proxy, saw("received", ["Fetch"]))
        assert.ok(fetches.every((fetch) => field(fetch.request(), "isolationLevel") === 1))
        yield* a.stop
        assert.deepEqual(yield* seenSince(a.proxy, saw("received", ["OffsetCommit"])), [])
      })
  },
  {
    rule: "R21",
    name: "aborted data is left out, many ranges in one fetch",
    run: (world) => seenExactly(world, 1_048_576)
  },
  {
    rule: "R21",
    name: "aborted data is left out when its marker comes in another fetch",
    run: (world) => seenExactly(world, 1)
  }
]
