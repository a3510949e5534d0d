import { Kafka, logLevel } from "kafkajs"
import { assert, it } from "vitest"
import { startCluster } from "../lib/kafkaCluster.ts"
import { liveBrokers } from "../lib/kafkaProbe.ts"
import { describeLive, liveBootstrap } from "../vitest/live.ts"

const portsOf = (bootstrap: string) => bootstrap.split(",").map((address) => Number(address.split(":")[1]))

describeLive("a cluster of one's own", () => {
  it("the shared cluster answers", async () => {
    const [host = "", port = ""] = (liveBootstrap()[0] ?? "").split(":")
    assert.isNotEmpty(await liveBrokers(host, Number(port)))
  })

  it("a killed node comes back with its port and the cluster's view of it", async () => {
    const cluster = await startCluster({ brokers: 3 })
    try {
      const ports = portsOf(cluster.bootstrap)
      assert.deepStrictEqual([...await liveBrokers("127.0.0.1", ports[0] ?? 0)].sort(), [1, 2, 3])
      const before = cluster.brokerPid(2)
      await cluster.killBroker(2)
      assert.throws(() => cluster.brokerPid(2))
      assert.lengthOf(cluster.pids, 2)
      await cluster.restartBroker(2)
      assert.notStrictEqual(cluster.brokerPid(2), before)
      assert.deepStrictEqual([...await liveBrokers("127.0.0.1", ports[1] ?? 0)].sort(), [1, 2, 3])
    } finally {
      await cluster.stop()
    }
    assert.isEmpty(cluster.pids)
  })

  it("a setting that Kafka refuses is the error's message", async () => {
    const started = startCluster({ properties: { "group.min.session.timeout.ms": "soon" } })
    const error = await started.then(async (cluster) => (await cluster.stop(), undefined), (cause: unknown) => cause)
    assert.match(String(error), /group\.min\.session\.timeout\.ms/)
  })

  it("a user of the secured listener is known by password and may do nothing without an ACL", async () => {
    const cluster = await startCluster({
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
    const createTopic = async (brokers: string, topic: string, password?: string) => {
      const sasl = password === undefined
        ? {}
        : { sasl: { mechanism: "scram-sha-256", username: "alice", password } as const }
      const admin = new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING, retry: { retries: 0 }, ...sasl })
        .admin()
      try {
        await admin.connect()
        return String(await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] }))
      } catch (error) {
        return error instanceof Error && "errors" in error ? String(error.errors) : String(error)
      } finally {
        await admin.disconnect()
      }
    }
    try {
      const secure = cluster.listeners["SECURE"] ?? ""
      assert.strictEqual(await createTopic(cluster.bootstrap, "by-insider"), "true")
      assert.match(await createTopic(secure, "by-alice", "alice-secret"), /[Aa]uthoriz/)
      assert.match(await createTopic(secure, "by-impostor", "guess"), /[Aa]uthentication/)
    } finally {
      await cluster.stop()
    }
  })
})
