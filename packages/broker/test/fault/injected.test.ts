import { Apis } from "@exactly-once/protocol"
import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import { NO_PID, Probe } from "../support/Probe.ts"
import { withBroker } from "../support/withBroker.ts"

const TOPICS = { topics: { t: 1 } }
const closed = (error: Error) => error.message

describe("a request", () => {
  it(
    "cut before it took effect had none; cut after it, it had",
    withBroker(TOPICS, async (probe, broker, run) => {
      const fault = await run(broker.inject({ api: "Produce", times: 1, action: { type: "cut" } }))
      const first = await Probe.open(broker.addresses[0]!)
      assert.strictEqual(await first.produce(9, NO_PID).catch(closed), "closed")
      assert.strictEqual(await probe.latest(false), 0n)
      assert.strictEqual(await run(fault.hits), 1)

      await run(broker.inject({ api: "Produce", times: 1, when: "after", action: { type: "cut" } }))
      const second = await Probe.open(broker.addresses[0]!)
      assert.strictEqual(await second.produce(9, NO_PID).catch(closed), "closed")
      assert.strictEqual(await probe.latest(false), 1n)
    })
  )

  it(
    "whose answer is lost leaves the connection open",
    withBroker(TOPICS, async (probe, broker, run) => {
      await run(broker.inject({ api: "Produce", times: 1, when: "after", action: { type: "drop" } }))
      const lost = await run(broker.inject({ api: "Produce", when: "before", nth: 2, action: { type: "drop" } }))
      void probe.produce(9, NO_PID).catch(closed)
      void probe.produce(9, NO_PID).catch(closed)
      assert.strictEqual(await probe.latest(false), 1n)
      assert.strictEqual(await run(lost.hits), 1)
    })
  )

  it(
    "is answered with an error, instead of or after its effect",
    withBroker(TOPICS, async (probe, broker, run) => {
      await run(broker.inject({ api: "Produce", times: 1, action: { type: "error", code: 7 } }))
      assert.strictEqual((await probe.produce(9, NO_PID)).error, 7)
      assert.strictEqual(await probe.latest(false), 0n)
      await run(broker.inject({ api: "Produce", times: 1, when: "after", action: { type: "error", code: 7 } }))
      assert.strictEqual((await probe.produce(9, NO_PID)).error, 7)
      assert.strictEqual(await probe.latest(false), 1n)
    })
  )

  it(
    "that is held back takes effect although its client is gone",
    withBroker(TOPICS, async (probe, broker, run) => {
      const held = await run(broker.inject({ api: "Produce", times: 1, action: { type: "delay", millis: 40 } }))
      const client = await Probe.open(broker.addresses[0]!)
      const answer = client.produce(9, NO_PID).catch(closed)
      await run(held.awaitHits())
      await client.close()
      assert.strictEqual(await answer, "closed")
      assert.strictEqual(await probe.latest(false), 0n)
      const { records } = await probe.fetch({ maxWaitMs: 10_000 })
      assert.isAbove(records!.length, 0)
    })
  )

  it(
    "whose answer is held back has had its effect already",
    withBroker(TOPICS, async (probe, broker, run) => {
      await run(broker.inject({ api: "Produce", times: 1, when: "after", action: { type: "delay", millis: 40 } }))
      const other = await Probe.open(broker.addresses[0]!)
      const answer = other.produce(9, NO_PID)
      await probe.fetch({ maxWaitMs: 10_000 })
      assert.strictEqual((await answer).error, 0)
      await other.close()
    })
  )

  it(
    "of one client does not concern another",
    withBroker(TOPICS, async (probe, broker, run) => {
      await run(broker.inject({ clientId: "victim", action: { type: "error", code: 7 } }))
      const victim = await Probe.open(broker.addresses[0]!, "victim")
      assert.strictEqual((await victim.produce(9, NO_PID)).error, 7)
      assert.strictEqual((await probe.produce(9, NO_PID)).error, 0)
      await run(broker.clearFaults)
      assert.strictEqual((await victim.produce(9, NO_PID)).error, 0)
      await victim.close()
    })
  )
})

describe("a step", () => {
  it(
    "fences a producer at the moment it commits",
    withBroker(TOPICS, async (probe, broker, run) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      await probe.send(12, "id", pid)
      const step = { type: "fence", transactionalId: "id" } as const
      await run(broker.inject({ api: "EndTxn", action: { type: "step", step } }))
      assert.strictEqual((await probe.end("id", pid, true, 5)).error, 48)
      assert.deepStrictEqual(await probe.visible(), [])
    })
  )

  it(
    "lets a transaction time out under a produce",
    withBroker(TOPICS, async (probe, broker, run) => {
      await probe.coordinators("id")
      const pid = await probe.init("id", { timeoutMs: 30_000 })
      await probe.send(12, "id", pid)
      const step = { type: "advance", millis: 30_000, scope: "transactions" } as const
      await run(broker.inject({ api: "Produce", nth: 1, action: { type: "step", step } }))
      assert.strictEqual((await probe.send(12, "id", pid, { sequence: 1 })).error, 47)
    })
  )

  it(
    "moves the coordinators and the leader away from under a request",
    withBroker({ ...TOPICS, nodes: 2 }, async (probe, broker, run) => {
      await probe.coordinators("id")
      const step = { type: "moveLeader", topic: "t", partition: 0 } as const
      await run(broker.inject({ api: "Produce", nth: 1, action: { type: "step", step } }))
      assert.strictEqual((await probe.produce(9, NO_PID)).error, 6)
    })
  )

  it(
    "restarts the broker: what was not served is lost with its connection, the state is not",
    withBroker(TOPICS, async (probe, broker, run) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      await probe.send(12, "id", pid)
      await run(broker.inject({ api: "EndTxn", times: 1, action: { type: "step", step: { type: "restart" } } }))
      assert.strictEqual(await probe.end("id", pid, true, 5).catch(closed), "closed")
      const again = await Probe.open(broker.addresses[0]!)
      assert.strictEqual((await again.describe("id")).state, "Ongoing")
      assert.strictEqual((await again.end("id", pid, true, 5)).error, 0)
      assert.deepStrictEqual(await again.visible(), ["v"])
      await again.close()
    })
  )

  it(
    "calls a function of the test",
    withBroker(TOPICS, async (probe, broker, run) => {
      const called: Array<bigint> = []
      const run1 = () => {
        called.push(1n)
      }
      await run(broker.inject({ api: "ListOffsets", action: { type: "step", step: { type: "call", run: run1 } } }))
      await probe.latest(false)
      assert.deepStrictEqual(called, [1n])
    })
  )
})

describe("a scoped fault", () => {
  it(
    "ends with its scope",
    withBroker(TOPICS, async (probe, broker, run) => {
      await run(Effect.scoped(Effect.gen(function*() {
        yield* broker.injectScoped({ api: "ListOffsets", action: { type: "error", code: 7 } })
        const answer = yield* Effect.promise(() =>
          probe.client.call(Apis.ListOffsets, 5, {
            replicaId: -1,
            isolationLevel: 0,
            topics: [{ name: "t", partitions: [{ partitionIndex: 0, timestamp: -1n }] }]
          })
        )
        assert.strictEqual(answer.topics[0]!.partitions[0]!.errorCode, 7)
      })))
      assert.strictEqual(await probe.latest(false), 0n)
    })
  )
})
