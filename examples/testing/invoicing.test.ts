/**
 * The pipeline against a Kafka in the process: what happens when it is fenced, when it is too slow, and when its
 * partitions move.
 */
import { assert, describe, it } from "@effect/vitest"
import { Broker } from "@exactly-once/broker"
import { CommittedConsumer, IdempotentProducer, TransactionalSession, TransactionError } from "@exactly-once/core"
import { KafkaJs } from "@exactly-once/kafkajs"
import { TestKafka } from "@exactly-once/testkit"
import { Deferred, Effect, Fiber, Layer, Stream } from "effect"
import { Invoices, invoicing, Orders } from "./invoicing.ts"

/** The whole Kafka side of a test, in one line. */
const kafka = TestKafka.layer({ topics: { orders: 2, invoices: 2 } }, (bootstrap) => KafkaJs.layer({ bootstrap }))

const app = (replica: string) =>
  Layer.mergeAll(
    TransactionalSession.layer({ transactionalIdPrefix: "invoicing", replica, transactionTimeout: "2 seconds" }),
    CommittedConsumer.layer({ groupId: "invoicing", maxRecords: 5, maxWait: "50 millis" })
  )

const orders = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ key: `k${i}`, value: { id: `o${i}`, cents: i } }))

const place = (count: number) =>
  Effect.provide(IdempotentProducer.send(Orders, orders(count)), IdempotentProducer.layer())

const invoiced = Effect.gen(function*() {
  const broker = yield* Broker
  const found: Array<string> = []
  for (const partition of [0, 1]) {
    for (const { value } of yield* broker.records(Invoices.name, partition)) {
      found.push(JSON.parse(new TextDecoder().decode(value ?? new Uint8Array())).order)
    }
  }
  return found.sort()
})

const ids = (count: number) => orders(count).map(({ value }) => value.id).sort()

const settled = (count: number) =>
  Effect.repeat(invoiced, { until: (found) => found.length >= count, schedule: TestKafka.often })

describe("invoicing", () => {
  it.live("a fence in the middle of a transaction costs a redo, and nothing is doubled", () =>
    Effect.gen(function*() {
      const broker = yield* Broker
      yield* place(20)
      let fenced = false
      const taxOf = (cents: number) =>
        Effect.gen(function*() {
          // What the coordinator does to a producer whose time is over, or whose id somebody else took.
          if (!fenced) {
            for (const { state, transactionalId } of yield* broker.transactions) {
              if (state === "Ongoing" && (yield* broker.fence(transactionalId))) fenced = true
            }
          }
          return cents
        })
      const fiber = yield* invoicing(taxOf).pipe(Stream.runDrain, Effect.provide(app("a")), Effect.forkChild)
      yield* settled(20)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(fenced)
      assert.deepStrictEqual(yield* invoiced, ids(20))
    }).pipe(Effect.provide(kafka)))

  it.live("a body beyond its budget aborts with a typed error, and nothing of it is seen", () =>
    Effect.gen(function*() {
      yield* place(3)
      const error = yield* invoicing(() => Effect.never).pipe(Stream.runDrain, Effect.provide(app("a")), Effect.flip)
      assert.instanceOf(error, TransactionError.TransactionTimedOut)
      assert.strictEqual(error.enforcedBy, "Session")
      assert.deepStrictEqual(yield* invoiced, [])
      // The same orders are there for a body that is fast enough.
      const fiber = yield* invoicing(Effect.succeed).pipe(Stream.runDrain, Effect.provide(app("a")), Effect.forkChild)
      yield* settled(3)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* invoiced, ids(3))
    }).pipe(Effect.provide(kafka)))

  it.live("partitions that move to a second worker are finished first, or redone by it", () =>
    Effect.gen(function*() {
      yield* place(40)
      const started = yield* Deferred.make<void>()
      const slowly = (cents: number) =>
        Effect.as(Effect.andThen(Deferred.succeed(started, undefined), Effect.sleep("5 millis")), cents)
      const first = yield* invoicing(slowly).pipe(Stream.runDrain, Effect.provide(app("a")), Effect.forkChild)
      yield* Deferred.await(started)
      const second = yield* invoicing(slowly).pipe(Stream.runDrain, Effect.provide(app("b")), Effect.forkChild)
      yield* settled(40)
      yield* Effect.all([Fiber.interrupt(first), Fiber.interrupt(second)], { concurrency: 2 })
      assert.deepStrictEqual(yield* invoiced, ids(40))
    }).pipe(Effect.provide(kafka)))
})
