import { assert, it } from "@effect/vitest"
import { KafkaError } from "@exactly-once/core"
import { Effect } from "effect"
import { Kafka, logLevel } from "kafkajs"
import { describeLive, liveBootstrap } from "../../../../scripts/vitest/live.ts"
import { committedValues } from "../support/kafka.ts"
import { world } from "./support.ts"

/** DeleteRecords: the log now starts at `offset`. */
const truncate = (topic: string, offset: bigint) =>
  Effect.promise(async () => {
    const admin = new Kafka({ brokers: [...liveBootstrap()], logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    try {
      // loads the topic's metadata, which the next call needs and does not ask for
      await admin.fetchTopicOffsets(topic)
      await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: String(offset) }] })
    } finally {
      await admin.disconnect()
    }
  })

describeLive("positions that are not in the log", () => {
  it.live("records deleted before they were read: the reader stops, and nothing is reset behind anybody's back", () =>
    Effect.gen(function*() {
      const { committed, copy, name, probe, put, setOffset } = yield* world({ in: 1, out: 1 })
      for (const value of ["a", "b", "c", "d"]) yield* put("in", [value])
      yield* copy(2, { consumer: { maxRecords: 1 } })
      const stood = yield* committed()
      assert.isAtLeast(Number(stood), 2)
      const before = yield* committedValues(probe, name("out"))
      yield* truncate(name("in"), 4n)
      for (const startFrom of ["earliest", "latest", "fail"] as const) {
        yield* setOffset(2n)
        const error = yield* Effect.flip(copy(1, { consumer: { startFrom } }))
        assert.instanceOf(error, KafkaError.OffsetOutOfRange)
        if (error._tag === "OffsetOutOfRange") {
          assert.deepStrictEqual([error.topic, error.partition, error.offset], [name("in"), 0, 2n])
        }
        assert.include(error.message, "Set the group's offset")
        assert.strictEqual(yield* committed(), 2n, startFrom)
      }
      // somebody decides
      yield* setOffset(4n)
      yield* put("in", ["e"])
      yield* copy(1)
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), [...before, "e"])
    }))

  it.live("an offset behind the end of a topic that was made anew stops the reader too", () =>
    Effect.gen(function*() {
      const { committed, copy, put, setOffset } = yield* world({ in: 1, out: 1 })
      yield* put("in", ["a"])
      yield* setOffset(100n)
      const error = yield* Effect.flip(copy(1))
      assert.instanceOf(error, KafkaError.OffsetOutOfRange)
      assert.include(error.message, "offset 100")
      assert.strictEqual(yield* committed(), 100n)
    }))
})
