import { assert, describe, it } from "@effect/vitest"
import { Broker } from "@exactly-once/broker"
import {
  CommittedConsumer,
  Driver,
  Topic,
  Transaction,
  transactionally,
  TransactionalSession
} from "@exactly-once/core"
import { Effect, Layer, References, Stream } from "effect"
import { overTcp } from "./support/clients.ts"
import { bytes, commit, words } from "./support/records.ts"

const partitions = [0, 1, 2]
const perPartition = 150

const ids = (partition: number, from: number, to: number) =>
  Array.from({ length: to - from }, (_, n) => `${partition}/${from + n}`)

const fill = (from: number, to: number) =>
  commit(
    "in",
    partitions.flatMap((partition) =>
      ids(partition, from, to).map((id) => ({ key: bytes(`key-${partition}`), value: bytes(id), partition }))
    )
  )

/** Copies `in` to `out`, partition by partition, until it is interrupted. */
const copying = Effect.gen(function*() {
  const driver = Layer.succeed(Driver.Driver, yield* Driver.Driver)
  yield* CommittedConsumer.batches(Topic.bytes("in")).pipe(
    transactionally((batch) =>
      Transaction.emit(
        Topic.bytes("out"),
        batch.records.map(({ key, partition, value }) => ({ key, value, partition }))
      )
    ),
    Stream.runDrain,
    Effect.provide(
      Layer.mergeAll(
        TransactionalSession.layer({ transactionalIdPrefix: "copy", replica: "a", transactionTimeout: "5 seconds" }),
        CommittedConsumer.layer({ groupId: "group", heartbeatInterval: 100, maxWait: 50, maxRecords: 10 })
      ).pipe(Layer.provide(driver))
    ),
    Effect.provideService(References.MinimumLogLevel, "None")
  )
})

const copied = Effect.gen(function*() {
  const broker = yield* Broker
  const seen: Array<ReadonlyArray<string | null>> = []
  for (const partition of partitions) seen.push(words(yield* broker.records("out", partition)))
  return seen
})

const settled = Effect.gen(function*() {
  while ((yield* copied).some((records) => records.length < perPartition)) yield* Effect.sleep(20)
})

const troubles: Readonly<
  Record<string, (broker: Broker["Service"], round: number) => Effect.Effect<unknown, unknown>>
> = {
  "leaders of input and output move": (broker, round) =>
    Effect.andThen(broker.moveLeader("out", round % 3), broker.moveLeader("in", (round + 1) % 3)),
  "the group's coordinator moves": (broker) => broker.moveGroupCoordinator("group"),
  "the transactions' coordinator moves": (broker) =>
    Effect.flatMap(
      broker.transactions,
      Effect.forEach(({ transactionalId }) => broker.moveTransactionCoordinator(transactionalId), { discard: true })
    ),
  "connections are cut": (broker, round) => broker.disconnect(round % 3 + 1),
  "the cluster restarts": (broker) => broker.restart("50 millis")
}

describe("a pipeline on three brokers", () => {
  for (const transactionVersion of [1, 2] as const) {
    for (const [what, trouble] of Object.entries(troubles)) {
      it.live(`copies each record once and in order while ${what}, transaction.version ${transactionVersion}`, () =>
        Effect.gen(function*() {
          const broker = yield* Broker
          yield* fill(0, perPartition / 3)
          yield* Effect.forkScoped(copying)
          for (let round = 0; round < 6; round++) {
            const before = (yield* copied).flat().length
            yield* trouble(broker, round)
            if (round === 2) yield* fill(perPartition / 3, perPartition)
            yield* Effect.sleep(before === 0 ? 100 : 40)
          }
          yield* settled
          const expected = partitions.map((partition) => ids(partition, 0, perPartition))
          assert.deepStrictEqual(yield* copied, expected)
          assert.deepStrictEqual(yield* broker.defects, [])
        }).pipe(
          Effect.scoped,
          Effect.provide(
            overTcp().pipe(Layer.provideMerge(
              Broker.layer({ nodes: 3, transactionVersion, topics: { in: 3, out: 3 }, autoCreateTopics: false })
            ))
          )
        ))
    }
  }
})
