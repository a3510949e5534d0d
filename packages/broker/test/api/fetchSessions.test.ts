import { Apis, type FetchResponse } from "@exactly-once/protocol"
import { assert, describe, it } from "vitest"
import { FetchSessions } from "../../src/cluster/FetchSessions.ts"
import { NO_PID, Probe } from "../support/Probe.ts"
import { withBroker } from "../support/withBroker.ts"

interface Wanted {
  readonly partition: number
  readonly from?: bigint
  readonly topic?: string
}

const fetch = (
  probe: Probe,
  sessionId: number,
  sessionEpoch: number,
  wanted: ReadonlyArray<Wanted>,
  options: { readonly forgotten?: ReadonlyArray<number>; readonly maxWaitMs?: number; readonly version?: number } = {}
) =>
  probe.client.call(Apis.Fetch, options.version ?? 11, {
    replicaId: -1,
    maxWaitMs: options.maxWaitMs ?? 0,
    minBytes: 1,
    isolationLevel: 0,
    sessionId,
    sessionEpoch,
    topics: wanted.map(({ from = 0n, partition, topic = "t" }) => ({
      topic,
      partitions: [{ partition, fetchOffset: from, partitionMaxBytes: 10_000 }]
    })),
    forgottenTopicsData: options.forgotten === undefined ? [] : [{ topic: "t", partitions: options.forgotten }]
  })

/** The partitions an answer tells of, and whether with data. */
const told = ({ responses }: FetchResponse.FetchResponse) =>
  responses.flatMap(({ partitions }) =>
    partitions.map(({ errorCode, partitionIndex, records }) => [partitionIndex, errorCode, (records?.length ?? 0) > 0])
  )

const TOPICS = { topics: { t: 3 } }

describe("a fetch session", () => {
  it(
    "tells everything at first, then only of partitions with news",
    withBroker(TOPICS, async (probe) => {
      await probe.produce(9, NO_PID, { partition: 1 })
      const first = await fetch(probe, 0, 0, [{ partition: 0 }, { partition: 1 }])
      assert.notStrictEqual(first.sessionId, 0)
      assert.deepStrictEqual(told(first), [[0, 0, false], [1, 0, true]])
      const id = first.sessionId
      // The client has read partition 1 and goes on; of partition 0 it says nothing, as nothing changed.
      const second = await fetch(probe, id, 1, [{ partition: 1, from: 1n }])
      assert.strictEqual(second.sessionId, id)
      assert.deepStrictEqual(told(second), [])
      await probe.produce(9, NO_PID, { partition: 0 })
      assert.deepStrictEqual(told(await fetch(probe, id, 2, [])), [[0, 0, true]])
      // Not read yet, so it is told again.
      assert.deepStrictEqual(told(await fetch(probe, id, 3, [])), [[0, 0, true]])
      assert.deepStrictEqual(told(await fetch(probe, id, 4, [{ partition: 0, from: 1n }])), [])
    })
  )

  it(
    "waits for any of its partitions",
    withBroker(TOPICS, async (probe, broker) => {
      const reader = await Probe.open(broker.addresses[0]!)
      const { sessionId } = await fetch(reader, 0, 0, [{ partition: 0 }, { partition: 2 }])
      const waiting = fetch(reader, sessionId, 1, [], { maxWaitMs: 60_000 })
      await probe.produce(9, NO_PID, { partition: 2 })
      assert.deepStrictEqual(told(await waiting), [[2, 0, true]])
      await reader.close()
    })
  )

  it(
    "takes partitions in and lets them go, and is over when none is left",
    withBroker(TOPICS, async (probe) => {
      const { sessionId } = await fetch(probe, 0, 0, [{ partition: 0 }])
      assert.deepStrictEqual(told(await fetch(probe, sessionId, 1, [{ partition: 1 }], { forgotten: [0] })), [[
        1,
        0,
        false
      ]])
      await probe.produce(9, NO_PID, { partition: 0 })
      assert.deepStrictEqual(told(await fetch(probe, sessionId, 2, [])), [])
      const last = await fetch(probe, sessionId, 3, [], { forgotten: [1] })
      assert.deepInclude(last, { errorCode: 0, sessionId: 0 })
      assert.strictEqual((await fetch(probe, sessionId, 4, [])).errorCode, 70)
    })
  )

  it(
    "notices a fetch that was lost or came twice",
    withBroker(TOPICS, async (probe) => {
      const { sessionId } = await fetch(probe, 0, 0, [{ partition: 0 }])
      await fetch(probe, sessionId, 1, [])
      assert.strictEqual((await fetch(probe, sessionId, 1, [])).errorCode, 71)
      assert.strictEqual((await fetch(probe, sessionId, 3, [])).errorCode, 71)
      assert.strictEqual((await fetch(probe, sessionId, 2, [])).errorCode, 0)
      assert.strictEqual((await fetch(probe, sessionId, 3, [], { version: 13 })).errorCode, 106)
      assert.strictEqual((await fetch(probe, sessionId + 1, 1, [])).errorCode, 70)
    })
  )

  it(
    "tells of an error every time, and of the partition again once it is well",
    withBroker({ nodes: 2, topics: { t: 1 } }, async (probe, broker, run) => {
      const { sessionId } = await fetch(probe, 0, 0, [{ partition: 0 }])
      await run(broker.moveLeader("t", 0, 2))
      assert.deepStrictEqual(told(await fetch(probe, sessionId, 1, [])), [[0, 6, false]])
      assert.deepStrictEqual(told(await fetch(probe, sessionId, 2, [])), [[0, 6, false]])
      await run(broker.moveLeader("t", 0, 1))
      assert.deepStrictEqual(told(await fetch(probe, sessionId, 3, [])), [[0, 0, false]])
      assert.deepStrictEqual(told(await fetch(probe, sessionId, 4, [])), [])
    })
  )

  it(
    "is closed by a full fetch that names it, by the node it is not of, and by a restart",
    withBroker(TOPICS, async (probe, broker, run) => {
      const first = await fetch(probe, 0, 0, [{ partition: 0 }])
      const second = await fetch(probe, first.sessionId, 0, [{ partition: 0 }])
      assert.notStrictEqual(second.sessionId, first.sessionId)
      assert.strictEqual((await fetch(probe, first.sessionId, 1, [])).errorCode, 70)
      const none = await fetch(probe, second.sessionId, -1, [{ partition: 0 }])
      assert.deepInclude(none, { errorCode: 0, sessionId: 0 })
      assert.strictEqual((await fetch(probe, second.sessionId, 1, [])).errorCode, 70)
      const third = await fetch(probe, 0, 0, [{ partition: 0 }])
      await run(broker.restart())
      const again = await Probe.open(broker.addresses[0]!)
      assert.strictEqual((await fetch(again, third.sessionId, 1, [])).errorCode, 70)
      await again.close()
    })
  )
})

describe("fetch sessions", () => {
  it("make room only at the cost of one that has long been idle", () => {
    let next = 1
    const sessions = new FetchSessions(() => new Uint8Array(16).fill(next++), { slots: 2, evictionAfter: 100 })
    const first = sessions.open(1, false, 0)!
    const second = sessions.open(1, false, 50)!
    assert.isUndefined(sessions.open(1, false, 99))
    const third = sessions.open(1, false, 100)
    assert.isDefined(third)
    assert.isUndefined(sessions.get(first.id, 1))
    assert.strictEqual(sessions.get(second.id, 1), second)
    assert.isUndefined(sessions.get(second.id, 2))
  })
})
