import { assert, it } from "@effect/vitest"
import { KafkaError } from "@exactly-once/core"
import { Apis } from "@exactly-once/protocol"
import { RawConnection } from "@exactly-once/testkit"
import { Effect } from "effect"
import { describeLive, liveBootstrap } from "../../../../scripts/vitest/live.ts"
import { committedValues } from "../support/kafka.ts"
import { world } from "./support.ts"

/** DeleteRecords: the log now starts at `at`. Asks each broker, since only the leader does it. */
const truncate = (topic: string, at: bigint) =>
  Effect.gen(function*() {
    const codes: Array<number> = []
    for (const address of liveBootstrap()) {
      const connection = yield* RawConnection.connect(address)
      const { topics } = yield* connection.request(Apis.DeleteRecords, 1, {
        topics: [{ name: topic, partitions: [{ partitionIndex: 0, offset: at }] }],
        timeoutMs: 5_000
      })
      codes.push(topics[0]?.partitions[0]?.errorCode ?? -1)
    }
    assert.include(codes, 0)
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
