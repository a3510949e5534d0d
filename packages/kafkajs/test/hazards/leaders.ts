/** H3: a write to two leaders, one of which has moved. Needs several brokers. */
import { assert, it } from "@effect/vitest"
import { KafkaJs } from "@exactly-once/kafkajs"
import { Probe, Proxy } from "@exactly-once/testkit"
import { Effect, Fiber, type Scope } from "effect"
import { committedValues, producerOf, record } from "../support/kafka.ts"
import { plain, promised, within } from "./support.ts"

export interface Brokers {
  readonly bootstrap: ReadonlyArray<string>
  /** Partition 0 is led by node 1, partition 1 by node 2. */
  readonly createTopic: (name: string) => Effect.Effect<void>
  /** Node 1 leads partition 1 from now on. */
  readonly moveLeader: (name: string) => Effect.Effect<void>
}

const listOf = (body: unknown, name: string): ReadonlyArray<unknown> => {
  const found: unknown = Reflect.get(Object(body), name)
  return Array.isArray(found) ? found : []
}

/** A Produce that has something for this partition. */
const writesTo = (partition: number) => (body: unknown): boolean =>
  listOf(body, "topicData").some((topic) =>
    listOf(topic, "partitionData").some((data) => Reflect.get(Object(data), "index") === partition)
  )

export const leaders = (brokers: Effect.Effect<Brokers, unknown, Scope.Scope>) =>
  it.live("H3: of a write to two leaders, one of which has moved, nothing is left out", () =>
    Effect.gen(function*() {
      const { bootstrap, createTopic, moveLeader } = yield* brokers
      const probe = yield* Probe.make(bootstrap)
      const values = (topic: string) => Effect.forEach([0, 1], (partition) => committedValues(probe, topic, partition))
      const written = (prefix: string) =>
        [0, 1].map((partition) => ({ ...record("k", `${prefix}-${partition}`), partition }))

      // The broker that took partition 0 is not asked again, and partition 1 is now its own: both are reported written.
      yield* createTopic("plain")
      const proxy = yield* Proxy.make({ bootstrap })
      const client = plain(proxy.bootstrap).producer({
        transactionalId: "plain",
        maxInFlightRequests: 1,
        idempotent: true
      })
      yield* Effect.acquireRelease(promised(() => client.connect()), () => promised(() => client.disconnect()))
      const send = (prefix: string) =>
        promised(async () => {
          const transaction = await client.transaction()
          const messages = [0, 1].map((partition) => ({ partition, value: `${prefix}-${partition}` }))
          await transaction.send({ topic: "plain", messages })
          await transaction.commit()
        })
      yield* send("before")
      yield* moveLeader("plain")
      const from = yield* proxy.mark
      const second = yield* proxy.inject({ api: "Produce", where: writesTo(1), when: "before", do: "hold" })
      const sending = yield* Effect.forkChild(send("after"))
      yield* within("the write to the moved partition is sent", second.fired)
      yield* within(
        "the other one is acknowledged",
        proxy.observed(
          (seen) => seen.phase === "delivered" && seen.api === "Produce" && writesTo(0)(seen.request()),
          from
        )
      )
      yield* second.release
      yield* Fiber.join(sending)
      assert.deepStrictEqual(yield* values("plain"), [["before-0", "after-0"], ["before-1"]])

      yield* createTopic("ours")
      const driver = yield* KafkaJs.make({ bootstrap, clientLogLevel: "nothing" })
      const producer = yield* producerOf(driver, "ours")
      let attempts = 0
      const transact = (prefix: string) =>
        Effect.gen(function*() {
          attempts++
          yield* producer.init("Own")
          const transaction = yield* producer.begin
          yield* transaction.send("ours", written(prefix)).pipe(
            Effect.andThen(transaction.flush),
            Effect.andThen(transaction.commit),
            Effect.tapError(() => Effect.ignore(transaction.abort))
          )
        })
      yield* transact("before")
      yield* moveLeader("ours")
      yield* Effect.retry(transact("after"), { times: 20 })
      assert.deepStrictEqual(yield* values("ours"), [["before-0", "after-0"], ["before-1", "after-1"]])
      // it was refused once, as a whole: the move was noticed
      assert.isAbove(attempts, 2)
    }))
