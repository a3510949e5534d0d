/** H14: times that contradict each other, and a body that takes too long. */
import { assert, it } from "@effect/vitest"
import { type CommittedConsumer, KafkaError, type TransactionalSession, TransactionError } from "@exactly-once/core"
import { Deferred, Duration, Effect } from "effect"
import { committedValues, record } from "../support/kafka.ts"
import {
  aborted,
  type Cluster,
  copying,
  plainConsumer,
  plainProducer,
  promised,
  rejection,
  until,
  within,
  world
} from "./support.ts"

interface Contradiction {
  readonly setting: string
  readonly session?: Partial<TransactionalSession.Options>
  readonly consumer?: Partial<CommittedConsumer.Options>
}

const contradictions: ReadonlyArray<Contradiction> = [
  // the coordinator would abort before the session does
  { setting: "bodyTimeout", session: { transactionTimeout: "1 second", bodyTimeout: "1 second" } },
  // the group would move on while a transaction is finishing
  { setting: "rebalanceTimeout", consumer: { sessionTimeout: "6 seconds", rebalanceTimeout: "8 seconds" } },
  // a rebalance would end before a silent member is noticed
  { setting: "rebalanceTimeout", consumer: { sessionTimeout: "30 seconds", rebalanceTimeout: "20 seconds" } },
  // the group would take the partitions away between two heartbeats
  { setting: "heartbeatInterval", consumer: { sessionTimeout: "6 seconds", heartbeatInterval: "5 seconds" } },
  // the cluster would refuse the first transaction
  {
    setting: "transactionTimeout",
    session: { transactionTimeout: "1 hour" },
    consumer: { rebalanceTimeout: "2 hours" }
  }
]

const refusedAtTheStart = (cluster: Cluster) =>
  it.live("H14: budgets that contradict each other are refused by name before a record is read", () =>
    Effect.gen(function*() {
      const w = yield* world(cluster)
      const { input, output, plainIn, probe, proxy } = w

      // One late heartbeat ends its session, and rebalances do not wait for a silent member: it reads on.
      yield* probe.produce(plainIn, 0, [record("k", "x")])
      const read = yield* Deferred.make<string>()
      yield* plainConsumer(
        proxy.bootstrap,
        plainIn,
        { groupId: w.plainGroup, sessionTimeout: 6_000, rebalanceTimeout: 1_000, heartbeatInterval: 5_000 },
        async (value) => {
          Effect.runSync(Deferred.succeed(read, value))
        }
      )
      assert.strictEqual(yield* within("the plain consumer reads", Deferred.await(read)), "x")

      yield* probe.produce(input, 0, [record("k", "x")])
      for (const { setting, ...settings } of contradictions) {
        const error = yield* within(`${setting} is refused`, Effect.flip(copying(w, settings).run))
        assert.instanceOf(error, KafkaError.Misconfigured)
        assert.strictEqual(error.setting, setting)
      }
      assert.deepStrictEqual(yield* committedValues(probe, output), [])
    }))

const endedInTime = (cluster: Cluster) =>
  it.live("H14: a body that takes too long is ended by the session, before the coordinator would", () =>
    Effect.gen(function*() {
      const w = yield* world(cluster)
      const { input, output, plainOut, probe, proxy } = w

      // kafkajs hears of it when all the work is done, and from then on can do nothing.
      const client = yield* plainProducer(proxy.bootstrap, w.name("plain"), "plain", 500)
      const transaction = yield* promised(() => client.transaction())
      yield* promised(() => transaction.send({ topic: plainOut, messages: [{ value: "x" }] }))
      yield* aborted(probe, w.name("plain"))
      yield* rejection(() => transaction.commit())
      yield* rejection(() => client.transaction())

      yield* probe.produce(input, 0, [record("k", "x")])
      const slow = copying(w, {
        session: { transactionTimeout: "2 seconds", bodyTimeout: "200 millis" },
        inside: () => Effect.never
      })
      const error = yield* within("the session ends the body", Effect.flip(slow.run))
      assert.instanceOf(error, TransactionError.TransactionTimedOut)
      assert.strictEqual(error.enforcedBy, "Session")
      assert.isBelow(Duration.toMillis(error.budget), 2_000)
      assert.deepStrictEqual(slow.outcomes.map((outcome) => outcome._tag === "Aborted" && outcome.reason), ["TimedOut"])
      // nothing is left open, and the next attempt has the record
      const quick = copying(w)
      yield* Effect.forkChild(quick.run)
      yield* until("the copy commits", Effect.sync(() => quick.outcomes.some(({ _tag }) => _tag === "Committed")))
      assert.deepStrictEqual(yield* committedValues(probe, output), ["x"])
    }))

export const budgets = (cluster: Cluster) => {
  refusedAtTheStart(cluster)
  endedInTime(cluster)
}
