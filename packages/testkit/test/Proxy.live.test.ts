import { assert, it } from "@effect/vitest"
import { Proxy } from "@exactly-once/testkit"
import { Effect, Exit } from "effect"
import { Kafka, logLevel } from "kafkajs"
import { describeLive, liveBootstrap } from "../../../scripts/vitest/live.ts"
import { fresh } from "./support/kafka.ts"

const setup = Effect.gen(function*() {
  const proxy = yield* Proxy.make({ bootstrap: liveBootstrap() })
  const { name, probe } = yield* fresh(liveBootstrap(), { proxy: 2 })
  const topic = name("proxy")
  // kafkajs without retries gives up on a coordinator whose topic is still being created.
  yield* probe.transaction(`${topic}-first`, 10_000)
  const kafka = new Kafka({
    clientId: "through-the-proxy",
    brokers: [...proxy.bootstrap],
    logLevel: logLevel.NOTHING,
    retry: { retries: 0 }
  })
  return { proxy, probe, topic, kafka }
})

const transactional = (kafka: Kafka, transactionalId: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const producer = kafka.producer({ transactionalId, maxInFlightRequests: 1, retry: { retries: 0 } })
      await producer.connect()
      return producer
    }),
    (producer) => Effect.promise(() => producer.disconnect())
  )

describeLive("Proxy between kafkajs and Kafka", () => {
  it.live("every connection of the client passes the proxy", () =>
    Effect.gen(function*() {
      const { kafka, probe, proxy, topic } = yield* setup
      const producer = yield* transactional(kafka, topic)
      yield* Effect.promise(async () => {
        const transaction = await producer.transaction()
        await transaction.send({ topic, messages: [{ key: "k", value: "v", partition: 1 }] })
        await transaction.commit()
      })
      const applied = (yield* proxy.journal()).filter(({ phase }) => phase === "answered").map(({ api }) => api)
      assert.includeMembers(applied, [
        "Metadata",
        "FindCoordinator",
        "InitProducerId",
        "AddPartitionsToTxn",
        "Produce",
        "EndTxn"
      ])
      const { committed } = yield* probe.fetch(topic, 1, 0n)
      assert.strictEqual(committed.length, 1)
    }))

  it.live("an EndTxn cut after the broker is an error to the client and a commit in the log", () =>
    Effect.gen(function*() {
      const { kafka, probe, proxy, topic } = yield* setup
      const producer = yield* transactional(kafka, topic)
      const rule = yield* proxy.inject({ api: "EndTxn", when: "after", do: "cut" })
      const exit = yield* Effect.exit(Effect.tryPromise(async () => {
        const transaction = await producer.transaction()
        await transaction.send({ topic, messages: [{ value: "v", partition: 0 }] })
        await transaction.commit()
      }))
      assert.isTrue(Exit.isFailure(exit))
      yield* rule.fired
      // The marker follows the answer; the coordinator's next init waits for it.
      yield* probe.transaction(topic, 10_000)
      assert.strictEqual((yield* probe.fetch(topic, 0, 0n)).committed.length, 1)
    }))

  it.live("an EndTxn cut before the broker leaves the transaction open", () =>
    Effect.gen(function*() {
      const { kafka, probe, proxy, topic } = yield* setup
      const producer = yield* transactional(kafka, topic)
      const rule = yield* proxy.inject({ api: "EndTxn", when: "before", do: "cut" })
      yield* Effect.exit(Effect.tryPromise(async () => {
        const transaction = await producer.transaction()
        await transaction.send({ topic, messages: [{ value: "v", partition: 0 }] })
        await transaction.commit()
      }))
      yield* rule.fired
      assert.lengthOf(yield* probe.openTransactions(topic, 0), 1)
      assert.strictEqual(yield* probe.offset(topic, 0, "lastStable"), 0n)
      assert.strictEqual(yield* probe.offset(topic, 0, "end"), 1n)
      yield* probe.transaction(topic, 10_000)
      assert.lengthOf(yield* probe.openTransactions(topic, 0), 0)
      const { batches, committed } = yield* probe.fetch(topic, 0, 0n)
      assert.deepStrictEqual(batches.map(({ marker }) => marker), [undefined, "abort"])
      assert.lengthOf(committed, 0)
    }))
})
