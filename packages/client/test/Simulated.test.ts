import { assert, describe, it } from "@effect/vitest"
import { Broker } from "@exactly-once/broker"
import { Transport } from "@exactly-once/client"
import * as Simulated from "@exactly-once/client/simulated"
import { Driver } from "@exactly-once/core"
import { Frame } from "@exactly-once/protocol"
import { Effect, Fiber, Layer, Random } from "effect"
import { TestClock } from "effect/testing"
import { member, offset, read, records, words } from "./support/records.ts"

/** Reaches the broker by function calls and notes the API of every request. */
const noting = (log: Array<number>): Layer.Layer<Transport.Transport, never, Broker> =>
  Layer.effect(
    Transport.Transport,
    Effect.map(Broker, (broker) => ({
      open: (_address, handlers) =>
        Effect.sync(() => {
          const channel = broker.connect({ onData: handlers.onData, onClose: () => handlers.onClose() })
          return {
            write: (bytes: Uint8Array) => {
              log.push(Frame.requestPreamble(bytes.subarray(4)).apiKey)
              channel.write(bytes)
            },
            close: channel.close
          }
        })
    }))
  )

const world = (log: Array<number>) =>
  Simulated.layer({ bootstrap: ["broker:9092"] }).pipe(
    Layer.provide(noting(log)),
    Layer.provideMerge(Broker.layerSimulated({ seed: 7, topics: { in: 2, out: 1 }, autoCreateTopics: false }))
  )

const producerOf = (transactionalId: string) =>
  Effect.flatMap(
    Driver.Driver,
    (driver) => driver.transactionalProducer({ transactionalId, transactionTimeoutMs: 10_000, compression: "none" })
  )

/** Lets time pass in small steps until the fiber ends. */
const inVirtualTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust(10)
    return yield* Fiber.join(fiber)
  })

const run = (log: Array<number>) =>
  inVirtualTime(Effect.gen(function*() {
    const driver = yield* Driver.Driver
    const broker = yield* Broker
    const { consumer } = yield* member(driver)
    const producer = yield* producerOf("copy")
    yield* producer.init("Takeover")
    for (let n = 0; n < 5; n++) {
      if (n === 2) yield* broker.inject({ api: "Produce", times: 1, when: "after", action: { type: "cut" } })
      const transaction = yield* producer.begin
      yield* transaction.send("in", records(`${n}`))
      yield* transaction.commit
    }
    return words(yield* read(consumer, 5))
  })).pipe(Effect.scoped, Effect.provide(world(log)), Random.withSeed("one"))

describe("client and broker in one process", () => {
  it.effect("do the same, request by request, for the same seed", () =>
    Effect.gen(function*() {
      const first: Array<number> = []
      const second: Array<number> = []
      assert.deepStrictEqual(yield* run(first), ["0", "1", "2", "3", "4"])
      assert.deepStrictEqual(yield* run(second), ["0", "1", "2", "3", "4"])
      assert.isAbove(first.length, 30)
      assert.deepStrictEqual(first, second)
    }))

  it.effect("live by the same virtual clock: a transaction times out in no time", () =>
    Effect.gen(function*() {
      const producer = yield* producerOf("slow")
      yield* inVirtualTime(producer.init("Takeover"))
      const transaction = yield* producer.begin
      yield* inVirtualTime(Effect.andThen(transaction.send("out", records("late")), transaction.flush))
      yield* TestClock.adjust("30 seconds")
      const refused = yield* inVirtualTime(Effect.flip(transaction.sendOffsets({
        groupId: "group",
        delivery: null,
        offsets: [{ topic: "in", partition: 0, offset: offset(1), metadata: "token" }]
      })))
      assert.strictEqual(refused.failure, "Fenced")
      yield* inVirtualTime(Effect.ignore(transaction.abort))
      // Nobody else had the id: its own time-out is no newer owner.
      yield* inVirtualTime(producer.init("Own"))
      const next = yield* producer.begin
      yield* inVirtualTime(Effect.andThen(next.send("out", records("again")), next.commit))
      assert.deepStrictEqual(words(yield* Effect.flatMap(Broker, (broker) => broker.records("out", 0))), ["again"])
    }).pipe(Effect.scoped, Effect.provide(world([]))))
})
