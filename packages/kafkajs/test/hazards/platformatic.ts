/** H15 is another client's, whose InitProducerId names a producer: shown where it does occur. */
import { assert, it } from "@effect/vitest"
import { MultipleErrors, Producer, stringSerializers } from "@platformatic/kafka"
import { Effect } from "effect"
import { committedValues } from "../support/kafka.ts"
import { type Cluster, promised, rejection, world } from "./support.ts"

const nameOf = (error: unknown): string => {
  if (error instanceof MultipleErrors) return error.errors.map(nameOf).find((name) => name !== "") ?? ""
  return error instanceof Error && "apiId" in error ? String(error.apiId) : ""
}

export const platformatic = (cluster: Cluster) =>
  it.live("H15: a producer that asks for id 0 instead of a new one is refused when it restarts", () =>
    Effect.gen(function*() {
      const { name, output, plainOut, probe } = yield* world(cluster)
      const producer = (transactionalId: string, options: { producerId?: bigint; producerEpoch?: number } = {}) =>
        Effect.acquireRelease(
          Effect.sync(() =>
            new Producer({
              clientId: "platformatic",
              bootstrapBrokers: [...cluster.bootstrap()],
              idempotent: true,
              transactionalId,
              timeout: 10_000,
              retries: 50,
              retryDelay: 50,
              serializers: stringSerializers,
              ...options
            })
          ),
          (open) => Effect.ignore(Effect.tryPromise(() => open.close(true)))
        )

      // As it comes: the restart is refused, and the zombie commits.
      const zombie = yield* producer(name("as-it-comes"))
      const stale = yield* promised(() => zombie.beginTransaction())
      yield* promised(() => stale.send({ messages: [{ topic: plainOut, key: "k", value: "older" }] }))
      const restarted = yield* producer(name("as-it-comes"))
      assert.strictEqual(nameOf(yield* rejection(() => restarted.beginTransaction())), "PRODUCER_FENCED")
      yield* promised(() => stale.commit())
      assert.deepStrictEqual(yield* committedValues(probe, plainOut), ["older"])

      // Asked for a new producer, the coordinator fences the old one.
      const fresh = { producerId: -1n, producerEpoch: -1 }
      const older = yield* producer(name("remedied"), fresh)
      const left = yield* promised(() => older.beginTransaction())
      yield* promised(() => left.send({ messages: [{ topic: output, key: "k", value: "older" }] }))
      const newer = yield* producer(name("remedied"), fresh)
      const next = yield* promised(() => newer.beginTransaction())
      yield* promised(() => next.send({ messages: [{ topic: output, key: "k", value: "newer" }] }))
      yield* promised(() => next.commit())
      yield* rejection(() => left.commit())
      assert.deepStrictEqual(yield* committedValues(probe, output), ["newer"])
    }))
