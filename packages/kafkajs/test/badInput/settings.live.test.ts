import { assert, it } from "@effect/vitest"
import {
  CommittedConsumer,
  IdempotentProducer,
  KafkaError,
  Topic,
  Transaction,
  withTransaction
} from "@exactly-once/core"
import { Effect, Layer, Stream } from "effect"
import { describeLive } from "../../../../scripts/vitest/live.ts"
import { committedValues } from "../support/kafka.ts"
import { world } from "./support.ts"

/** What building these layers fails with. */
const refusalOf = <A, E>(layer: Layer.Layer<A, E>) => Effect.flip(Effect.scoped(Layer.build(layer)))

describeLive("settings that a cluster refuses", () => {
  it.live("a transaction timeout above the broker's is named before a record is read", () =>
    Effect.gen(function*() {
      const { driver, session } = yield* world({})
      const error = yield* refusalOf(session({ transactionTimeout: "1 hour" }).pipe(Layer.provide(driver())))
      assert.instanceOf(error, KafkaError.Misconfigured)
      assert.strictEqual(error.setting, "transactionTimeout")
      assert.include(error.message, "transaction.max.timeout.ms")
    }))

  it.live("an input topic that is not there is named, and not created", () =>
    Effect.gen(function*() {
      const { copy, name, probe } = yield* world({ out: 1 })
      const error = yield* Effect.flip(copy(1))
      assert.instanceOf(error, KafkaError.Misconfigured)
      assert.strictEqual(error.setting, "topics")
      assert.include(error.message, name("in"))
      assert.include(error.message, "create it")
      assert.strictEqual((yield* Effect.flip(probe.partitions(name("in")))).code, 3)
    }))

  it.live("an output topic that is not there aborts, is named, and loses nothing", () =>
    Effect.gen(function*() {
      const { committed, copy, name, probe, put } = yield* world({ in: 1 })
      yield* put("in", ["a", "b"])
      const error = yield* Effect.flip(copy(2))
      assert.instanceOf(error, KafkaError.Misconfigured)
      assert.include(error.message, name("out"))
      assert.include(error.message, "create it")
      assert.strictEqual(yield* committed(), -1n)
      yield* probe.createTopic(name("out"), 1)
      yield* copy(2)
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), ["a", "b"])
      assert.strictEqual(yield* committed(), 2n)
    }))

  it.live("an output topic that is not there is named to a producer without a consumer too", () =>
    Effect.gen(function*() {
      const { driver, name, session } = yield* world({})
      const Missing = Topic.string(name("missing"))
      const records = [{ key: "k", value: "v" }]
      const inTransaction = yield* withTransaction(Transaction.emit(Missing, records)).pipe(
        Effect.provide(Layer.fresh(session().pipe(Layer.provide(driver())))),
        Effect.flip
      )
      assert.instanceOf(inTransaction, KafkaError.Misconfigured)
      assert.include(inTransaction.message, name("missing"))
      const alone = yield* IdempotentProducer.send(Missing, records).pipe(
        Effect.provide(Layer.fresh(IdempotentProducer.layer().pipe(Layer.provide(driver())))),
        Effect.flip
      )
      assert.instanceOf(alone, KafkaError.Misconfigured)
      assert.include(alone.message, name("missing"))
    }))

  it.live("without a committed offset, startFrom \"fail\" stops before the first record and says what to do", () =>
    Effect.gen(function*() {
      const { committed, copy, name, probe, put } = yield* world({ in: 1, out: 1 })
      yield* put("in", ["a"])
      const error = yield* Effect.flip(copy(1, { consumer: { startFrom: "fail" } }))
      assert.instanceOf(error, KafkaError.OffsetOutOfRange)
      assert.deepStrictEqual([error.topic, error.partition], [name("in"), 0])
      assert.include(error.message, "startFrom")
      assert.include(error.message, "Set the group's offset")
      assert.strictEqual(yield* committed(), -1n)
      yield* copy(1, { consumer: { startFrom: "earliest" } })
      yield* put("in", ["b"])
      yield* copy(1, { consumer: { startFrom: "fail" } })
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), ["a", "b"])
    }))

  it.live("a session timeout that the broker refuses is named", () =>
    Effect.gen(function*() {
      const { copy } = yield* world({ in: 1, out: 1 })
      const error = yield* Effect.flip(
        copy(1, { consumer: { sessionTimeout: "2 hours", rebalanceTimeout: "3 hours" } })
      )
      assert.instanceOf(error, KafkaError.Misconfigured)
      assert.strictEqual(error.setting, "sessionTimeout")
      assert.include(error.message, "group.max.session.timeout.ms")
    }))

  it.live("a group that speaks another protocol is named", () =>
    Effect.gen(function*() {
      const { consumer, driver, Input } = yield* world({ in: 1 })
      const error = yield* CommittedConsumer.batches(Input).pipe(
        Stream.runDrain,
        Effect.provide(consumer({ groupId: "" }).pipe(Layer.provide(driver()))),
        Effect.flip
      )
      assert.instanceOf(error, KafkaError.Misconfigured)
      assert.strictEqual(error.setting, "groupId")
    }))
})
