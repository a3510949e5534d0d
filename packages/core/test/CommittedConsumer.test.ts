import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Effect, Layer, Logger, Metric, Schema, Stream } from "effect"
import type { Headers } from "../src/index.ts"
import {
  CommittedConsumer,
  KafkaError,
  Topic,
  Transaction,
  transactionally,
  TransactionalSession,
  withTransaction
} from "../src/index.ts"
import * as MemoryKafka from "./support/MemoryKafka.ts"
import { copied, Input, Output, setUp } from "./support/program.ts"

const Order = Schema.Struct({ id: Schema.String, amount: Schema.Finite })
const Orders = Topic.json("orders", { key: Schema.NullOr(Schema.String), value: Schema.NullOr(Order) })
const Raw = Topic.bytes("orders")

const put = (records: ReadonlyArray<Topic.OutRecord<Uint8Array | null, Uint8Array | null>>) =>
  withTransaction(Transaction.emit(Raw, records.map((record) => ({ ...record, partition: 0 }))))

const text = (value: string) => new TextEncoder().encode(value)

describe("records", () => {
  it.effect("tombstones, null keys, headers and timestamps come through a JSON topic", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp({ kafka: { partitions: 1 } })
      kafka.createTopic("orders")
      const headers: Headers.Headers = [["trace", text("1")], ["trace", null]]
      const program = Effect.gen(function*() {
        yield* withTransaction(Transaction.emit(Orders, [
          { key: "1", value: { id: "1", amount: 2.5 }, headers, timestamp: 17n, partition: 0 },
          { key: null, value: null, partition: 0 }
        ]))
        return yield* CommittedConsumer.batches(Orders).pipe(
          transactionally((batch) => Effect.succeed(batch.records)),
          Stream.take(1),
          Stream.runHead
        )
      })
      const records = yield* Effect.provide(program, layer)
      assert.deepStrictEqual(
        records._tag === "Some"
          ? records.value.map(({ offset, ...rest }) => ({ ...rest, offset: BigInt(offset) }))
          : [],
        [
          {
            topic: "orders",
            partition: 0,
            offset: 0n,
            timestamp: 17n,
            key: "1",
            value: { id: "1", amount: 2.5 },
            headers
          },
          { topic: "orders", partition: 0, offset: 1n, timestamp: 0n, key: null, value: null, headers: [] }
        ]
      )
    }))

  it.effect.each(
    [
      ["value", { key: text("1"), value: text("{\"id\":1}") }, "orders-0 at offset 1"],
      ["value", { key: text("1"), value: text("{") }, "orders-0 at offset 1"],
      ["key", { key: Uint8Array.of(0xff), value: null }, "orders-0 at offset 1"]
    ] as const
  )(
    "a %s that does not decode is named by its place, and its offset stays",
    ([part, record, place]) =>
      Effect.gen(function*() {
        const { kafka, layer } = setUp({ kafka: { partitions: 1 }, consumer: { maxRecords: 1 } })
        kafka.createTopic("orders")
        const program = Effect.gen(function*() {
          yield* put([{ key: text("0"), value: text("{\"id\":\"0\",\"amount\":1}") }, record])
          return yield* CommittedConsumer.batches(Orders).pipe(
            transactionally(() => Effect.void),
            Stream.runDrain,
            Effect.flip
          )
        })
        const error = yield* Effect.provide(program, layer)
        assert.instanceOf(error, KafkaError.DecodeError)
        assert.strictEqual(error.part, part)
        assert.strictEqual(error.offset, 1n)
        assert.include(error.message, place)
        assert.notStrictEqual(kafka.offset("g", { topic: "orders", partition: 0 }), 2n)
      })
  )

  it.effect("one that does not encode is named by its place in the call, and nothing of the call is sent", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp()
      kafka.createTopic("orders")
      const error = yield* withTransaction(Transaction.emit(Orders, [
        { key: "0", value: { id: "0", amount: 1 } },
        { key: "1", value: { id: "1", amount: Number.NaN } }
      ])).pipe(Effect.flip, Effect.provide(layer))
      assert.instanceOf(error, KafkaError.EncodeError)
      assert.strictEqual(error.index, 1)
      assert.strictEqual(error.part, "value")
      assert.strictEqual(error.topic, "orders")
      assert.deepStrictEqual(kafka.values("orders"), [])
      assert.strictEqual(kafka.count("begin"), 0)
    }))

  it.effect("several topics come as one stream, told apart by their topic", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp({ kafka: { partitions: 1 } })
      kafka.createTopic("orders")
      kafka.put("in", 0, ["a"])
      const program = Effect.gen(function*() {
        yield* put([{ key: text("1"), value: text("{\"id\":\"1\",\"amount\":3}") }])
        return yield* CommittedConsumer.batches([Orders, Input]).pipe(
          transactionally((batch) =>
            Effect.succeed(
              batch.records.map((record) =>
                record.topic === "orders" ? `order of ${record.value?.amount ?? 0}` : `text ${record.value}`
              )
            )
          ),
          Stream.take(2),
          Stream.runCollect
        )
      })
      const seen = yield* Effect.provide(program, layer)
      assert.deepStrictEqual(seen.flat().toSorted(), ["order of 3", "text a"])
      assert.strictEqual(kafka.offset("g", { topic: "orders", partition: 0 }), 1n)
      assert.strictEqual(kafka.offset("g", { topic: "in", partition: 0 }), 1n)
    }))
})

describe("layerConfig", () => {
  const from = (env: Record<string, string>) => ConfigProvider.layer(ConfigProvider.fromEnvRecord(env))

  const configured = (kafka: ReturnType<typeof MemoryKafka.make>, env: Record<string, string>) =>
    Layer.mergeAll(
      TransactionalSession.layerConfig({
        transactionalIdPrefix: Config.String("PREFIX"),
        replica: Config.String("REPLICA"),
        transactionTimeout: Config.Duration("TRANSACTION_TIMEOUT")
      }),
      CommittedConsumer.layerConfig({ groupId: Config.String("GROUP"), maxRecords: Config.Int("MAX_RECORDS") })
    ).pipe(Layer.provide([kafka.layer, from(env)]))

  const complete = {
    PREFIX: "app",
    REPLICA: "app-0",
    TRANSACTION_TIMEOUT: "5 seconds",
    GROUP: "from-config",
    MAX_RECORDS: "1"
  }

  it.effect("session and consumer read their settings", () =>
    Effect.gen(function*() {
      const kafka = MemoryKafka.make({ partitions: 1 })
      kafka.createTopic("in")
      kafka.createTopic("out")
      kafka.put("in", 0, ["a", "b"])
      const sizes = yield* CommittedConsumer.batches(Input).pipe(
        transactionally((batch) => Effect.as(Transaction.emit(Output, copied(batch.records)), batch.records.length)),
        Stream.take(2),
        Stream.runCollect,
        Effect.provide(configured(kafka, complete))
      )
      assert.deepStrictEqual(sizes, [1, 1])
      assert.strictEqual(kafka.offset("from-config", { topic: "in", partition: 0 }), 2n)
      assert.isTrue(kafka.ids().every((id) => id.startsWith("app-")))
    }))

  it.effect.each(
    [
      [{ ...complete, TRANSACTION_TIMEOUT: "often" }, "ConfigError"],
      [{ ...complete, MAX_RECORDS: "0" }, "Misconfigured"],
      [{ ...complete, REPLICA: "" }, "ConfigError"],
      [{ ...complete, TRANSACTION_TIMEOUT: "1 millis" }, "Misconfigured"]
    ] as const
  )("what is wrong is told when the layer is built: %o", ([env, tag]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.scoped(Layer.build(configured(MemoryKafka.make(), env))))
      assert.strictEqual(error._tag, tag)
    }))
})

describe("metrics", () => {
  it.effect("count transactions by outcome, and the records that were committed", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp({ kafka: { partitions: 1 } })
      kafka.put("in", 0, ["a", "b"])
      kafka.before(({ op }, nth) =>
        op === "offsets" && nth === 1 ? kafka.fail("offsets", "Rebalanced", 22) : Effect.void
      )
      const program = Effect.gen(function*() {
        yield* CommittedConsumer.batches(Input).pipe(
          transactionally((batch) => Transaction.emit(Output, copied(batch.records))),
          Stream.take(1),
          Stream.runDrain
        )
        yield* withTransaction(Effect.void)
        return yield* Metric.snapshot
      })
      const snapshot = yield* program.pipe(
        Effect.provide(layer),
        Effect.provideService(Metric.MetricRegistry, new Map())
      )
      const counts = snapshot.flatMap((metric) =>
        metric.type === "Counter" ? [`${metric.id} ${metric.attributes?.["outcome"] ?? "-"} ${metric.state.count}`] : []
      )
      assert.deepStrictEqual(counts.toSorted(), [
        "exactly_once_records_committed_total - 2",
        "exactly_once_transactions_total aborted 1",
        "exactly_once_transactions_total committed 1",
        "exactly_once_transactions_total empty 1"
      ])
    }))
})

describe("R14: budgets of session and consumer", () => {
  it.effect("a transaction timeout beyond the broker's maximum names the setting", () =>
    Effect.gen(function*() {
      const { layer } = setUp({
        kafka: { maxTransactionTimeoutMs: 60_000 },
        session: { transactionTimeout: "2 minutes" }
      })
      const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
      assert.instanceOf(error, KafkaError.Misconfigured)
      assert.strictEqual(error._tag === "Misconfigured" && error.setting, "transactionTimeout")
      assert.include(error.message, "transaction.max.timeout.ms")
    }))

  it.effect("a transaction timeout beyond the session timeout is a warning", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp({ session: { transactionTimeout: "20 seconds" } })
      kafka.put("in", 0, ["a"])
      const warnings: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => {
        if (logLevel === "Warn") warnings.push(String(message))
      })
      yield* CommittedConsumer.batches(Input).pipe(
        transactionally(() => Effect.void),
        Stream.take(1),
        Stream.runDrain,
        Effect.provide([layer, Logger.layer([logger])])
      )
      assert.strictEqual(warnings.length, 1)
      assert.include(warnings[0], "transactionTimeout 20000 ms is longer than sessionTimeout 10000 ms")
    }))
})
