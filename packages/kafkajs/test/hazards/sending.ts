/** H1, H2, H4, H7, H8: records and offsets on their way into a log, and what a failed transaction leaves behind. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Transaction } from "kafkajs"
import { committedValues, failure, offset, offsetsOf, producerOf, record } from "../support/kafka.ts"
import { aborted, beside, type Cluster, connected, plain, promised } from "./support.ts"

const lostAnswer = { api: "Produce", when: "after", do: "cut" } as const

const sorted = (values: ReadonlyArray<string>) => values.toSorted()

export const sending = (cluster: Cluster) => {
  it.live("H1: of three sends at once, one answer lost, each is there once and in order", () =>
    Effect.gen(function*() {
      const { driver, name, probe, proxy } = yield* beside(cluster, { plain: 1, ours: 1 })
      const client = yield* connected(plain(proxy.bootstrap).producer({ idempotent: true, maxInFlightRequests: 5 }))
      yield* promised(() => client.send({ topic: name("plain"), messages: [{ key: "k", value: "0" }] }))
      yield* proxy.inject(lostAnswer)
      yield* promised(() =>
        Promise.all(
          ["A", "B", "C"].map((value) => client.send({ topic: name("plain"), messages: [{ key: "k", value }] }))
        )
      )
      assert.notDeepEqual(sorted(yield* committedValues(probe, name("plain"))), ["0", "A", "B", "C"])

      const idempotent = yield* driver.idempotentProducer({ compression: "none", deliveryTimeoutMs: 10_000 })
      yield* idempotent.send(name("ours"), [record("k", "0")])
      yield* proxy.inject(lostAnswer)
      const offsets = yield* Effect.forEach(
        ["A", "B", "C"],
        (value) => idempotent.send(name("ours"), [record("k", value)]),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(offsets.flat().map(({ offset }) => offset), [offset(1), offset(2), offset(3)])
      assert.deepStrictEqual(yield* committedValues(probe, name("ours")), ["0", "A", "B", "C"])
    }))

  it.live("H1: three sends at once inside a transaction are there once, or the transaction is not", () =>
    Effect.gen(function*() {
      const { driver, name, probe, proxy } = yield* beside(cluster, { ours: 1 })
      const producer = yield* producerOf(driver, name("txn"))
      yield* producer.init("Takeover")
      const attempt = Effect.gen(function*() {
        const transaction = yield* producer.begin
        yield* Effect.forEach(
          ["A", "B", "C"],
          (value) => Effect.andThen(transaction.send(name("ours"), [record("k", value)]), transaction.flush),
          { concurrency: "unbounded" }
        ).pipe(Effect.andThen(transaction.commit), Effect.tapError(() => transaction.abort))
      })
      yield* proxy.inject(lostAnswer)
      assert.strictEqual(yield* failure(attempt), "UnknownOutcome")
      yield* producer.init("Own")
      yield* attempt
      assert.deepStrictEqual(yield* committedValues(probe, name("ours")), ["A", "B", "C"])
    }))

  it.live("H2: a record without a key whose answer was lost is there once", () =>
    Effect.gen(function*() {
      const { driver, name, probe, proxy } = yield* beside(cluster, { plain: 4, ours: 4 })
      const all = (topic: string) =>
        Effect.map(
          Effect.forEach([0, 1, 2, 3], (partition) => committedValues(probe, topic, partition)),
          (values) => values.flat()
        )
      const client = yield* connected(plain(proxy.bootstrap).producer({ idempotent: true }))
      yield* proxy.inject(lostAnswer)
      yield* promised(() => client.send({ topic: name("plain"), messages: [{ value: "x" }] }))
      assert.deepStrictEqual(yield* all(name("plain")), ["x", "x"])

      const idempotent = yield* driver.idempotentProducer({ compression: "none", deliveryTimeoutMs: 10_000 })
      yield* proxy.inject(lostAnswer)
      yield* idempotent.send(name("ours"), [record(null, "x")])
      assert.deepStrictEqual(yield* all(name("ours")), ["x"])
    }))

  it.live("H4: a transaction with a failed send cannot commit", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* beside(cluster, { plain: 1, ours: 1 })
      yield* probe.createTopic(name("small"), 1, { "max.message.bytes": "2000" })
      const large = "x".repeat(5_000)
      const client = yield* connected(
        plain(cluster.bootstrap()).producer({ transactionalId: name("plain"), maxInFlightRequests: 1 })
      )
      const forgetful = yield* promised(() => client.transaction())
      yield* promised(() => forgetful.send({ topic: name("plain"), messages: [{ key: "k", value: "half" }] }))
      yield* Effect.flip(
        Effect.tryPromise(() => forgetful.send({ topic: name("small"), messages: [{ value: large }] }))
      )
      yield* promised(() => forgetful.commit())
      assert.deepStrictEqual(yield* committedValues(probe, name("plain")), ["half"])

      const producer = yield* producerOf(driver, name("ours"))
      yield* producer.init("Takeover")
      const transaction = yield* producer.begin
      yield* transaction.send(name("ours"), [record("k", "half")])
      yield* transaction.send(name("small"), [record("k", large)])
      const error = yield* Effect.flip(transaction.flush)
      assert.deepStrictEqual([error.failure, error.code, error.topic], ["InvalidRecord", 10, name("small")])
      assert.strictEqual(yield* failure(transaction.commit), "Abortable")
      yield* transaction.abort
      assert.deepStrictEqual(yield* committedValues(probe, name("ours")), [])
    }))

  it.live("H7: offsets first, transaction after transaction, without a failure", () =>
    Effect.gen(function*() {
      const { driver, name } = yield* beside(cluster, { in: 1 })
      const client = yield* connected(
        plain(cluster.bootstrap()).producer({ transactionalId: name("plain"), maxInFlightRequests: 1 })
      )
      let refused = 0
      for (let n = 0; n < 30; n++) {
        const transaction = yield* promised(() => client.transaction())
        const offsets = [{ topic: name("in"), partitions: [{ partition: 0, offset: String(n) }] }]
        const sent = yield* Effect.result(
          Effect.tryPromise(() => transaction.sendOffsets({ consumerGroupId: name("plain"), topics: offsets }))
        )
        if (sent._tag === "Failure") refused++
        yield* promised(() => sent._tag === "Failure" ? transaction.abort() : transaction.commit())
      }
      assert.isAbove(refused, 0)

      const producer = yield* producerOf(driver, name("ours"))
      yield* producer.init("Takeover")
      for (let n = 0; n < 30; n++) {
        const transaction = yield* producer.begin
        yield* transaction.sendOffsets(offsetsOf(name("ours"), { topic: name("in"), partition: 0 }, n))
        yield* transaction.commit
      }
    }))

  it.live("H8: a transaction that the coordinator timed out is fenced, and the producer goes on after init", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* beside(cluster, { out: 1 })
      const client = yield* connected(
        plain(cluster.bootstrap()).producer({
          transactionalId: name("plain"),
          transactionTimeout: 1_000,
          maxInFlightRequests: 1
        })
      )
      const stale: Transaction = yield* promised(() => client.transaction())
      yield* promised(() => stale.send({ topic: name("out"), messages: [{ key: "k", value: "plain" }] }))
      yield* aborted(probe, name("plain"))
      yield* Effect.flip(Effect.tryPromise(() => stale.commit()))
      // the plain producer cannot begin another one, ever
      yield* Effect.flip(Effect.tryPromise(() => client.transaction()))

      const producer = yield* driver.transactionalProducer({
        transactionalId: name("ours"),
        transactionTimeoutMs: 1_000,
        compression: "none"
      })
      yield* producer.init("Takeover")
      const transaction = yield* producer.begin
      yield* transaction.send(name("out"), [record("k", "timed out")])
      yield* transaction.flush
      yield* aborted(probe, name("ours"))
      assert.strictEqual(yield* failure(transaction.commit), "Fenced")
      yield* producer.init("Own")
      const next = yield* producer.begin
      yield* next.send(name("out"), [record("k", "next")])
      yield* next.commit
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), ["next"])
    }))

  it.live("an idempotent send that stays unanswered is an unknown outcome, and the next one starts anew", () =>
    Effect.gen(function*() {
      const { driver, name, probe, proxy } = yield* beside(cluster, { out: 1 }, { requestTimeout: 300 })
      const producer = yield* driver.idempotentProducer({ compression: "none", deliveryTimeoutMs: 1_000 })
      yield* producer.send(name("out"), [record("k", "first")])
      const lost = yield* proxy.inject({ api: "Produce", when: "after", do: "drop", nth: "every" })
      assert.strictEqual(yield* failure(producer.send(name("out"), [record("k", "unknown")])), "UnknownOutcome")
      yield* lost.disarm
      yield* producer.send(name("out"), [record("k", "last")])
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), ["first", "unknown", "last"])
    }))

  it.live("the proxy in these tests is not what fails: without a fault the plain client is right", () =>
    Effect.gen(function*() {
      const { name, probe, proxy } = yield* beside(cluster, { plain: 1 })
      const client = yield* connected(plain(proxy.bootstrap).producer({ idempotent: true }))
      yield* promised(() => client.send({ topic: name("plain"), messages: [{ key: "k", value: "A" }] }))
      assert.deepStrictEqual(yield* committedValues(probe, name("plain")), ["A"])
    }))
}
