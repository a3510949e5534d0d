import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Stream } from "effect"
import {
  CommittedConsumer,
  Driver,
  KafkaError,
  Topic,
  Transaction,
  transactionally,
  withTransaction
} from "../../src/index.ts"
import { copied, idle, Input, Output, setUp, until } from "../support/program.ts"

const pipeline = CommittedConsumer.batches(Input).pipe(
  transactionally((batch) => Transaction.emit(Output, copied(batch.records)))
)

describe("a driver that fails", () => {
  it.effect("with a defect ends the stream instead of leaving it to wait", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp()
      kafka.before(({ op }) => op === "poll" ? Effect.die(new Error("a bug of the driver")) : Effect.void)
      const exit = yield* pipeline.pipe(Stream.runDrain, Effect.provide(layer), Effect.exit)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    }), { timeout: 2_000 })

  it.effect.each(
    [
      ["OffsetOutOfRange", "OffsetOutOfRange"],
      ["CorruptRecord", "CorruptRecord"],
      ["Unavailable", "KafkaUnavailable"],
      ["Unauthorized", "Unauthorized"],
      ["Rebalanced", "KafkaFailure"]
    ] as const
  )("%s while reading is %s", ([failure, tag]) =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp()
      kafka.before(({ op }) =>
        op === "poll"
          ? new Driver.DriverError({ operation: "poll", failure, topic: "in", partition: 1, description: "no" })
          : Effect.void
      )
      const error = yield* pipeline.pipe(Stream.runDrain, Effect.provide(layer), Effect.flip)
      assert.strictEqual(error._tag, tag)
    }))

  it.effect("before positions are known ends the stream, and the next run begins afresh", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp()
      kafka.put("in", 0, ["a"])
      kafka.before(({ op }, nth) =>
        op === "committed" && nth === 1 ? kafka.fail("committed", "Unavailable") : Effect.void
      )
      const program = Effect.gen(function*() {
        const error = yield* Effect.flip(Stream.runDrain(pipeline))
        yield* pipeline.pipe(Stream.take(1), Stream.runDrain)
        return error
      })
      const error = yield* Effect.provide(program, layer)
      assert.instanceOf(error, KafkaError.KafkaUnavailable)
      assert.deepStrictEqual(kafka.values("out"), ["a"])
    }))
})

describe("a batch that was fetched before its partition went away", () => {
  it.effect("is not handed out when the partition comes back, although it would join", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp({ kafka: { partitions: 1 }, consumer: { maxRecords: 1 } })
      kafka.put("in", 0, ["a", "b", "c"])
      const tp = { topic: "in", partition: 0 }
      const delivered: Array<string | undefined> = []
      const fiber = yield* CommittedConsumer.batches(Input).pipe(
        Stream.tap((batch) =>
          Effect.gen(function*() {
            const value = batch.records[0]?.value
            delivered.push(value)
            if (value !== "a") return
            yield* withTransaction(Transaction.consumed(batch))
            // The slice behind it waits to be handed out now.
            yield* kafka.revoke(kafka.member(), [tp])
            yield* kafka.assign(kafka.member(), [tp])
          })
        ),
        Stream.runDrain,
        Effect.provide(layer),
        Effect.forkChild
      )
      yield* until(() => delivered.length > 1)
      yield* idle
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(delivered, ["a", "b"], "one batch of a partition is out at a time")
    }))
})

describe("where a partition begins", () => {
  it.effect("at the committed offset, else at the earliest record", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp({ kafka: { partitions: 2 } })
      kafka.put("in", 0, ["a", "b"])
      kafka.put("in", 1, ["x"])
      kafka.commitAs("g", { topic: "in", partition: 0 }, 1n)
      yield* pipeline.pipe(Stream.take(2), Stream.runDrain, Effect.provide(layer))
      assert.deepStrictEqual(kafka.values("out").toSorted(), ["b", "x"])
    }))

  it.effect("at the end, when startFrom is \"latest\"", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp({ kafka: { partitions: 1 }, consumer: { startFrom: "latest" } })
      kafka.put("in", 0, ["a"])
      yield* pipeline.pipe(
        Stream.take(1),
        Stream.runDrain,
        Effect.provide(layer),
        Effect.raceFirst(Effect.andThen(
          Effect.repeat(Effect.yieldNow, { times: 200 }),
          Effect.andThen(Effect.sync(() => kafka.put("in", 0, ["b"])), Effect.never)
        ))
      )
      assert.deepStrictEqual(kafka.values("out"), ["b"])
    }))

  it.effect("nowhere, when startFrom is \"fail\": the partition is named, and nothing was read", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp({ kafka: { partitions: 2 }, consumer: { startFrom: "fail" } })
      kafka.put("in", 0, ["a"])
      kafka.commitAs("g", { topic: "in", partition: 0 }, 0n)
      const error = yield* pipeline.pipe(Stream.runDrain, Effect.provide(layer), Effect.flip)
      assert.instanceOf(error, KafkaError.OffsetOutOfRange)
      assert.strictEqual(error.partition, 1)
      assert.isUndefined(error.offset)
      assert.deepStrictEqual(kafka.values("out"), [])
    }))
})

describe("R24: wrong wiring", () => {
  it.effect("a topic that does not exist is named before the group is joined", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp()
      const error = yield* CommittedConsumer.batches([Input, Topic.string("missing")]).pipe(
        transactionally(() => Effect.void),
        Stream.runDrain,
        Effect.provide(layer),
        Effect.flip
      )
      assert.instanceOf(error, KafkaError.Misconfigured)
      assert.strictEqual(error._tag === "Misconfigured" && error.setting, "topics")
      assert.include(error.message, "missing does not exist")
      assert.strictEqual(kafka.count("leave"), 0)
    }))

  it.effect("no topic at all, and a second run beside the first, are refused; one after the other is not", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp()
      kafka.put("in", 0, ["a"])
      const program = Effect.gen(function*() {
        const none = yield* Effect.flip(Stream.runDrain(CommittedConsumer.batches([])))
        const twice = yield* CommittedConsumer.batches(Input).pipe(
          Stream.mapEffect(() => Effect.flip(Stream.runDrain(CommittedConsumer.batches(Input)))),
          Stream.take(1),
          Stream.runCollect
        )
        yield* pipeline.pipe(Stream.take(1), Stream.runDrain)
        return [none, ...twice]
      })
      const errors = yield* Effect.provide(program, layer)
      assert.deepStrictEqual(errors.map((error) => error._tag === "Misconfigured" && error.setting), [
        "topics",
        "batches"
      ])
      assert.deepStrictEqual(kafka.values("out"), ["a"])
    }))
})
