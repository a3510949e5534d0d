import { Apis } from "@exactly-once/protocol"
import { assert, describe, it } from "vitest"
import { NO_PID, Probe } from "../support/Probe.ts"
import { withBroker } from "../support/withBroker.ts"

const THREE = { nodes: 3, topics: { t: 3 } }

/** A probe on every node. */
const everywhere = (addresses: ReadonlyArray<string>) => Promise.all(addresses.map((it) => Probe.open(it)))
const closeAll = (probes: ReadonlyArray<Probe>) => Promise.all(probes.map((it) => it.close()))

describe("three nodes", () => {
  it(
    "tell the same of each other, and lead the partitions in turn",
    withBroker(THREE, async (_probe, broker) => {
      const probes = await everywhere(broker.addresses)
      for (const probe of probes) {
        const { brokers, topics } = await probe.client.call(Apis.Metadata, 9, { topics: [{ name: "t" }] })
        assert.deepStrictEqual(brokers.map(({ host, nodeId, port }) => [nodeId, `${host}:${port}`]), [
          [1, broker.addresses[0]],
          [2, broker.addresses[1]],
          [3, broker.addresses[2]]
        ])
        assert.deepStrictEqual(topics[0]!.partitions.map(({ leaderId }) => leaderId), [1, 2, 3])
      }
      await closeAll(probes)
    })
  )

  it(
    "take records only where the leader is, and say who that is",
    withBroker(THREE, async (probe, broker, run) => {
      const probes = await everywhere(broker.addresses)
      const [one, two] = probes
      assert.strictEqual((await one!.produce(9, NO_PID, { partition: 1 })).error, 6)
      assert.strictEqual((await two!.produce(9, NO_PID, { partition: 1 })).error, 0)
      await run(broker.moveLeader("t", 1))
      assert.strictEqual((await two!.produce(9, NO_PID, { partition: 1 })).error, 6)
      assert.strictEqual((await two!.fetch({ partition: 1 })).errorCode, 6)
      const moved = await two!.fetch({ version: 16, partition: 1 })
      assert.deepInclude(moved.currentLeader, { leaderId: 3, leaderEpoch: 1 })
      const third = await probes[2]!.fetch({ partition: 1 })
      assert.strictEqual(third.highWatermark, 1n)
      assert.strictEqual((await probe.fetch({ partition: 2 })).errorCode, 6)
      await closeAll(probes)
    })
  )

  it(
    "answer a waiting fetch with 6 when the leader moves",
    withBroker(THREE, async (probe, broker, run) => {
      const waiting = probe.fetch({ maxWaitMs: 60_000 })
      await run(broker.moveLeader("t", 0, 2))
      assert.strictEqual((await waiting).errorCode, 6)
    })
  )

  it(
    "tell where an epoch of a leader ended",
    withBroker(THREE, async (probe, broker, run) => {
      await probe.produce(9, NO_PID)
      await run(broker.moveLeader("t", 0, 1))
      await probe.produce(9, NO_PID)
      const end = async (leaderEpoch: number) => {
        const answer = await probe.client.call(Apis.OffsetForLeaderEpoch, 4, {
          replicaId: -1,
          topics: [{ topic: "t", partitions: [{ partition: 0, currentLeaderEpoch: -1, leaderEpoch }] }]
        })
        const it = answer.topics[0]!.partitions[0]!
        return [it.leaderEpoch, it.endOffset]
      }
      assert.deepStrictEqual(await end(0), [0, 1n])
      assert.deepStrictEqual(await end(1), [1, 2n])
      assert.deepStrictEqual(await end(7), [-1, -1n])
    })
  )

  it(
    "coordinate a transaction in one place, which can move in the middle of it",
    withBroker(THREE, async (probe, broker, run) => {
      const probes = await everywhere(broker.addresses)
      const find = async () => {
        const { coordinators } = await probe.client.call(Apis.FindCoordinator, 4, {
          keyType: 1,
          coordinatorKeys: ["id"]
        })
        return coordinators[0]!.nodeId
      }
      const first = await find()
      const at = (node: number) => probes[node - 1]!
      const elsewhere = (first % 3) + 1
      assert.strictEqual((await at(elsewhere).init("id")).error, 16)
      const pid = await at(first).init("id")
      assert.strictEqual((await at(1).send(12, "id", pid)).error, 0)
      await run(broker.moveTransactionCoordinator("id", elsewhere))
      assert.strictEqual((await at(first).end("id", pid, true, 5)).error, 16)
      assert.deepStrictEqual(await at(first).add("id", pid, { t: [0] }), [16])
      assert.strictEqual((await at(first).describe("id")).error, 16)
      assert.strictEqual(await find(), elsewhere)
      assert.strictEqual((await at(elsewhere).end("id", pid, true, 5)).error, 0)
      assert.deepStrictEqual(await at(1).visible(), ["v"])
      await closeAll(probes)
    })
  )

  it(
    "coordinate a group in one place, and send those who wait to the next one",
    withBroker(THREE, async (probe, broker, run) => {
      const probes = await everywhere(broker.addresses)
      const { coordinators } = await probe.client.call(Apis.FindCoordinator, 4, { keyType: 0, coordinatorKeys: ["g"] })
      const first = coordinators[0]!.nodeId
      const at = (node: number) => probes[node - 1]!
      const elsewhere = (first % 3) + 1
      assert.strictEqual(await at(elsewhere).plainCommit(1n, "g"), 16)
      assert.strictEqual(await at(first).plainCommit(1n, "g"), 0)
      const join = (node: number, memberId: string) =>
        at(node).client.call(Apis.JoinGroup, 3, {
          groupId: "g",
          sessionTimeoutMs: 30_000,
          rebalanceTimeoutMs: 30_000,
          memberId,
          protocolType: "consumer",
          protocols: [{ name: "range", metadata: new Uint8Array(0) }]
        })
      const member = await join(first, "")
      assert.strictEqual(member.errorCode, 0)
      // A second member makes the first one rebalance, and waits for it.
      const waiting = join(first, "")
      await run(broker.moveGroupCoordinator("g", elsewhere))
      assert.strictEqual((await waiting).errorCode, 16)
      assert.deepStrictEqual(await at(elsewhere).committed({ groupId: "g" }), { error: 0, offset: 1n })
      assert.strictEqual((await at(first).committed({ groupId: "g", stable: true })).error, 16)
      await closeAll(probes)
    })
  )
})

describe("a node that stops", () => {
  it(
    "leaves its partitions and coordinators to the others, and comes back with nothing to lead",
    withBroker(THREE, async (_probe, broker, run) => {
      const one = await Probe.open(broker.addresses[0]!)
      const two = await Probe.open(broker.addresses[1]!)
      const coordinator = async () => {
        const body = { keyType: 1, coordinatorKeys: ["id"] }
        return (await one.client.call(Apis.FindCoordinator, 4, body)).coordinators[0]!.nodeId
      }
      await coordinator()
      await run(broker.moveTransactionCoordinator("id", 2))
      const pid = await two.init("id")
      assert.strictEqual((await two.send(12, "id", pid, { partition: 1 })).error, 0)
      const waiting = two.fetch({ partition: 1, maxWaitMs: 60_000 }).catch((error: Error) => error.message)
      await run(broker.stopNode(2))
      assert.strictEqual(await waiting, "closed")
      const { brokers, topics } = await one.client.call(Apis.Metadata, 9, { topics: [{ name: "t" }] })
      assert.deepStrictEqual(brokers.map(({ nodeId }) => nodeId), [1, 3])
      assert.deepStrictEqual(topics[0]!.partitions.map(({ leaderId }) => leaderId), [1, 3, 3])
      assert.strictEqual(await coordinator(), 3)
      const three = await Probe.open(broker.addresses[2]!)
      assert.strictEqual((await three.end("id", pid, true, 5)).error, 0)
      assert.deepStrictEqual(await three.visible("t", 1), ["v"])
      const refused = await Probe.open(broker.addresses[1]!).then(() => "connected", () => "refused")
      assert.strictEqual(refused, "refused")

      await run(broker.startNode(2))
      const again = await Probe.open(broker.addresses[1]!)
      assert.strictEqual((await again.fetch({ partition: 1 })).errorCode, 6)
      await run(broker.moveLeader("t", 1, 2))
      assert.deepStrictEqual(await again.visible("t", 1), ["v"])
      await closeAll([one, three, again])
    })
  )
})

describe("a restart", () => {
  it(
    "comes back on the same port with the same state, markers that were due included",
    withBroker({ topics: { t: 1 }, prepareDelay: 1_000_000 }, async (probe, broker, run) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      await probe.send(12, "id", pid)
      await probe.commitOffset("id", pid, 5n, { version: 5 })
      await probe.end("id", pid, true, 5)
      const address = broker.addresses[0]!
      const restarting = run(broker.restart("30 millis"))
      await probe.client.closed
      await restarting
      assert.strictEqual(broker.addresses[0], address)
      const again = await Probe.open(address)
      assert.strictEqual((await again.describe("id")).state, "PrepareCommit")
      assert.strictEqual((await again.committed({ stable: true })).error, 88)
      await run(broker.releasePrepared)
      assert.deepStrictEqual(await again.visible(), ["v"])
      assert.deepStrictEqual(await again.committed({ stable: true }), { error: 0, offset: 5n })
      await again.close()
    })
  )

  it(
    "refuses connections while the broker is down",
    withBroker({ topics: { t: 1 } }, async (probe, broker, run) => {
      const restarting = run(broker.restart("50 millis"))
      await probe.client.closed
      const refused = await Probe.open(broker.addresses[0]!).then(() => "connected", (error: Error) => error.message)
      assert.include(refused, "ECONNREFUSED")
      await restarting
      const again = await Probe.open(broker.addresses[0]!)
      assert.strictEqual(await again.latest(false), 0n)
      await again.close()
    })
  )

  it(
    "may lose what was not replicated, and producers notice",
    withBroker({ topics: { t: 1 } }, async (probe, broker, run) => {
      const pid = await probe.init(null)
      for (let sequence = 0; sequence < 3; sequence++) await probe.produce(9, pid, { sequence })
      await run(broker.truncate("t", 0, 2n))
      assert.strictEqual(await probe.latest(false), 2n)
      assert.strictEqual((await probe.produce(9, pid, { sequence: 3 })).error, 45)
      assert.deepInclude(await probe.produce(9, pid, { sequence: 2 }), { error: 0, offset: 2n })
    })
  )
})

describe("a snapshot", () => {
  it(
    "is what another broker can go on from: data, transactions, offsets",
    withBroker({ topics: { t: 1 } }, async (probe, broker, run) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      await probe.produce(9, NO_PID, { values: ["before"] })
      await probe.send(12, "id", pid, { values: ["open"] })
      await probe.commitOffset("id", pid, 5n, { version: 5 })
      const snapshot = structuredClone(await run(broker.snapshot))
      await probe.end("id", pid, false, 5)
      assert.deepStrictEqual(await probe.visible(), ["before"])

      await withBroker({ snapshot }, async (other) => {
        assert.strictEqual((await other.describe("id")).state, "Ongoing")
        assert.deepStrictEqual(await other.visible(), ["before"])
        assert.deepInclude(await other.send(12, "id", pid, { values: ["open"] }), { error: 0, offset: 1n })
        assert.strictEqual((await other.committed({ stable: true })).error, 88)
        assert.strictEqual((await other.end("id", pid, true, 5)).error, 0)
        assert.deepStrictEqual(await other.visible(), ["before", "open"])
        assert.deepStrictEqual(await other.committed({ stable: true }), { error: 0, offset: 5n })
        const fresh = await other.init(null)
        assert.notStrictEqual(fresh.producerId, pid.producerId)
      })()

      // The first broker goes back to it as well.
      await run(broker.restore(snapshot))
      await probe.client.closed
      const again = await Probe.open(broker.addresses[0]!)
      assert.strictEqual((await again.end("id", pid, true, 5)).error, 0)
      assert.deepStrictEqual(await again.visible(), ["before", "open"])
      await again.close()
    })
  )
})
