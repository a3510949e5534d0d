import { assert, it } from "@effect/vitest"
import { KafkaClient } from "@exactly-once/client"
import { Effect, Redacted } from "effect"
import { afterAll, beforeAll } from "vitest"
import { type Cluster, startCluster } from "../../../scripts/lib/kafkaCluster.ts"
import { describeLive } from "../../../scripts/vitest/live.ts"

const reauthMs = 1_500

describeLive("a listener of real Kafka with SASL", () => {
  let cluster: Cluster | undefined
  beforeAll(async () => {
    cluster = await startCluster({
      scram: [{ name: "alice", password: "alice-secret" }],
      listeners: [
        {
          name: "SCRAM",
          protocol: "SASL_PLAINTEXT",
          properties: {
            "sasl.enabled.mechanisms": "SCRAM-SHA-256",
            "connections.max.reauth.ms": `${reauthMs}`,
            "scram-sha-256.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;"
          }
        },
        {
          name: "PLAIN",
          protocol: "SASL_PLAINTEXT",
          properties: {
            "sasl.enabled.mechanisms": "PLAIN",
            "plain.sasl.jaas.config":
              "org.apache.kafka.common.security.plain.PlainLoginModule required user_alice=\"alice-secret\";"
          }
        }
      ]
    })
  })
  afterAll(() => cluster?.stop())

  const connect = (listener: string, mechanism: KafkaClient.Sasl["mechanism"], password: string) =>
    KafkaClient.make({
      bootstrap: (cluster?.listeners[listener] ?? "").split(","),
      sasl: { mechanism, username: "alice", password: Redacted.make(password) },
      connectionTimeout: 2_000,
      requestTimeout: 2_000
    })

  for (const [listener, mechanism] of [["SCRAM", "scram-sha-256"], ["PLAIN", "plain"]] as const) {
    it.live(`lets in who knows the password, and nobody else, ${mechanism}`, () =>
      Effect.gen(function*() {
        const driver = yield* connect(listener, mechanism, "alice-secret")
        const missing = yield* Effect.flip(driver.admin.partitions("missing"))
        assert.strictEqual(missing.code, 3)
        const refused = yield* Effect.flip(connect(listener, mechanism, "wrong"))
        assert.strictEqual(refused.failure, "Unauthorized")
        assert.strictEqual(refused.setting, "sasl")
      }).pipe(Effect.scoped))
  }

  it.live("says which mechanisms there are when it knows not the one asked for", () =>
    Effect.gen(function*() {
      const refused = yield* Effect.flip(connect("PLAIN", "scram-sha-512", "alice-secret"))
      assert.strictEqual(refused.failure, "Unauthorized")
      assert.match(refused.description, /PLAIN/)
    }).pipe(Effect.scoped))

  it.live("sees a fresh login before a session is over, and no request fails", () =>
    Effect.gen(function*() {
      const driver = yield* connect("SCRAM", "scram-sha-256", "alice-secret")
      const producer = yield* driver.idempotentProducer({ compression: "none", deliveryTimeoutMs: 2_000 })
      const until = Date.now() + 3 * reauthMs
      while (Date.now() < until) {
        assert.strictEqual((yield* Effect.flip(driver.admin.partitions("missing"))).code, 3)
        assert.strictEqual((yield* Effect.flip(producer.send("missing", [{ key: null, value: null }]))).code, 3)
        yield* Effect.sleep(100)
      }
    }).pipe(Effect.scoped))
})
