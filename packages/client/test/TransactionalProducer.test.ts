import { assert, describe, it } from "@effect/vitest"
import { Broker } from "@exactly-once/broker"
import { Driver, Offset } from "@exactly-once/core"
import { Effect, Layer } from "effect"
import { overCalls, overTcp } from "./support/clients.ts"

const text = new TextEncoder()
const bytes = (value: string) => text.encode(value)
const words = (records: ReadonlyArray<{ readonly value: Uint8Array | null }>) =>
  records.map(({ value }) => value === null ? null : new TextDecoder().decode(value))

const records = (...values: ReadonlyArray<string>) =>
  values.map((value) => ({ key: bytes("key"), value: bytes(value), partition: 0 }))

const producerOf = (transactionalId: string) =>
  Effect.flatMap(
    Driver.Driver,
    (driver) => driver.transactionalProducer({ transactionalId, transactionTimeoutMs: 10_000, compression: "none" })
  )

const transports = { "over TCP": overTcp, "in one process": overCalls }

for (const [transport, driver] of Object.entries(transports)) {
  for (const transactionVersion of [1, 2] as const) {
    const world = driver().pipe(
      Layer.provideMerge(Broker.layer({ transactionVersion, topics: { out: 2, in: 1 }, autoCreateTopics: false }))
    )
    describe(`a transactional producer ${transport}, transaction.version ${transactionVersion}`, () => {
      it.live("commits records and offsets together", () =>
        Effect.gen(function*() {
          const broker = yield* Broker
          const producer = yield* producerOf("copy")
          yield* producer.init("Takeover")
          const transaction = yield* producer.begin
          yield* transaction.send("out", records("a", "b"))
          yield* transaction.flush
          yield* transaction.sendOffsets({
            groupId: "group",
            delivery: null,
            offsets: [{ topic: "in", partition: 0, offset: Offset.offsetUnsafe(7n), metadata: "token" }]
          })
          assert.deepStrictEqual(words(yield* broker.records("out", 0)), [])
          yield* transaction.commit
          assert.deepStrictEqual(words(yield* broker.records("out", 0)), ["a", "b"])
          const committed = (yield* broker.committed("group")).get("in")?.get(0)
          assert.strictEqual(committed?.offset, 7n)
          assert.strictEqual(committed?.metadata, "token")
        }).pipe(Effect.scoped, Effect.provide(world)))

      it.live("runs transaction after transaction without another init", () =>
        Effect.gen(function*() {
          const broker = yield* Broker
          const producer = yield* producerOf("many")
          yield* producer.init("Takeover")
          const expected: Array<string> = []
          for (let n = 0; n < 20; n++) {
            const transaction = yield* producer.begin
            yield* transaction.send("out", records(`${n}`))
            if (n % 3 === 2) yield* transaction.abort
            else {
              yield* transaction.commit
              expected.push(`${n}`)
            }
          }
          assert.deepStrictEqual(words(yield* broker.records("out", 0)), expected)
          assert.deepStrictEqual(yield* broker.defects, [])
        }).pipe(Effect.scoped, Effect.provide(world)))

      it.live("sends nothing for an empty transaction, nor for its abort", () =>
        Effect.gen(function*() {
          const broker = yield* Broker
          const producer = yield* producerOf("empty")
          yield* producer.init("Takeover")
          const ends = yield* broker.inject({ api: "EndTxn", when: "before", action: { type: "cut" } })
          yield* Effect.flatMap(producer.begin, (transaction) => transaction.commit)
          yield* Effect.flatMap(producer.begin, (transaction) => transaction.abort)
          assert.strictEqual(yield* ends.hits, 0)
        }).pipe(Effect.scoped, Effect.provide(world)))

      it.live("is fenced by a newer owner, and its own init does not win against it", () =>
        Effect.gen(function*() {
          const old = yield* producerOf("owned")
          yield* old.init("Takeover")
          const transaction = yield* old.begin
          yield* transaction.send("out", records("zombie"))
          yield* transaction.flush
          const newer = yield* producerOf("owned")
          yield* newer.init("Takeover")
          const refused = yield* Effect.flip(transaction.commit)
          assert.strictEqual(refused.failure, "Fenced")
          yield* Effect.ignore(transaction.abort)
          assert.strictEqual((yield* Effect.flip(old.init("Own"))).failure, "Fenced")
          const next = yield* newer.begin
          yield* next.send("out", records("owner"))
          yield* next.commit
          assert.deepStrictEqual(words(yield* Effect.flatMap(Broker, (broker) => broker.records("out", 0))), ["owner"])
        }).pipe(Effect.scoped, Effect.provide(world)))

      for (const when of ["before", "after"] as const) {
        it.live(`commits once when the connection is cut ${when} EndTxn took effect`, () =>
          Effect.gen(function*() {
            const broker = yield* Broker
            const producer = yield* producerOf("cut-end")
            yield* producer.init("Takeover")
            const transaction = yield* producer.begin
            yield* transaction.send("out", records("once"))
            yield* transaction.flush
            const cut = yield* broker.inject({ api: "EndTxn", times: 1, when, action: { type: "cut" } })
            yield* transaction.commit
            assert.strictEqual(yield* cut.hits, 1)
            const next = yield* producer.begin
            yield* next.send("out", records("twice"))
            yield* next.commit
            assert.deepStrictEqual(words(yield* broker.records("out", 0)), ["once", "twice"])
          }).pipe(Effect.scoped, Effect.provide(world)))

        it.live(`writes each record once when the connection is cut ${when} Produce took effect`, () =>
          Effect.gen(function*() {
            const broker = yield* Broker
            const producer = yield* producerOf("cut-produce")
            yield* producer.init("Takeover")
            const transaction = yield* producer.begin
            const cut = yield* broker.inject({ api: "Produce", times: 1, when, action: { type: "cut" } })
            yield* transaction.send("out", records("a", "b", "c"))
            yield* transaction.commit
            assert.strictEqual(yield* cut.hits, 1)
            assert.deepStrictEqual(words(yield* broker.records("out", 0)), ["a", "b", "c"])
          }).pipe(Effect.scoped, Effect.provide(world)))

        it.live(`never sends an unanswered TxnOffsetCommit again, cut ${when} it took effect`, () =>
          Effect.gen(function*() {
            const broker = yield* Broker
            const producer = yield* producerOf("cut-offsets")
            yield* producer.init("Takeover")
            const transaction = yield* producer.begin
            yield* transaction.send("out", records("a"))
            const cut = yield* broker.inject({ api: "TxnOffsetCommit", when, action: { type: "cut" } })
            const failed = yield* Effect.flip(transaction.sendOffsets({
              groupId: "group",
              delivery: null,
              offsets: [{ topic: "in", partition: 0, offset: Offset.offsetUnsafe(7n), metadata: "token" }]
            }))
            assert.strictEqual(failed.failure, "UnknownOutcome")
            assert.strictEqual(yield* cut.hits, 1)
            assert.strictEqual((yield* Effect.flip(transaction.commit)).failure, "Abortable")
            yield* transaction.abort
            yield* producer.init("Own")
            yield* (yield* producer.begin).commit
            assert.deepStrictEqual(words(yield* broker.records("out", 0)), [])
            assert.strictEqual((yield* broker.committed("group")).get("in"), undefined)
          }).pipe(Effect.scoped, Effect.provide(world)))
      }

      it.live("keeps the order of many batches when their leader refuses some of them", () =>
        Effect.gen(function*() {
          const broker = yield* Broker
          const producer = yield* producerOf("order")
          yield* producer.init("Takeover")
          const transaction = yield* producer.begin
          for (const nth of [2, 5]) {
            yield* broker.inject({ api: "Produce", nth, times: 1, when: "before", action: { type: "error", code: 6 } })
          }
          const values = Array.from({ length: 3_000 }, (_, n) => `${n}-${"x".repeat(1_000)}`)
          for (let from = 0; from < values.length; from += 100) {
            yield* transaction.send("out", records(...values.slice(from, from + 100)))
          }
          yield* transaction.commit
          assert.deepStrictEqual(words(yield* broker.records("out", 0)), values)
        }).pipe(Effect.scoped, Effect.provide(driver({ maxBatchBytes: 100_000 })), Effect.provide(world)))

      it.live("refuses a record that is too large, and names its topic", () =>
        Effect.gen(function*() {
          const producer = yield* producerOf("large")
          yield* producer.init("Takeover")
          const transaction = yield* producer.begin
          const refused = yield* Effect.flip(
            transaction.send("out", [{ key: null, value: new Uint8Array(2_000_000) }])
          )
          assert.strictEqual(refused.failure, "InvalidRecord")
          assert.strictEqual(refused.topic, "out")
        }).pipe(Effect.scoped, Effect.provide(world)))
    })
  }
}
