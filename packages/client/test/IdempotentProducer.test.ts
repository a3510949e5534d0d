import { assert, describe, it } from "@effect/vitest"
import { Broker } from "@exactly-once/broker"
import { Driver } from "@exactly-once/core"
import { Effect, Layer } from "effect"
import { overCalls, overTcp } from "./support/clients.ts"
import { bytes, records, words } from "./support/records.ts"

const producer = (deliveryTimeoutMs = 10_000) =>
  Effect.flatMap(Driver.Driver, (driver) => driver.idempotentProducer({ compression: "none", deliveryTimeoutMs }))

for (const [transport, driver] of Object.entries({ "over TCP": overTcp, "in one process": overCalls })) {
  describe(`an idempotent producer ${transport}`, () => {
    const world = driver().pipe(Layer.provideMerge(Broker.layer({ topics: { out: 3 }, autoCreateTopics: false })))

    it.live("answers where each record stands, in the order given", () =>
      Effect.gen(function*() {
        const { send } = yield* producer()
        const keys = ["a", "b", "c", "d", "e", "f"]
        const placed = yield* send("out", keys.map((key) => ({ key: bytes(key), value: bytes(key) })))
        const broker = yield* Broker
        for (const [index, key] of keys.entries()) {
          const { offset, partition } = placed[index] ?? { offset: -1n, partition: -1 }
          const found = (yield* broker.records("out", partition)).find((record) => record.offset === offset)
          assert.deepStrictEqual(words(found === undefined ? [] : [found]), [key])
        }
      }).pipe(Effect.scoped, Effect.provide(world)))

    it.live("keeps the order of callers, although many requests are under way", () =>
      Effect.gen(function*() {
        const { send } = yield* producer()
        const values = Array.from({ length: 500 }, (_, n) => `${n}`)
        const sent = yield* Effect.forEach(values, (value) => send("out", records(value)), { concurrency: "unbounded" })
        assert.deepStrictEqual(sent.map(([one]) => Number(one?.offset)), values.map((_, n) => n))
        assert.deepStrictEqual(words(yield* Effect.flatMap(Broker, (broker) => broker.records("out", 0))), values)
      }).pipe(Effect.scoped, Effect.provide(world)))

    for (const when of ["before", "after"] as const) {
      it.live(`writes once and in order when connections are cut ${when} Produce took effect`, () =>
        Effect.gen(function*() {
          const broker = yield* Broker
          const { send } = yield* producer()
          for (const nth of [2, 4, 9]) {
            yield* broker.inject({ api: "Produce", nth, times: 1, when, action: { type: "cut" } })
          }
          const values = Array.from({ length: 200 }, (_, n) => `${n}`)
          yield* Effect.forEach(
            values,
            (value) => Effect.andThen(send("out", records(value)), Effect.yieldNow),
            { concurrency: 20 }
          )
          assert.deepStrictEqual(words(yield* broker.records("out", 0)), values)
        }).pipe(Effect.scoped, Effect.provide(world)))
    }

    it.live("takes a new producer id after an outcome that stays unknown", () =>
      Effect.gen(function*() {
        const broker = yield* Broker
        const { send } = yield* producer(300)
        yield* send("out", records("before"))
        const cut = yield* broker.inject({ api: "Produce", when: "after", action: { type: "cut" } })
        const error = yield* Effect.flip(send("out", records("unknown")))
        assert.strictEqual(error.failure, "UnknownOutcome")
        yield* cut.remove
        yield* send("out", records("behind"))
        assert.deepStrictEqual(words(yield* broker.records("out", 0)), ["before", "unknown", "behind"])
      }).pipe(Effect.scoped, Effect.provide(world)))

    it.live("refuses a record by name and writes the others of other calls", () =>
      Effect.gen(function*() {
        const { send } = yield* producer()
        const error = yield* Effect.flip(send("out", [{ key: null, value: bytes("x"), partition: 9 }]))
        assert.strictEqual(error.failure, "InvalidRecord")
        yield* send("out", records("fine"))
      }).pipe(Effect.scoped, Effect.provide(world)))
  })
}
