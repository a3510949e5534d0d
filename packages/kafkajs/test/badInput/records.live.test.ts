import { assert, it } from "@effect/vitest"
import {
  CommittedConsumer,
  IdempotentProducer,
  KafkaError,
  Topic,
  Transaction,
  transactionally,
  withTransaction
} from "@exactly-once/core"
import type { Probe } from "@exactly-once/testkit"
import { Effect, Layer, Schema, Stream } from "effect"
import { describeLive } from "../../../../scripts/vitest/live.ts"
import { bytes, committedValues, valueOf } from "../support/kafka.ts"
import { world } from "./support.ts"

const missing = (): Uint8Array => {
  throw new Error("not on this platform")
}
/** A codec whose native library is not there. */
const broken = { compress: missing, decompress: missing }

/** Every value a read_uncommitted reader finds, aborted ones too. */
const everWritten = (probe: Probe.Probe, topic: string) =>
  Effect.map(
    probe.fetch(topic, 0, 0n, { isolation: "read_uncommitted" }),
    ({ batches }) =>
      batches.filter((batch) => batch.marker === undefined).flatMap((batch) => batch.records.map(valueOf))
  )

describeLive("records that cannot be processed or written", () => {
  it.live("an undecodable record is named, nothing behind it is committed, and work goes on once it is skipped", () =>
    Effect.gen(function*() {
      const { committed, layers, name, Output, probe, put, setOffset } = yield* world({ in: 1, out: 1 })
      yield* put("in", [`{"amount":1}`])
      yield* put("in", [`{"amount":"two"}`])
      yield* put("in", [`{"amount":3}`])
      const Orders = Topic.json(name("in"), {
        key: Schema.String,
        value: Schema.Struct({ amount: Schema.Number })
      })
      const copyUntil = (last: number) =>
        CommittedConsumer.batches(Orders).pipe(
          transactionally((batch) =>
            Effect.as(
              Transaction.emit(
                Output,
                batch.records.map(({ key, value }) => ({ key, value: String(value.amount) }))
              ),
              batch.records.map(({ value }) => value.amount)
            )
          ),
          Stream.takeUntil((amounts) => amounts.includes(last)),
          Stream.runDrain,
          Effect.provide(layers({ consumer: { maxRecords: 1 } })),
          Effect.timeout("20 seconds")
        )
      const error = yield* Effect.flip(copyUntil(3))
      assert.instanceOf(error, KafkaError.DecodeError)
      if (error._tag !== "DecodeError") return
      assert.deepStrictEqual([error.topic, error.partition, error.offset, error.part], [name("in"), 0, 1n, "value"])
      assert.include(error.message, "amount")
      // what came before it is committed or not, but it is neither skipped nor overtaken
      assert.isAtMost(Number(yield* committed()), 1)
      const again = yield* Effect.flip(copyUntil(3))
      assert.strictEqual(again._tag === "DecodeError" && again.offset, 1n)
      assert.isAtMost(Number(yield* committed()), 1)
      const before = yield* committedValues(probe, name("out"))
      yield* setOffset(2n)
      yield* copyUntil(3)
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), [...before, "3"])
      assert.strictEqual(yield* committed(), 3n)
    }))

  it.live("an undecodable record of one partition neither loses nor doubles what is under way on others", () =>
    Effect.gen(function*() {
      const { committed, Input, layers, name, Output, probe, put } = yield* world({ in: 3, out: 1 })
      const values = Array.from({ length: 300 }, (_, i) => `v${i}`)
      for (const partition of [0, 1, 2]) {
        yield* put("in", values.filter((_, i) => i % 3 === partition), partition)
      }
      yield* put("in", [Uint8Array.of(0xff)], 2)
      const copy = CommittedConsumer.batches(Input).pipe(
        transactionally((batch) =>
          Effect.andThen(
            Transaction.emit(Output, batch.records.map(({ key, value }) => ({ key, value, partition: 0 }))),
            Effect.sleep(10)
          )
        ),
        Stream.runDrain,
        Effect.provide(layers({ consumer: { maxRecords: 20 } })),
        Effect.timeout("20 seconds")
      )
      // Each attempt ends at the same record, and gets on with the rest.
      for (let attempts = 0; attempts < 30; attempts++) {
        assert.instanceOf(yield* Effect.flip(copy), KafkaError.DecodeError)
        if ((yield* committed(0)) === 100n && (yield* committed(1)) === 100n && (yield* committed(2)) >= 100n) break
      }
      assert.deepStrictEqual([yield* committed(0), yield* committed(1), yield* committed(2)], [100n, 100n, 100n])
      assert.deepStrictEqual((yield* committedValues(probe, name("out"))).toSorted(), values.toSorted())
    }))

  it.live("an undecodable key, and bytes that are no text, are told apart from values", () =>
    Effect.gen(function*() {
      const { Input, layers, name, probe } = yield* world({ in: 1 })
      yield* probe.produce(name("in"), 0, [{ key: Uint8Array.of(0xff, 0xfe), value: bytes("v") }])
      const error = yield* CommittedConsumer.batches(Input).pipe(
        transactionally(() => Effect.void),
        Stream.runDrain,
        Effect.provide(layers()),
        Effect.flip
      )
      assert.instanceOf(error, KafkaError.DecodeError)
      assert.strictEqual(error._tag === "DecodeError" && error.part, "key")
    }))

  it.live("a record above the client's limit aborts the batch: nothing of it is visible, nothing is lost", () =>
    Effect.gen(function*() {
      const { committed, copy, name, probe, put } = yield* world({ in: 1, out: 1 })
      yield* put("in", ["small", "x".repeat(2_000)])
      const error = yield* Effect.flip(copy(2, { driver: { maxRecordBytes: 1_000 } }))
      assert.instanceOf(error, KafkaError.InvalidRecord)
      assert.strictEqual(error._tag === "InvalidRecord" && error.topic, name("out"))
      assert.include(error.message, "maxRecordBytes")
      assert.strictEqual(yield* committed(), -1n)
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), [])
      yield* copy(2)
      assert.deepStrictEqual((yield* committedValues(probe, name("out"))).map((v) => v.length), [5, 2_000])
      assert.strictEqual(yield* committed(), 2n)
    }))

  it.live("a record above the topic's max.message.bytes aborts the batch, whatever was written before it", () =>
    Effect.gen(function*() {
      const { committed, copy, layers, name, probe, put } = yield* world({ in: 1 })
      yield* probe.createTopic(name("out"), 1, { "max.message.bytes": "1000" })
      yield* put("in", ["small", "x".repeat(2_000)])
      const error = yield* Effect.flip(copy(2))
      assert.instanceOf(error, KafkaError.InvalidRecord)
      if (error._tag === "InvalidRecord") assert.deepStrictEqual([error.topic, error.code], [name("out"), 10])
      assert.include(error.message, "max.message.bytes")
      assert.strictEqual(yield* committed(), -1n)

      // The first part of a transaction is on the broker already when the second is refused.
      const Output = Topic.string(name("out"))
      const flushed = yield* withTransaction(Effect.gen(function*() {
        yield* Transaction.emit(Output, [{ key: "k", value: "first" }])
        yield* Transaction.flush
        yield* Transaction.emit(Output, [{ key: "k", value: "y".repeat(2_000) }])
      })).pipe(Effect.provide(layers()), Effect.flip)
      assert.instanceOf(flushed, KafkaError.InvalidRecord)
      assert.include(yield* everWritten(probe, name("out")), "first")
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), [])
    }))

  it.live("a null header value arrives as null, and an empty one as empty", () =>
    Effect.gen(function*() {
      const { committed, copy, driver, layers, name, Output, probe } = yield* world({ in: 1, out: 1 })
      const headers = [["trace", null], ["empty", bytes("")]] as const
      yield* withTransaction(Transaction.emit(Output, [{ key: "k", value: "emitted", headers }])).pipe(
        Effect.provide(layers())
      )
      yield* IdempotentProducer.send(Output, [{ key: "k", value: "sent", headers }]).pipe(
        Effect.provide(Layer.fresh(IdempotentProducer.layer().pipe(Layer.provide(driver()))))
      )
      yield* probe.produce(name("in"), 0, [{ key: bytes("k"), value: bytes("copied"), headers }])
      yield* copy(1)
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), ["emitted", "sent", "copied"])
      for (let offset = 0n; offset < 4n; offset++) {
        const fetched = yield* probe.fetch(name("out"), 0, offset, { isolation: "read_committed" })
        for (const record of fetched.committed.flatMap((batch) => batch.records)) {
          assert.deepStrictEqual(record.headers.map(([key, value]) => [key, value?.length ?? null]), [
            ["trace", null],
            ["empty", 0]
          ])
        }
      }
      assert.strictEqual(yield* committed(), 1n)
    }))

  it.live("a compression that the driver has no codec for is named before anything connects", () =>
    Effect.gen(function*() {
      const { copy } = yield* world({ in: 1, out: 1 })
      const error = yield* Effect.flip(
        copy(1, { session: { compression: "zstd" }, driver: { codecs: { zstd: broken } } })
      )
      assert.instanceOf(error, KafkaError.Misconfigured)
      assert.strictEqual(error._tag === "Misconfigured" && error.setting, "compression")
      assert.include(error.message, "zstd")
    }))

  it.live("a batch in a codec that is not registered stops the reader at its place: nothing is skipped", () =>
    Effect.gen(function*() {
      const { committed, copy, driver, Input, name, probe, put } = yield* world({ in: 1, out: 1 })
      yield* put("in", ["plain"])
      yield* IdempotentProducer.send(Input, [{ key: "k", value: "packed" }]).pipe(
        Effect.provide(Layer.fresh(IdempotentProducer.layer({ compression: "zstd" }).pipe(Layer.provide(driver()))))
      )
      const error = yield* Effect.flip(copy(2, { driver: { codecs: { zstd: broken } } }))
      assert.instanceOf(error, KafkaError.Misconfigured)
      assert.include(error.message, "zstd")
      assert.include(error.message, name("in"))
      assert.isAtMost(Number(yield* committed()), 1)
      const before = yield* committedValues(probe, name("out"))
      yield* copy(2 - before.length)
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), ["plain", "packed"])
    }))
})
