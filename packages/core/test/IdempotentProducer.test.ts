import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { Driver, IdempotentProducer, KafkaError, Topic } from "../src/index.ts"
import * as MemoryKafka from "./support/MemoryKafka.ts"
import { idle, until } from "./support/program.ts"

const Out = Topic.string("out")
const Other = Topic.string("other")

const record = (value: string) => ({ key: value, value, partition: 0 })

const setUp = (options: IdempotentProducer.Options = {}) => {
  const kafka = MemoryKafka.make({ partitions: 1 })
  kafka.createTopic("out")
  kafka.createTopic("other")
  return { kafka, layer: IdempotentProducer.layer(options).pipe(Layer.provide(kafka.layer)) }
}

/** Until a test lets it: the first send. */
const hold = (kafka: ReturnType<typeof setUp>["kafka"]) => {
  const gate = kafka.deferred()
  kafka.before(({ op }, nth) => op === "send" && nth === 1 ? Deferred.await(gate) : Effect.void)
  return gate
}

describe("IdempotentProducer", () => {
  it.effect("answers where each record was written, in the order given", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp()
      const written = yield* Effect.provide(IdempotentProducer.send(Out, ["a", "b"].map(record)), layer)
      assert.deepStrictEqual(written.map(({ offset, partition, topic }) => `${topic}-${partition}@${offset}`), [
        "out-0@0",
        "out-0@1"
      ])
      assert.deepStrictEqual(kafka.values("out"), ["a", "b"])
    }))

  it.effect("callers side by side keep the order of their calls, and each hears of its own records", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp()
      const gate = hold(kafka)
      const program = Effect.gen(function*() {
        const fibers: Array<Fiber.Fiber<ReadonlyArray<IdempotentProducer.Written>, IdempotentProducer.SendError>> = []
        const calls = [[Out, "a"], [Out, "b"], [Other, "x"], [Out, "c"], [Out, "d"]] as const
        for (const [topic, value] of calls) {
          fibers.push(
            yield* Effect.forkChild(IdempotentProducer.send(topic, [record(value)]), { startImmediately: true })
          )
        }
        yield* Deferred.succeed(gate, undefined)
        return yield* Effect.forEach(fibers, Fiber.join)
      })
      const written = yield* Effect.provide(program, layer)
      assert.deepStrictEqual(written.map((own) => own.map(({ offset, topic }) => `${topic}@${offset}`)), [
        ["out@0"],
        ["out@1"],
        ["other@0"],
        ["out@2"],
        ["out@3"]
      ])
      assert.deepStrictEqual(kafka.values("out"), ["a", "b", "c", "d"])
      assert.isBelow(kafka.count("send"), 5, "calls that waited side by side went out together")
    }))

  it.effect("a call suspends while as many wait as may", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp({ bufferedSends: 2 })
      const gate = hold(kafka)
      const program = Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(IdempotentProducer.send(Out, [record("0")]))
        yield* until(() => kafka.count("send") === 1)
        const more = yield* Effect.forEach(["1", "2", "3", "4"], (value) =>
          Effect.forkChild(IdempotentProducer.send(Out, [record(value)]), { startImmediately: true }))
        yield* idle
        assert.isTrue(more.every((one) =>
          one.pollUnsafe() === undefined
        ))
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.joinAll([fiber, ...more])
      })
      yield* Effect.provide(program, layer)
      assert.deepStrictEqual(kafka.values("out"), ["0", "1", "2", "3", "4"])
    }))

  it.effect("a lost answer is DeliveryUnknown, with the caller's own number of records, and what follows is sent", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp()
      const gate = kafka.deferred()
      kafka.before(({ op }, nth) =>
        op === "send" && nth === 1
          ? Deferred.await(gate)
          : op === "send" && nth === 2
          ? kafka.fail("send", "UnknownOutcome")
          : Effect.void
      )
      const program = Effect.gen(function*() {
        const first = yield* Effect.forkChild(IdempotentProducer.send(Out, [record("a")]))
        yield* until(() => kafka.count("send") === 1)
        const two = yield* Effect.forkChild(Effect.flip(IdempotentProducer.send(Out, ["b", "c"].map(record))), {
          startImmediately: true
        })
        const one = yield* Effect.forkChild(Effect.flip(IdempotentProducer.send(Out, [record("d")])), {
          startImmediately: true
        })
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(first)
        const errors = yield* Effect.forEach([two, one], Fiber.join)
        yield* IdempotentProducer.send(Out, [record("e")])
        return errors
      })
      const [two, one] = yield* Effect.provide(program, layer)
      assert.instanceOf(two, IdempotentProducer.DeliveryUnknown)
      assert.instanceOf(one, IdempotentProducer.DeliveryUnknown)
      assert.deepStrictEqual([two, one].map((error) => error?._tag === "DeliveryUnknown" && error.records), [2, 1])
      assert.deepStrictEqual(kafka.values("out"), ["a", "e"])
    }))

  it.effect(
    "what waits when the layer closes is sent first, and a later call fails instead of waiting for ever",
    () =>
      Effect.gen(function*() {
        const { kafka, layer } = setUp({ bufferedSends: 1 })
        const gate = hold(kafka)
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(layer, scope)
        const send = (value: string) => Effect.provide(IdempotentProducer.send(Out, [record(value)]), context)
        const waiting = yield* Effect.forEach(
          ["a", "b", "c"],
          (value) => Effect.forkChild(send(value), { startImmediately: true })
        )
        yield* until(() => kafka.count("send") === 1)
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(closing)
        yield* Fiber.joinAll(waiting)
        assert.deepStrictEqual(kafka.values("out"), ["a", "b", "c"])
        const error = yield* Effect.flip(send("late"))
        assert.instanceOf(error, KafkaError.KafkaUnavailable)
        assert.include(error.message, "closed")
      }),
    { timeout: 2_000 }
  )

  it.effect.each(
    [
      ["Misconfigured", "Misconfigured"],
      ["Unauthorized", "Unauthorized"],
      ["Unavailable", "KafkaUnavailable"],
      ["InvalidRecord", "InvalidRecord"],
      ["Fatal", "KafkaFailure"]
    ] as const
  )("a driver's %s is %s", ([failure, tag]) =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp()
      kafka.before(({ op }) =>
        op === "send"
          ? new Driver.DriverError({ operation: "send", failure, code: 76, setting: "compression", description: "no" })
          : Effect.void
      )
      const error = yield* Effect.provide(Effect.flip(IdempotentProducer.send(Out, [record("a")])), layer)
      assert.strictEqual(error._tag, tag)
      if (error._tag === "Misconfigured") assert.strictEqual(error.setting, "compression")
    }))

  it.effect("settings that make no sense are named", () =>
    Effect.gen(function*() {
      const refused = (options: IdempotentProducer.Options) =>
        Effect.flip(Effect.scoped(Layer.build(setUp(options).layer)))
      for (
        const [setting, options] of [
          ["bufferedSends", { bufferedSends: 0 }],
          ["bufferedSends", { bufferedSends: 1.5 }],
          ["deliveryTimeout", { deliveryTimeout: 0 }],
          ["compression", { compression: "gzip" }]
        ] as const
      ) {
        const error = yield* refused(options)
        assert.strictEqual(error._tag === "Misconfigured" ? error.setting : error._tag, setting)
      }
    }))

  it.effect("layerConfig reads its settings", () =>
    Effect.gen(function*() {
      const kafka = MemoryKafka.make({ partitions: 1 })
      kafka.createTopic("out")
      const layer = IdempotentProducer.layerConfig({
        bufferedSends: Config.Int("SENDS"),
        deliveryTimeout: Config.Duration("TIMEOUT")
      }).pipe(Layer.provide(kafka.layer))
      const from = (env: Record<string, string>) => ConfigProvider.layer(ConfigProvider.fromEnvRecord(env))
      yield* IdempotentProducer.send(Out, [record("a")]).pipe(
        Effect.provide(layer.pipe(Layer.provide(from({ SENDS: "2", TIMEOUT: "5 seconds" }))))
      )
      assert.deepStrictEqual(kafka.values("out"), ["a"])
      const missing = yield* Effect.flip(Effect.scoped(Layer.build(layer.pipe(Layer.provide(from({ SENDS: "2" }))))))
      assert.strictEqual(missing._tag, "ConfigError")
      const wrong = yield* Effect.flip(
        Effect.scoped(Layer.build(layer.pipe(Layer.provide(from({ SENDS: "0", TIMEOUT: "5 seconds" })))))
      )
      assert.strictEqual(wrong._tag, "Misconfigured")
    }))
})
