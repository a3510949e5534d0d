import { Apis } from "@exactly-once/protocol"
import { assert, describe, it } from "vitest"
import { batchOf, NO_PID } from "../support/Probe.ts"
import { withBroker } from "../support/withBroker.ts"

const TOPICS = { topics: { t: 2 } }

describe("InitProducerId", () => {
  it(
    "judges the timeout of a transactional producer, and no other",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      for (const timeoutMs of [900_001, 0, -1]) assert.strictEqual((await probe.init("id", { timeoutMs })).error, 50)
      assert.strictEqual((await probe.init("id", { timeoutMs: 900_000 })).error, 0)
      assert.strictEqual((await probe.init(null, { timeoutMs: 900_001 })).error, 0)
    })
  )

  it(
    "refuses an empty transactional id",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      assert.strictEqual((await probe.init("")).error, 42)
    })
  )

  it(
    "is answered with 16 before anyone looked for the coordinator",
    withBroker(TOPICS, async (probe) => {
      assert.strictEqual((await probe.init("id")).error, 16)
      assert.deepStrictEqual(await probe.add("id", { producerId: 0n, epoch: 0 }, { t: [0] }), [16])
      const { error, offset } = await probe.send(11, "id", { producerId: 0n, epoch: 0 })
      assert.deepStrictEqual({ error, offset }, { error: 19, offset: -1n })
      await probe.coordinators("id")
      assert.strictEqual((await probe.init("id")).error, 0)
    })
  )

  it(
    "keeps the producer id and moves the epoch on",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const first = await probe.init("id")
      const second = await probe.init("id")
      assert.strictEqual(second.producerId, first.producerId)
      assert.strictEqual(second.epoch, first.epoch + 1)
      // Nobody can ask again for what a producer without an epoch got.
      assert.strictEqual((await probe.init("id", { pid: first })).error, 90)
    })
  )

  it(
    "gives the next epoch to the owner, the same one when asked again, and 90 or 47 to an older one",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const first = await probe.init("id")
      const second = await probe.init("id", { pid: first })
      assert.deepStrictEqual(second, { ...first, epoch: first.epoch + 1 })
      assert.deepStrictEqual(await probe.init("id", { pid: first }), second)
      const third = await probe.init("id", { pid: second })
      assert.strictEqual(third.epoch, second.epoch + 1)
      assert.strictEqual((await probe.init("id", { pid: first })).error, 90)
      assert.strictEqual((await probe.init("id", { pid: first, version: 3 })).error, 47)
      assert.strictEqual((await probe.init("id", { pid: { producerId: 999n, epoch: 0 } })).error, 90)
    })
  )

  it(
    "ignores what a producer says it had when the transactional id is new",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const answer = await probe.init("id", { pid: { producerId: 0n, epoch: 0 } })
      assert.strictEqual(answer.error, 0)
      assert.strictEqual(answer.epoch, 0)
      assert.strictEqual((await probe.init("id", { pid: { producerId: 4_711n, epoch: 0 } })).error, 90)
    })
  )

  it(
    "always gives a new id to a producer without transactions",
    withBroker(TOPICS, async (probe) => {
      const first = await probe.init(null)
      const second = await probe.init(null, { pid: first })
      assert.notStrictEqual(second.producerId, first.producerId)
      assert.strictEqual(second.epoch, 0)
    })
  )

  it(
    "refuses a producer id without an epoch",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      assert.strictEqual((await probe.init("id", { pid: { producerId: 1n, epoch: -1 } })).error, 42)
    })
  )
})

for (const transactionVersion of [1, 2] as const) {
  const tv = { ...TOPICS, transactionVersion }
  describe(`a producer that recovers, transaction.version ${transactionVersion}`, () => {
    const recovers = transactionVersion === 2

    it(
      "while its transaction is open gets 51 first",
      withBroker(tv, async (probe) => {
        await probe.coordinators("id")
        const pid = await probe.init("id")
        await probe.add("id", pid, { t: [0] })
        assert.strictEqual((await probe.init("id", { pid })).error, 51)
        const again = await probe.init("id", { pid })
        if (recovers) assert.deepStrictEqual(again, { ...pid, epoch: pid.epoch + 1 })
        else assert.strictEqual(again.error, 90)
      })
    )

    it(
      "after its transaction timed out",
      withBroker(tv, async (probe, broker, run) => {
        await probe.coordinators("id")
        const pid = await probe.init("id", { timeoutMs: 10_000 })
        await probe.add("id", pid, { t: [0] })
        await run(broker.advance("10 seconds", "transactions"))
        assert.strictEqual((await probe.describe("id")).state, "CompleteAbort")
        const again = await probe.init("id", { pid })
        if (!recovers) {
          assert.strictEqual(again.error, 90)
          assert.strictEqual((await probe.init("id", { pid, version: 3 })).error, 47)
          return
        }
        assert.deepStrictEqual(again, { ...pid, epoch: pid.epoch + 1 })
        assert.deepStrictEqual(await probe.init("id", { pid }), again)
      })
    )

    it(
      "loses to a newcomer, who waits for the abort and is two epochs ahead",
      withBroker({ ...tv, prepareDelay: Infinity }, async (probe, broker, run) => {
        await probe.coordinators("id")
        const zombie = await probe.init("id")
        await probe.add("id", zombie, { t: [0] })
        assert.strictEqual((await probe.init("id")).error, 51)
        assert.strictEqual((await probe.init("id")).error, 51)
        assert.strictEqual((await probe.describe("id")).state, "PrepareAbort")
        await run(broker.releasePrepared)
        const newcomer = await probe.init("id")
        assert.deepStrictEqual(newcomer, { ...zombie, epoch: zombie.epoch + 2 })

        assert.deepStrictEqual(await probe.add("id", zombie, { t: [0] }), [90])
        assert.deepStrictEqual(await probe.add("id", zombie, { t: [0] }, 1), [47])
        assert.strictEqual(await probe.addOffsets("id", zombie), 90)
        assert.strictEqual(await probe.addOffsets("id", zombie, "group", 1), 47)
        assert.strictEqual(await probe.commitOffset("id", zombie, 1n), 47)
        assert.strictEqual((await probe.send(11, "id", zombie)).error, 47)
        assert.strictEqual((await probe.send(12, "id", zombie, { partition: 1 })).error, 47)
        for (const committed of [true, false]) {
          assert.strictEqual((await probe.end("id", zombie, committed, 4)).error, 90)
          assert.strictEqual((await probe.end("id", zombie, committed, 5)).error, 90)
          assert.strictEqual((await probe.end("id", zombie, committed, 1)).error, 47)
        }
        assert.strictEqual((await probe.init("id", { pid: zombie })).error, 90)
        assert.strictEqual((await probe.init("id", { pid: zombie, version: 3 })).error, 47)
      })
    )
  })
}

describe("after the coordinator timed a transaction out", () => {
  it(
    "every request of the old epoch is answered as Kafka does",
    withBroker(TOPICS, async (probe, broker, run) => {
      await probe.coordinators("old")
      const old = await probe.init("old", { timeoutMs: 5_000 })
      await probe.add("old", old, { t: [0] })
      assert.strictEqual((await probe.send(11, "old", old)).error, 0)
      await run(broker.advance("4 seconds", "transactions"))
      assert.strictEqual((await probe.describe("old")).state, "Ongoing")
      await run(broker.advance("1 seconds", "transactions"))
      assert.strictEqual((await probe.describe("old")).state, "CompleteAbort")
      assert.deepStrictEqual(await probe.visible(), [])

      assert.strictEqual((await probe.send(11, "old", old, { sequence: 1 })).error, 47)
      assert.strictEqual((await probe.send(11, "old", old, { partition: 1 })).error, 47)
      assert.strictEqual((await probe.send(12, "old", old, { sequence: 1 })).error, 47)
      assert.strictEqual((await probe.send(12, "old", old, { partition: 1 })).error, 47)
      assert.deepStrictEqual(await probe.add("old", old, { t: [0] }), [90])
      assert.strictEqual(await probe.addOffsets("old", old, "group", 3), 90)
      assert.strictEqual(await probe.addOffsets("old", old, "group", 4), 90)
      assert.strictEqual(await probe.commitOffset("old", old, 1n, { version: 4 }), 47)
      assert.strictEqual(await probe.commitOffset("old", old, 1n, { version: 5 }), 47)
      assert.strictEqual((await probe.end("old", old, true, 4)).error, 90)
      assert.strictEqual((await probe.end("old", old, true, 1)).error, 47)
      assert.strictEqual((await probe.end("old", old, false, 4)).error, 90)
      // A commit one epoch behind is a repeated request for something that ended the other way; an abort is one that is already done.
      assert.strictEqual((await probe.end("old", old, true, 5)).error, 48)
      assert.deepStrictEqual(await probe.end("old", old, false, 5), { ...old, epoch: old.epoch + 1 })
    })
  )

  it(
    "happens in real time too",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const pid = await probe.init("id", { timeoutMs: 50 })
      await probe.add("id", pid, { t: [0] })
      await probe.send(11, "id", pid)
      // The marker is what ends the wait: a read_committed reader gets both, and filters the data by the list.
      const answer = await probe.fetch({ maxWaitMs: 10_000 })
      assert.strictEqual(answer.abortedTransactions?.length, 1)
      assert.strictEqual((await probe.describe("id")).state, "CompleteAbort")
    })
  )
})

describe("EndTxn", () => {
  it(
    "v4 says 51 while the markers are being written, then agrees with its own decision only",
    withBroker({ ...TOPICS, prepareDelay: Infinity }, async (probe, broker, run) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      await probe.add("id", pid, { t: [0] })
      assert.strictEqual((await probe.end("id", pid, true)).error, 0)
      assert.strictEqual((await probe.describe("id")).state, "PrepareCommit")
      assert.strictEqual((await probe.end("id", pid, true)).error, 51)
      assert.strictEqual((await probe.end("id", pid, false)).error, 51)
      assert.deepStrictEqual(await probe.add("id", pid, { t: [0] }), [51])
      assert.strictEqual((await probe.send(11, "id", pid, { partition: 1 })).error, 19)
      assert.strictEqual(await probe.addOffsets("id", pid), 51)
      assert.strictEqual((await probe.init("id")).error, 51)
      await run(broker.releasePrepared)
      assert.strictEqual((await probe.end("id", pid, true)).error, 0)
      assert.strictEqual((await probe.end("id", pid, false)).error, 48)
      assert.strictEqual((await probe.describe("id")).state, "CompleteCommit")
    })
  )

  it(
    "v4 has nothing to end in an empty transaction",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      for (const committed of [true, false]) assert.strictEqual((await probe.end("id", pid, committed)).error, 48)
      await probe.add("id", pid, { t: [0] })
      assert.strictEqual((await probe.end("id", pid, false)).error, 0)
      assert.strictEqual((await probe.end("id", pid, false)).error, 0)
      assert.strictEqual((await probe.end("id", pid, true)).error, 48)
    })
  )

  it(
    "v5 moves the epoch on with every end, and knows a repeated request by its epoch",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      assert.strictEqual((await probe.send(12, "id", pid)).error, 0)
      const next = await probe.end("id", pid, true, 5)
      assert.deepStrictEqual(next, { ...pid, epoch: pid.epoch + 1 })
      assert.deepStrictEqual(await probe.end("id", pid, true, 5), next)
      assert.strictEqual((await probe.end("id", pid, false, 5)).error, 48)
      // In the current epoch nothing was begun: a commit is refused, an abort moves on.
      assert.strictEqual((await probe.end("id", next, true, 5)).error, 48)
      const after = await probe.end("id", next, false, 5)
      assert.deepStrictEqual(after, { ...next, epoch: next.epoch + 1 })
      assert.deepStrictEqual(await probe.end("id", next, false, 5), after)
      assert.strictEqual((await probe.end("id", pid, true, 5)).error, 90)
    })
  )

  it(
    "v5 on a fresh id aborts nothing and commits not at all",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      assert.strictEqual((await probe.end("id", pid, true, 5)).error, 48)
      const next = await probe.end("id", pid, false, 5)
      assert.deepStrictEqual(next, { ...pid, epoch: pid.epoch + 1 })
    })
  )

  it(
    "v5 while the markers are being written says 51 to everything",
    withBroker({ ...TOPICS, prepareDelay: Infinity }, async (probe, broker, run) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      await probe.send(12, "id", pid)
      const next = await probe.end("id", pid, true, 5)
      assert.strictEqual(next.error, 0)
      assert.strictEqual((await probe.end("id", pid, true, 5)).error, 51)
      assert.strictEqual((await probe.end("id", pid, false, 5)).error, 51)
      assert.strictEqual((await probe.end("id", next, true, 5)).error, 51)
      assert.strictEqual((await probe.send(12, "id", next, { partition: 1 })).error, 51)
      await run(broker.releasePrepared)
      assert.strictEqual((await probe.send(12, "id", next, { partition: 1 })).error, 0)
    })
  )

  it(
    "skips the markers of a topic that was deleted meanwhile",
    withBroker({ topics: { t: 1, gone: 1 } }, async (probe) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      await probe.add("id", pid, { t: [0], gone: [0] })
      await probe.client.call(Apis.DeleteTopics, 1, { topicNames: ["gone"], timeoutMs: 1 })
      assert.strictEqual((await probe.end("id", pid, true)).error, 0)
      assert.strictEqual((await probe.describe("id")).state, "CompleteCommit")
    })
  )

  it(
    "commits a partition that was added and never written to",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      await probe.add("id", pid, { t: [0, 1] })
      await probe.send(11, "id", pid)
      assert.strictEqual((await probe.end("id", pid, true)).error, 0)
      assert.deepStrictEqual(await probe.visible(), ["v"])
    })
  )
})

describe("epochs that run out", () => {
  it(
    "v1 gets a new producer id from InitProducerId",
    withBroker({ ...TOPICS, firstEpoch: 32_766 }, async (probe) => {
      await probe.coordinators("id")
      const last = await probe.init("id")
      assert.strictEqual(last.epoch, 32_766)
      const fresh = await probe.init("id", { pid: last })
      assert.strictEqual(fresh.epoch, 0)
      assert.notStrictEqual(fresh.producerId, last.producerId)
      // The answer may have been lost: the old pair gets the same again.
      assert.deepStrictEqual(await probe.init("id", { pid: last }), fresh)
    })
  )

  it(
    "v2 gets a new producer id from EndTxn, also when asked again",
    withBroker({ ...TOPICS, firstEpoch: 32_766 }, async (probe) => {
      await probe.coordinators("id")
      const last = await probe.init("id")
      await probe.send(12, "id", last)
      const fresh = await probe.end("id", last, true, 5)
      assert.strictEqual(fresh.error, 0)
      assert.strictEqual(fresh.epoch, 0)
      assert.notStrictEqual(fresh.producerId, last.producerId)
      assert.deepStrictEqual(await probe.end("id", last, true, 5), fresh)
      assert.deepStrictEqual(await probe.visible(), ["v"])
      assert.strictEqual((await probe.send(12, "id", fresh)).error, 0)
      assert.strictEqual((await probe.end("id", fresh, true, 5)).epoch, 1)
      assert.deepStrictEqual(await probe.visible(), ["v", "v"])
    })
  )

  it(
    "a fenced producer on its last epoch leaves a new id to its successor",
    withBroker({ ...TOPICS, firstEpoch: 32_766, transactionVersion: 1 }, async (probe) => {
      await probe.coordinators("id")
      const last = await probe.init("id")
      await probe.add("id", last, { t: [0] })
      assert.strictEqual((await probe.init("id")).error, 51)
      const fresh = await probe.init("id")
      assert.strictEqual(fresh.error, 0)
      assert.strictEqual(fresh.epoch, 0)
      assert.notStrictEqual(fresh.producerId, last.producerId)
    })
  )
})

describe("AddPartitionsToTxn", () => {
  it(
    "adds none when one of them does not exist",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      assert.deepStrictEqual(await probe.add("id", pid, { t: [0, 7], nowhere: [0] }), [55, 3, 3])
      assert.strictEqual((await probe.describe("id")).state, "Empty")
    })
  )

  it(
    "wants the right producer id for the transactional id",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      assert.deepStrictEqual(await probe.add("id", { ...pid, producerId: 99n }, { t: [0] }), [49])
      assert.deepStrictEqual(await probe.add("unknown", pid, { t: [0] }), [49])
      assert.deepStrictEqual(await probe.add("", pid, { t: [0] }), [42])
      assert.deepStrictEqual(await probe.add("id", { ...pid, epoch: 1 }, { t: [0] }), [90])
    })
  )

  it(
    "is taken in its batched form too, and can only look",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      assert.deepStrictEqual(await probe.add("id", pid, { t: [0] }, 5), [0])
      const { epoch: producerEpoch, producerId } = pid
      const transaction = { transactionalId: "id", producerId, producerEpoch, verifyOnly: true }
      const look = async (partitions: ReadonlyArray<number>) => {
        const topics = [{ name: "t", partitions }]
        const answer = await probe.client.call(Apis.AddPartitionsToTxn, 5, {
          transactions: [{ ...transaction, topics }]
        })
        return answer.resultsByTransaction[0]!.topicResults[0]!.resultsByPartition.map((it) => it.partitionErrorCode)
      }
      assert.deepStrictEqual(await look([0, 1]), [0, 120])
      assert.deepStrictEqual(await look([0, 7]), [55, 3])
    })
  )
})

describe("transactional Produce", () => {
  it(
    "of a partition that was not added: 48, from v11 on 120, from v12 on it is added",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      await probe.add("id", pid, { t: [0] })
      for (const version of [3, 7, 8, 9, 10]) {
        assert.strictEqual((await probe.send(version, "id", pid, { partition: 1 })).error, 48, `v${version}`)
      }
      assert.strictEqual((await probe.send(11, "id", pid, { partition: 1 })).error, 120)
      assert.strictEqual((await probe.send(12, "id", pid, { partition: 1 })).error, 0)
      const { topics } = await probe.describe("id")
      assert.deepStrictEqual(topics.map(({ partitions }) => partitions), [[0, 1]])
    })
  )

  it(
    "checks who the producer is",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      await probe.add("id", pid, { t: [0] })
      assert.strictEqual((await probe.send(11, "id", pid, { transactionalId: null })).error, 53)
      assert.strictEqual((await probe.send(11, "other", pid)).error, 49)
      assert.strictEqual((await probe.send(12, "id", { ...pid, epoch: pid.epoch + 5 })).error, 47)
      assert.strictEqual((await probe.send(11, "id", { ...pid, producerId: 77n })).error, 49)
      // The rightful producer is none the worse for it.
      assert.strictEqual((await probe.send(11, "id", pid)).error, 0)
    })
  )

  it(
    "starts a partition with sequence 0 from v12 on, with any before",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      await probe.add("id", pid, { t: [0] })
      assert.strictEqual((await probe.send(12, "id", pid, { partition: 1, sequence: 1 })).error, 45)
      assert.strictEqual((await probe.send(11, "id", pid, { sequence: 1 })).error, 0)
    })
  )

  it(
    "does not mix with batches outside the transaction",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      await probe.add("id", pid, { t: [0] })
      await probe.send(11, "id", pid)
      assert.strictEqual((await probe.produce(11, pid, { sequence: 1 })).error, 48)
    })
  )

  it(
    "is accepted with acks 1",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      await probe.add("id", pid, { t: [0] })
      assert.strictEqual((await probe.send(11, "id", pid, { acks: 1 })).error, 0)
    })
  )

  it(
    "of v11 that comes late lands in the next transaction once the partition was added again; of v12 it is 47",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      await probe.add("id", pid, { t: [0] })
      await probe.end("id", pid, false)
      assert.strictEqual((await probe.send(11, "id", pid, { values: ["late"] })).error, 120)
      await probe.add("id", pid, { t: [0] })
      assert.strictEqual((await probe.send(11, "id", pid, { values: ["late"] })).error, 0)
      await probe.end("id", pid, true)
      assert.deepStrictEqual(await probe.visible(), ["late"])

      await probe.coordinators("v2")
      const v2 = await probe.init("v2")
      assert.strictEqual((await probe.send(12, "v2", v2, { partition: 1 })).error, 0)
      await probe.end("v2", v2, false, 5)
      assert.strictEqual((await probe.send(12, "v2", v2, { partition: 1, sequence: 1 })).error, 47)
      assert.deepStrictEqual(await probe.visible("t", 1), [])
    })
  )

  it(
    "of an old epoch is still taken where the log has not seen the marker",
    withBroker({ ...TOPICS, prepareDelay: Infinity }, async (probe, broker, run) => {
      await probe.coordinators("id")
      const pid = await probe.init("id", { timeoutMs: 1_000 })
      await probe.add("id", pid, { t: [0, 1] })
      await probe.send(11, "id", pid)
      await run(broker.advance("1 seconds", "transactions"))
      assert.strictEqual((await probe.describe("id")).state, "PrepareAbort")
      assert.strictEqual((await probe.send(11, "id", pid, { sequence: 1, values: ["zombie"] })).error, 0)
      assert.strictEqual((await probe.send(11, "id", pid, { partition: 1 })).error, 47)
      await run(broker.releasePrepared)
      assert.strictEqual((await probe.send(11, "id", pid, { sequence: 2 })).error, 47)
      assert.deepStrictEqual(await probe.visible(), [])
    })
  )
})

describe("KIP-664", () => {
  it(
    "transactions can be listed and described, and hanging ones aborted",
    withBroker(TOPICS, async (probe) => {
      const { client } = probe
      await probe.coordinators("a")
      const a = await probe.init("a")
      await probe.init("b")
      await probe.add("a", a, { t: [1] })
      await probe.send(11, "a", a, { partition: 1 })
      const all = { stateFilters: [], producerIdFilters: [] }
      const list = async (version: number, filter: object) =>
        (await client.call(Apis.ListTransactions, version, { ...all, ...filter })).transactionStates.map((it) =>
          it.transactionalId
        )
      assert.deepStrictEqual(await list(0, {}), ["a", "b"])
      assert.deepStrictEqual(await list(0, { stateFilters: ["Ongoing"] }), ["a"])
      assert.deepStrictEqual(await list(0, { producerIdFilters: [a.producerId] }), ["a"])
      assert.deepStrictEqual(await list(1, { durationFilter: 100_000n, stateFilters: ["Ongoing"] }), [])
      assert.deepStrictEqual(await list(2, { transactionalIdPattern: "[b-z]" }), ["b"])
      const wrong = await client.call(Apis.ListTransactions, 2, { ...all, transactionalIdPattern: "(" })
      assert.strictEqual(wrong.errorCode, 128)
      const unknown = await client.call(Apis.ListTransactions, 0, { ...all, stateFilters: ["Happy"] })
      assert.deepStrictEqual(unknown.unknownStateFilters, ["Happy"])
      assert.deepStrictEqual(await list(0, { stateFilters: ["Happy"] }), [])

      assert.strictEqual((await probe.describe("nobody")).error, 105)
      const producers = async () =>
        (await client.call(Apis.DescribeProducers, 0, { topics: [{ name: "t", partitionIndexes: [1] }] })).topics[0]!
          .partitions[0]!.activeProducers[0]!
      const hanging = await producers()
      assert.strictEqual(hanging.lastSequence, 0)
      assert.strictEqual(hanging.coordinatorEpoch, -1)
      assert.strictEqual(hanging.currentTxnStartOffset, 0n)
      const marker = {
        producerId: a.producerId,
        producerEpoch: a.epoch,
        transactionResult: false,
        coordinatorEpoch: 0,
        topics: [{ name: "t", partitionIndexes: [1, 9] }]
      }
      const written = await client.call(Apis.WriteTxnMarkers, 1, { markers: [marker] })
      assert.deepStrictEqual(written.markers[0]!.topics[0]!.partitions.map((it) => it.errorCode), [0, 3])
      const aborted = await producers()
      assert.strictEqual(aborted.coordinatorEpoch, 0)
      assert.strictEqual(aborted.currentTxnStartOffset, -1n)
      assert.strictEqual(await probe.latest(true, "t", 1), 2n)
      const older = await client.call(Apis.WriteTxnMarkers, 1, { markers: [{ ...marker, coordinatorEpoch: -1 }] })
      assert.strictEqual(older.markers[0]!.topics[0]!.partitions[0]!.errorCode, 52)
      const past = await client.call(Apis.WriteTxnMarkers, 1, { markers: [{ ...marker, producerEpoch: -1 }] })
      assert.strictEqual(past.markers[0]!.topics[0]!.partitions[0]!.errorCode, 47)
    })
  )

  it(
    "ids and producers that were idle for long are forgotten",
    withBroker(TOPICS, async (probe, broker, run) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      const idempotent = await probe.init(null)
      await probe.produce(9, idempotent)
      await run(broker.advance("8 days", "expiry"))
      assert.strictEqual((await probe.describe("id")).error, 105)
      assert.deepStrictEqual(await probe.add("id", pid, { t: [0] }), [49])
      // State expired: any sequence is taken.
      assert.strictEqual((await probe.produce(9, idempotent, { sequence: 5 })).error, 0)
    })
  )
})

describe("the marker", () => {
  it(
    "has the producer's epoch in v1, the next one in v2, and takes one offset",
    withBroker(TOPICS, async (probe, broker, run) => {
      await probe.coordinators("v1")
      const v1 = await probe.init("v1")
      await probe.add("v1", v1, { t: [0] })
      await probe.send(11, "v1", v1)
      await probe.end("v1", v1, true)
      const v2 = await probe.init("v2")
      await probe.send(12, "v2", v2, { partition: 1 })
      await probe.end("v2", v2, false, 5)
      const markers = async (partition: number) =>
        (await run(broker.batches("t", partition))).filter((it) => it.marker !== undefined)
      const [commit] = await markers(0)
      assert.deepInclude(commit, {
        marker: "commit",
        producerEpoch: v1.epoch,
        baseOffset: 1n,
        count: 1,
        baseSequence: -1
      })
      const [abort] = await markers(1)
      assert.deepInclude(abort, { marker: "abort", producerEpoch: v2.epoch + 1, baseOffset: 1n, transactional: true })
    })
  )

  it(
    "cannot be written by a client",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("id")
      const pid = await probe.init("id")
      await probe.add("id", pid, { t: [0] })
      const spec = { control: true, transactional: true }
      assert.strictEqual((await probe.produce(9, pid, spec)).error, 53)
      assert.strictEqual((await probe.send(9, "id", pid, spec)).error, 87)
      const bare = batchOf(NO_PID, { control: true })
      assert.strictEqual((await probe.produceBytes(9, bare)).error, 87)
    })
  )
})
