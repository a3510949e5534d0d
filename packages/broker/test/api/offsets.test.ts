import { assert, describe, it } from "vitest"
import type { Pid, Probe } from "../support/Probe.ts"
import { withBroker } from "../support/withBroker.ts"

const TOPICS = { topics: { t: 1 } }

/** Both protocols: how offsets get into a transaction, and how it ends. */
const protocols = {
  v1: {
    commit: async (probe: Probe, id: string, pid: Pid, offset: bigint) => {
      assert.strictEqual(await probe.addOffsets(id, pid), 0)
      return probe.commitOffset(id, pid, offset, { version: 3 })
    },
    end: (probe: Probe, id: string, pid: Pid, committed: boolean) => probe.end(id, pid, committed, 4)
  },
  v2: {
    commit: (probe: Probe, id: string, pid: Pid, offset: bigint) => probe.commitOffset(id, pid, offset, { version: 5 }),
    end: (probe: Probe, id: string, pid: Pid, committed: boolean) => probe.end(id, pid, committed, 5)
  }
}

for (const [name, { commit, end }] of Object.entries(protocols)) {
  describe(`offsets of two open transactions, ${name}`, () => {
    const both = async (probe: Probe): Promise<readonly [Pid, Pid]> => {
      await probe.coordinators("A")
      await probe.coordinators("B")
      return [await probe.init("A"), await probe.init("B")]
    }

    it(
      "10 then 20, committed in order: 20, and between the commits 10 or 88",
      withBroker(TOPICS, async (probe) => {
        const [a, b] = await both(probe)
        await commit(probe, "A", a, 10n)
        await commit(probe, "B", b, 20n)
        assert.deepStrictEqual(await probe.committed(), { error: 0, offset: -1n })
        assert.strictEqual((await probe.committed({ stable: true })).error, 88)
        await end(probe, "A", a, true)
        assert.deepStrictEqual(await probe.committed(), { error: 0, offset: 10n })
        assert.strictEqual((await probe.committed({ stable: true })).error, 88)
        await end(probe, "B", b, true)
        assert.deepStrictEqual(await probe.committed({ stable: true }), { error: 0, offset: 20n })
      })
    )

    it(
      "10 then 20, committed in the other order: 20",
      withBroker(TOPICS, async (probe) => {
        const [a, b] = await both(probe)
        await commit(probe, "A", a, 10n)
        await commit(probe, "B", b, 20n)
        await end(probe, "B", b, true)
        await end(probe, "A", a, true)
        assert.deepStrictEqual(await probe.committed({ stable: true }), { error: 0, offset: 20n })
      })
    )

    it(
      "20 then 10, committed 10 then 20: 10, the higher position in the log wins",
      withBroker(TOPICS, async (probe) => {
        const [a, b] = await both(probe)
        await commit(probe, "B", b, 20n)
        await commit(probe, "A", a, 10n)
        await end(probe, "A", a, true)
        await end(probe, "B", b, true)
        assert.deepStrictEqual(await probe.committed({ stable: true }), { error: 0, offset: 10n })
      })
    )

    it(
      "10, 20, and 10 again because its answer was lost: 10",
      withBroker(TOPICS, async (probe) => {
        const [a, b] = await both(probe)
        await commit(probe, "A", a, 10n)
        await commit(probe, "B", b, 20n)
        await commit(probe, "A", a, 10n)
        await end(probe, "A", a, true)
        await end(probe, "B", b, true)
        assert.deepStrictEqual(await probe.committed({ stable: true }), { error: 0, offset: 10n })
      })
    )

    it(
      "an aborted one leaves no trace",
      withBroker(TOPICS, async (probe) => {
        const [a, b] = await both(probe)
        await commit(probe, "A", a, 10n)
        await commit(probe, "B", b, 20n)
        await end(probe, "A", a, false)
        assert.deepStrictEqual(await probe.committed(), { error: 0, offset: -1n })
        await end(probe, "B", b, true)
        assert.deepStrictEqual(await probe.committed({ stable: true }), { error: 0, offset: 20n })
      })
    )

    it(
      "a zombie's pending offsets do not stop a new owner with an id of its own",
      withBroker(TOPICS, async (probe) => {
        const [zombie, owner] = await both(probe)
        await commit(probe, "A", zombie, 10n)
        assert.deepStrictEqual(await probe.committed({ version: 4 }), { error: 0, offset: -1n })
        assert.strictEqual((await probe.committed({ stable: true })).error, 88)
        assert.strictEqual(await commit(probe, "B", owner, 10n), 0)
        assert.strictEqual((await end(probe, "A", zombie, true)).error, 0)
        assert.strictEqual((await end(probe, "B", owner, true)).error, 0)
      })
    )
  })
}

describe("TxnOffsetCommit", () => {
  it(
    "without AddOffsetsToTxn: 48, from v4 on 120, from v5 on it is added",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      for (const version of [0, 1, 2, 3]) {
        assert.strictEqual(await probe.commitOffset("id", pid, 1n, { version }), 48, `v${version}`)
      }
      assert.strictEqual(await probe.commitOffset("id", pid, 1n, { version: 4 }), 120)
      assert.strictEqual((await probe.describe("id")).state, "Empty")
      assert.strictEqual(await probe.commitOffset("id", pid, 1n, { version: 5 }), 0)
      const { state, topics } = await probe.describe("id")
      assert.strictEqual(state, "Ongoing")
      assert.strictEqual(topics[0]?.topic, "__consumer_offsets")
    })
  )

  it(
    "checks group and member, if it names any",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      await probe.addOffsets("id", pid)
      assert.strictEqual(await probe.commitOffset("id", pid, 1n), 0)
      const stranger = { generation: 3, memberId: "m" }
      assert.strictEqual(await probe.commitOffset("id", pid, 1n, stranger), 25)
      await probe.addOffsets("id", pid, "fresh")
      assert.strictEqual(await probe.commitOffset("id", pid, 1n, { ...stranger, groupId: "fresh" }), 22)
      assert.strictEqual(await probe.commitOffset("id", pid, 1n, { topic: "nowhere" }), 3)
    })
  )

  it(
    "in Prepare is retriable",
    withBroker({ ...TOPICS, prepareDelay: Infinity }, async (probe, broker, run) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      await probe.send(12, "id", pid)
      const next = await probe.end("id", pid, true, 5)
      assert.strictEqual(await probe.commitOffset("id", next, 1n, { version: 5 }), 51)
      await run(broker.releasePrepared)
      assert.strictEqual(await probe.commitOffset("id", next, 1n, { version: 5 }), 0)
    })
  )

  it(
    "stays pending until the marker, also after EndTxn was answered",
    withBroker({ ...TOPICS, prepareDelay: Infinity }, async (probe, broker, run) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      await probe.commitOffset("id", pid, 7n, { version: 5 })
      assert.strictEqual((await probe.end("id", pid, true, 5)).error, 0)
      assert.strictEqual((await probe.committed({ stable: true })).error, 88)
      assert.deepStrictEqual(await probe.committed(), { error: 0, offset: -1n })
      await run(broker.releasePrepared)
      assert.deepStrictEqual(await probe.committed({ stable: true }), { error: 0, offset: 7n })
    })
  )

  it(
    "does not overwrite a plain commit that came after it",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      await probe.commitOffset("id", pid, 3n, { version: 5 })
      assert.strictEqual(await probe.plainCommit(1n), 0)
      assert.deepStrictEqual(await probe.committed(), { error: 0, offset: 1n })
      await probe.end("id", pid, true, 5)
      assert.deepStrictEqual(await probe.committed({ stable: true }), { error: 0, offset: 1n })
    })
  )

  it(
    "is dropped by an abort and by a timeout, and the old value stays",
    withBroker(TOPICS, async (probe, broker, run) => {
      await probe.coordinators("id")
      assert.strictEqual(await probe.plainCommit(5n), 0)
      const pid = await probe.init("id", { timeoutMs: 10_000 })
      await probe.commitOffset("id", pid, 9n, { version: 5 })
      const next = await probe.end("id", pid, false, 5)
      assert.deepStrictEqual(await probe.committed({ stable: true }), { error: 0, offset: 5n })
      await probe.commitOffset("id", next, 10n, { version: 5 })
      await run(broker.advance("10 seconds", "transactions"))
      assert.deepStrictEqual(await probe.committed({ stable: true }), { error: 0, offset: 5n })
    })
  )

  it(
    "of one partition does not make another one unstable",
    withBroker({ topics: { t: 2 } }, async (probe) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      await probe.commitOffset("id", pid, 9n, { version: 5 })
      assert.strictEqual((await probe.committed({ stable: true, partition: 0 })).error, 88)
      assert.strictEqual((await probe.committed({ stable: true, partition: 1 })).error, 0)
    })
  )
})
