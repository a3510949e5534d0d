import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Stream } from "effect"
import {
  CommittedConsumer,
  type Outcome,
  Topic,
  Transaction,
  transactionally,
  TransactionalSession
} from "../src/index.ts"
import * as MemoryKafka from "./support/MemoryKafka.ts"

const Input = Topic.string("in")
const Output = Topic.string("out")

const setUp = () => {
  const kafka = MemoryKafka.make({ fencing: "group", openTransactions: 2, partitions: 1 })
  kafka.createTopic("in")
  kafka.createTopic("out")
  const outcomes: Array<Outcome.Outcome> = []
  const layer = Layer.mergeAll(
    TransactionalSession.layer({
      transactionalIdPrefix: "app",
      replica: "app-0",
      onOutcome: (outcome) => Effect.sync(() => outcomes.push(outcome))
    }),
    CommittedConsumer.layer({ groupId: "g", maxBytesPerPartition: 1 })
  ).pipe(Layer.provide(kafka.layer))
  return { kafka, layer, outcomes }
}

const pipeline = CommittedConsumer.batches(Input).pipe(
  transactionally((batch) =>
    Transaction.emit(Output, batch.records.map(({ key, value }) => ({ key, value, partition: 0 })))
  )
)

const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => condition() ? Effect.void : Effect.andThen(Effect.yieldNow, until(condition)))

describe("R25: two open transactions of one lane", () => {
  it.effect("the next one is processed and sent while the last one commits", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp()
      kafka.put("in", 0, ["a", "b", "c"])
      const gate = kafka.deferred()
      kafka.before(({ op }, nth) => op === "commit" && nth === 1 ? Deferred.await(gate) : Effect.void)
      const fiber = yield* pipeline.pipe(Stream.take(3), Stream.runDrain, Effect.provide(layer), Effect.forkChild)
      yield* until(() => kafka.count("offsets") === 2)
      assert.strictEqual(kafka.count("commit"), 1)
      assert.strictEqual(kafka.count("send"), 2)
      yield* Effect.yieldNow
      assert.strictEqual(kafka.count("begin"), 2, "a third one waits for a producer")
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(kafka.values("out"), ["a", "b", "c"])
      assert.strictEqual(kafka.offset("g", { topic: "in", partition: 0 }), 3n)
    }))

  it.effect("sends of n + 1 wait for the sends of n; offsets wait for offsets", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp()
      kafka.put("in", 0, ["a", "b"])
      const send = kafka.deferred()
      const offsets = kafka.deferred()
      kafka.before(({ op }, nth) =>
        op === "send" && nth === 1
          ? Deferred.await(send)
          : op === "offsets" && nth === 1
          ? Deferred.await(offsets)
          : Effect.void
      )
      const fiber = yield* pipeline.pipe(Stream.take(2), Stream.runDrain, Effect.provide(layer), Effect.forkChild)
      yield* until(() => kafka.count("begin") === 2)
      for (let i = 0; i < 20; i++) yield* Effect.yieldNow
      assert.strictEqual(kafka.count("send"), 1)
      yield* Deferred.succeed(send, undefined)
      yield* until(() => kafka.count("send") === 2)
      for (let i = 0; i < 20; i++) yield* Effect.yieldNow
      assert.strictEqual(kafka.count("offsets"), 1)
      yield* Deferred.succeed(offsets, undefined)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(kafka.values("out"), ["a", "b"])
    }))

  it.effect("when n fails, n + 1 is given up, both take a new epoch, and both are redone in order", () =>
    Effect.gen(function*() {
      const { kafka, layer, outcomes } = setUp()
      kafka.put("in", 0, ["a", "b"])
      const gate = kafka.deferred<void>()
      kafka.before(({ op }, nth) =>
        op === "commit" && nth === 1
          ? Effect.andThen(Deferred.await(gate), kafka.fail("commit", "Abortable", 120))
          : Effect.void
      )
      const fiber = yield* pipeline.pipe(Stream.take(2), Stream.runDrain, Effect.provide(layer), Effect.forkChild)
      yield* until(() => kafka.count("offsets") === 2)
      const inits = kafka.requests.length
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(fiber)
      const later = kafka.requests.slice(inits).filter(({ op }) => op === "init").map(({ id }) => id)
      assert.deepStrictEqual(new Set(later), new Set(["app-app-0-lane-0-0", "app-app-0-lane-0-1"]))
      assert.deepStrictEqual(kafka.values("out"), ["a", "b"])
      assert.strictEqual(kafka.offset("g", { topic: "in", partition: 0 }), 2n)
      assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag), ["Aborted", "Aborted", "Committed", "Committed"])
    }))

  it.effect("an unknown commit of n that did commit: n + 1 is redone, n is not", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp()
      kafka.put("in", 0, ["a", "b"])
      const gate = kafka.deferred<void>()
      kafka.after(({ op }, nth) =>
        op === "commit" && nth === 1
          ? Effect.andThen(Deferred.await(gate), kafka.fail("commit", "UnknownOutcome"))
          : Effect.void
      )
      const fiber = yield* pipeline.pipe(Stream.take(2), Stream.runDrain, Effect.provide(layer), Effect.forkChild)
      yield* until(() => kafka.count("offsets") === 2)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(kafka.values("out"), ["a", "b"])
      assert.strictEqual(kafka.offset("g", { topic: "in", partition: 0 }), 2n)
    }))

  it.live("order and exactly-once hold when every twentieth request fails, at every place", () =>
    Effect.gen(function*() {
      for (let offset = 0; offset < 20; offset++) {
        const { kafka, layer } = setUp()
        kafka.put("in", 0, Array.from({ length: 12 }, (_, i) => `r${i}`))
        let n = offset
        const fault = (when: number) => () =>
          Effect.suspend(() => ++n % 40 === when ? kafka.fail("fault", "UnknownOutcome") : Effect.void)
        kafka.before(({ op }) => op === "poll" || op === "committed" ? Effect.void : fault(20)())
        kafka.after(({ op }) => op === "poll" || op === "committed" ? Effect.void : fault(0)())
        yield* pipeline.pipe(
          Stream.takeUntil(() => kafka.offset("g", { topic: "in", partition: 0 }) === 12n),
          Stream.runDrain,
          Effect.provide(layer),
          Effect.timeout("10 seconds")
        )
        assert.deepStrictEqual(kafka.values("out"), Array.from({ length: 12 }, (_, i) => `r${i}`), `offset ${offset}`)
      }
    }))
})
