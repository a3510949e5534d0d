import { assert, it } from "@effect/vitest"
import { TopicPartition } from "@exactly-once/core"
import type { KafkaJs } from "@exactly-once/kafkajs"
import { Probe } from "@exactly-once/testkit"
import { Effect, Redacted } from "effect"
import { startCluster } from "../../../scripts/lib/kafkaCluster.ts"
import { describeLive } from "../../../scripts/vitest/live.ts"
import { bytes, committedValues, driverOf, failure, offsetsOf, producerOf, record } from "./support/kafka.ts"
import { join, take } from "./support/member.ts"

const clusterOf = (options: Parameters<typeof startCluster>[0]) =>
  Effect.acquireRelease(
    Effect.promise(() => startCluster(options)),
    (cluster) => Effect.promise(() => cluster.stop())
  )

describeLive("kafkajs driver, three brokers", () => {
  it.live(
    "transactions over several leaders, through the death and return of each broker",
    () =>
      Effect.gen(function*() {
        const cluster = yield* clusterOf({ brokers: 3 })
        const bootstrap = cluster.bootstrap.split(",")
        const probe = yield* Probe.make(bootstrap)
        yield* probe.createTopic("in", 1)
        yield* probe.createTopic("out", 6)
        const driver = yield* driverOf({ bootstrap, requestTimeout: 5_000, clientLogLevel: "nothing" })
        const producer = yield* producerOf(driver, "txn")
        const member = yield* join(driver, {
          groupId: "group",
          topics: ["out"],
          options: { rebalanceTimeoutMs: 10_000, sessionTimeoutMs: 10_000 }
        })
        const read: Array<string> = []
        yield* Effect.forkChild(
          Effect.forever(Effect.asVoid(take(member, 1, (batch) =>
            Effect.sync(() =>
              batch.records.forEach(({ value }) =>
                read.push(Buffer.from(value ?? []).toString())
              )
            ))))
        )
        let started = 0
        /** Redone until it commits, or turns out to have committed: what a session does. */
        const transact = Effect.gen(function*() {
          const values = Array.from({ length: 60 }, (_, i) =>
            `${started}-${i}`)
          const token = `token-${started++}`
          const tp = { topic: "in", partition: 0 }
          const attempt = Effect.gen(function*() {
            const transaction = yield* producer.begin
            yield* transaction.send(
              "out",
              values.map((value) => record(value, value))
            ).pipe(
              Effect.andThen(transaction.flush),
              Effect.andThen(transaction.sendOffsets(offsetsOf("group-2", tp, started, token))),
              Effect.andThen(transaction.commit),
              Effect.tapError(() => Effect.ignore(transaction.abort))
            )
          })
          const again: Effect.Effect<void> = Effect.gen(function*() {
            yield* Effect.retry(producer.init("Own"), { times: 20 })
            const found = yield* Effect.retry(driver.admin.committed("group-2", [tp]), { times: 20 })
            if (found.get(TopicPartition.format(tp))?.metadata === token) return
            yield* attempt
          }).pipe(Effect.catch(() => Effect.andThen(Effect.sleep(100), again)))
          yield* Effect.catch(attempt, () => again)
          return values
        })
        const written: Array<string> = []
        yield* producer.init("Takeover")
        for (const node of [1, 2, 3]) {
          written.push(...yield* transact)
          yield* Effect.promise(() => cluster.killBroker(node))
          for (let n = 0; n < 5; n++) written.push(...yield* transact)
          yield* Effect.promise(() => cluster.restartBroker(node))
          for (let n = 0; n < 5; n++) written.push(...yield* transact)
        }
        while (read.length < written.length) yield* Effect.sleep(100)
        assert.deepStrictEqual(read.toSorted(), written.toSorted())
        const values: Array<string> = []
        for (let partition = 0; partition < 6; partition++) {
          values.push(...yield* committedValues(probe, "out", partition))
        }
        assert.deepStrictEqual(values.toSorted(), written.toSorted())
      }),
    180_000
  )
})

describeLive("kafkajs driver, a guarded cluster", () => {
  it.live(
    "credentials and ACLs: what is refused is unauthorized, and says what is needed",
    () =>
      Effect.gen(function*() {
        const cluster = yield* clusterOf({
          authorizer: true,
          scram: [{ name: "alice", password: "alice-secret" }],
          listeners: [{
            name: "SECURE",
            protocol: "SASL_PLAINTEXT",
            properties: {
              "sasl.enabled.mechanisms": "SCRAM-SHA-256",
              "scram-sha-256.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            }
          }]
        })
        const probe = yield* Probe.make(cluster.bootstrap.split(","))
        yield* probe.createTopic("guarded", 1)
        yield* probe.produce("guarded", 0, [{ key: bytes("k"), value: bytes("x") }])
        const secure = (cluster.listeners["SECURE"] ?? "").split(",")
        const sasl = (password: string, username = "alice"): KafkaJs.Sasl => ({
          mechanism: "scram-sha-256",
          username,
          password: Redacted.make(password)
        })
        const quiet = { clientLogLevel: "nothing", bootstrap: secure } as const

        const refused = yield* Effect.flip(Effect.scoped(driverOf({ ...quiet, sasl: sasl("wrong") })))
        assert.strictEqual(refused.failure, "Unauthorized")
        assert.notInclude(JSON.stringify(refused), "wrong")
        assert.strictEqual(
          (yield* Effect.flip(Effect.scoped(driverOf({ ...quiet, sasl: sasl("x", "bob") })))).failure,
          "Unauthorized"
        )
        // no credentials on a listener that wants them
        const without = yield* Effect.flip(Effect.scoped(driverOf(quiet)))
        assert.strictEqual(without.failure, "Unavailable")
        assert.include(without.message, "sasl")

        // alice is who she says she is, and may do nothing yet
        const driver = yield* driverOf({ ...quiet, sasl: sasl("alice-secret") })
        const code = <A>(effect: Effect.Effect<A, { readonly failure: string; readonly code?: number }>) =>
          Effect.map(Effect.flip(effect), (error) => [error.failure, error.code])
        const producer = yield* producerOf(driver, "txn")
        assert.deepStrictEqual(yield* code(producer.init("Takeover")), ["Unauthorized", 53])
        assert.deepStrictEqual(yield* code(driver.admin.partitions("guarded")), ["Unauthorized", 29])
        assert.deepStrictEqual(
          yield* code(driver.admin.committed("group", [{ topic: "guarded", partition: 0 }])),
          ["Unauthorized", 30]
        )
        assert.strictEqual(
          yield* failure(Effect.asVoid(join(driver, { groupId: "group", topics: ["guarded"] }))),
          "Unauthorized"
        )
        assert.strictEqual((yield* probe.committed("group", "guarded", 0)).offset, -1n)
      }),
    120_000
  )
})
