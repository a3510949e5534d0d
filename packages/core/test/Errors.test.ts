import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema, Stream } from "effect"
import {
  CommittedConsumer,
  Driver,
  KafkaError,
  Topic,
  Transaction,
  transactionally,
  TransactionalSession,
  withTransaction
} from "../src/index.ts"
import * as MemoryKafka from "./support/MemoryKafka.ts"

const Input = Topic.string("in")

const memory = () => {
  const kafka = MemoryKafka.make()
  kafka.createTopic("in")
  return kafka.layer
}

const session = (options: Partial<TransactionalSession.Options> = {}) =>
  TransactionalSession.layer({ transactionalIdPrefix: "app", replica: "app-0", ...options })

const consumer = (options: Partial<CommittedConsumer.Options> = {}) =>
  CommittedConsumer.layer({ groupId: "g", ...options })

const refusalOf = <A>(layer: Layer.Layer<A, KafkaError.KafkaError, Driver.Driver>) =>
  Effect.flip(Effect.scoped(Layer.build(layer.pipe(Layer.provide(memory())))))

const misconfigured = (error: KafkaError.KafkaError, setting: string, ...parts: ReadonlyArray<string>) => {
  assert.instanceOf(error, KafkaError.Misconfigured)
  assert.strictEqual(error._tag === "Misconfigured" ? error.setting : undefined, setting)
  for (const part of parts) assert.include(error.message, part)
}

describe("settings that contradict each other", () => {
  it.effect.each(
    [
      ["bodyTimeout", { transactionTimeout: "10 seconds", bodyTimeout: "9 seconds", commitMargin: "1 second" }],
      ["bodyTimeout", { transactionTimeout: "1 second", bodyTimeout: "2 seconds" }],
      ["bodyTimeout", { bodyTimeout: 0 }],
      ["commitMargin", { commitMargin: 0 }],
      ["transactionTimeout", { transactionTimeout: "50 millis" }],
      ["transactionTimeout", { transactionTimeout: "100 days" }],
      ["parallelism", { parallelism: 0 }],
      ["lanes", { lanes: 1.5 }],
      ["transactionalIdPrefix", { transactionalIdPrefix: "" }],
      ["replica", { replica: "" }],
      ["compression", { compression: "zstd" }]
    ] as const
  )("a session's %s is named: %o", ([setting, options]) =>
    Effect.gen(function*() {
      misconfigured(yield* refusalOf(session(options)), setting)
    }))

  it.effect.each(
    [
      ["groupId", { groupId: "" }],
      ["heartbeatInterval", { sessionTimeout: "6 seconds", heartbeatInterval: "4 seconds" }],
      ["rebalanceTimeout", { sessionTimeout: "10 seconds", rebalanceTimeout: "5 seconds" }],
      ["maxWait", { sessionTimeout: "6 seconds", maxWait: "5 seconds" }],
      ["maxBytesPerPartition", { maxBytesPerPartition: 0 }],
      ["maxRecords", { maxRecords: -1 }]
    ] as const
  )("a consumer's %s is named: %o", ([setting, options]) =>
    Effect.gen(function*() {
      misconfigured(yield* refusalOf(consumer(options)), setting)
    }))

  it.effect("a session and a consumer that do not fit each other are refused before a record is read", () =>
    Effect.gen(function*() {
      let read = 0
      const error = yield* CommittedConsumer.batches(Input).pipe(
        transactionally(() => Effect.sync(() => read++)),
        Stream.runDrain,
        Effect.provide(
          Layer.mergeAll(
            session({ transactionTimeout: "1 minute" }),
            consumer({ sessionTimeout: "10 seconds", rebalanceTimeout: "30 seconds" })
          ).pipe(Layer.provide(memory()))
        ),
        Effect.flip
      )
      assert.instanceOf(error, KafkaError.Misconfigured)
      assert.strictEqual(error._tag === "Misconfigured" && error.setting, "rebalanceTimeout")
      for (const part of ["bodyTimeout 42000 ms", "commitMargin 15000 ms", "30000 ms"]) {
        assert.include(error.message, part)
      }
      assert.strictEqual(read, 0)
    }))

  it.effect("batches of a consumer that was started beside another session are refused", () =>
    Effect.gen(function*() {
      const kafka = MemoryKafka.make()
      kafka.createTopic("in")
      kafka.put("in", 0, ["a"])
      const layers = (replica: string) =>
        Layer.fresh(Layer.mergeAll(session({ replica }), consumer()).pipe(Layer.provide(kafka.layer)))
      const error = yield* Stream.provide(CommittedConsumer.batches(Input), layers("app-0")).pipe(
        transactionally(() => Effect.void),
        Stream.runDrain,
        Effect.provide(layers("app-1")),
        Effect.flip
      )
      assert.instanceOf(error, KafkaError.Misconfigured)
      assert.include(error.message, "Provide CommittedConsumer and TransactionalSession to the same program")
      assert.isUndefined(kafka.offset("g", { topic: "in", partition: 0 }))
    }))
})

describe("a record that does not encode", () => {
  const Numbers = Topic.json("numbers", { key: Schema.String, value: Schema.Finite })
  const Strays = Topic.string("strays")
  const setUp = Effect.sync(() => {
    const kafka = MemoryKafka.make()
    for (const name of ["numbers", "strays"]) kafka.createTopic(name)
    return { kafka, layer: session().pipe(Layer.provide(kafka.layer)) }
  })
  const records = [1, Number.NaN, 3].map((value) => ({ key: "k", value, partition: 0 }))

  it.effect("is named by its place in the call, and aborts a transaction that does not handle it", () =>
    Effect.gen(function*() {
      const { kafka, layer } = yield* setUp
      const error = yield* withTransaction(
        Effect.andThen(
          Transaction.emit(Strays, [{ key: "k", value: "before", partition: 0 }]),
          Transaction.emit(Numbers, records)
        )
      ).pipe(Effect.provide(layer), Effect.flip)
      assert.instanceOf(error, KafkaError.EncodeError)
      assert.deepStrictEqual(error._tag === "EncodeError" && [error.topic, error.index, error.part], [
        "numbers",
        1,
        "value"
      ])
      assert.deepStrictEqual([kafka.values("numbers"), kafka.values("strays")], [[], []])
    }))

  it.effect("takes nothing of its call, so that a body may write it elsewhere instead", () =>
    Effect.gen(function*() {
      const { kafka, layer } = yield* setUp
      yield* withTransaction(
        Effect.catchTag(Transaction.emit(Numbers, records), "EncodeError", ({ index }) =>
          Transaction.emit(Strays, [{ key: "k", value: `record ${index}`, partition: 0 }]))
      ).pipe(Effect.provide(layer))
      assert.deepStrictEqual([kafka.values("numbers"), kafka.values("strays")], [[], ["record 1"]])
    }))
})

describe("a driver's failure as a public error", () => {
  const failure = (options: Partial<ConstructorParameters<typeof Driver.DriverError>[0]>) =>
    Driver.toKafkaError(
      new Driver.DriverError({
        operation: "connect",
        failure: "Misconfigured",
        description: "what happened",
        ...options
      })
    )

  it("a refused setting is named: the driver's own word, else what the code means, else the topic", () => {
    misconfigured(failure({ setting: "ssl", code: 26, topic: "t" }), "ssl")
    misconfigured(failure({ code: 26, topic: "t" }), "sessionTimeout")
    misconfigured(failure({ code: 50 }), "transactionTimeout")
    misconfigured(failure({ code: 76 }), "compression")
    misconfigured(failure({ code: 3, topic: "t" }), "t")
    misconfigured(failure({}), "connect")
  })

  it("a code is told once, by number and name", () => {
    assert.strictEqual(failure({ code: 24 }).message, "groupId: what happened (24 INVALID_GROUP_ID)")
    assert.strictEqual(
      failure({ code: 24, description: "JoinGroup was answered with 24 INVALID_GROUP_ID" }).message,
      "groupId: JoinGroup was answered with 24 INVALID_GROUP_ID"
    )
  })

  it.each(
    [
      ["Unauthorized", "Unauthorized"],
      ["Unavailable", "KafkaUnavailable"],
      ["UnknownOutcome", "KafkaUnavailable"],
      ["Retriable", "KafkaUnavailable"],
      ["Misconfigured", "Misconfigured"],
      ["Fatal", "KafkaFailure"]
    ] as const
  )("%s is %s", (kind, tag) => {
    assert.strictEqual(failure({ failure: kind })._tag, tag)
  })
})
