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
})
