import { Apis, RecordBatch } from "@exactly-once/protocol"
import { assert, describe, it } from "vitest"
import { batchOf, NO_PID, Probe } from "../support/Probe.ts"
import { withBroker } from "../support/withBroker.ts"

const TOPICS = { topics: { t: 2 } }

describe("an idempotent producer", () => {
  it(
    "that sends one of its last five batches again gets the offset it got then",
    withBroker(TOPICS, async (probe) => {
      const pid = await probe.init(null)
      for (let sequence = 0; sequence < 6; sequence++) await probe.produce(9, pid, { sequence })
      for (let sequence = 1; sequence < 6; sequence++) {
        assert.deepInclude(await probe.produce(9, pid, { sequence }), { error: 0, offset: BigInt(sequence) })
      }
      // The sixth last is forgotten; it cannot be told from a gap.
      assert.strictEqual((await probe.produce(9, pid, { sequence: 0 })).error, 45)
      assert.strictEqual(await probe.latest(false), 6n)
    })
  )

  it(
    "may leave no gap, nor send half of a batch again",
    withBroker(TOPICS, async (probe) => {
      const pid = await probe.init(null)
      await probe.produce(9, pid, { values: ["a", "b"] })
      assert.strictEqual((await probe.produce(9, pid, { sequence: 3 })).error, 45)
      assert.strictEqual((await probe.produce(9, pid, { values: ["a"] })).error, 45)
      assert.deepInclude(await probe.produce(9, pid, { sequence: 2 }), { error: 0, offset: 2n })
    })
  )

  it(
    "starts a new epoch with sequence 0 and cannot go back to an old one",
    withBroker(TOPICS, async (probe) => {
      const pid = await probe.init(null)
      await probe.produce(9, pid)
      const next = { ...pid, epoch: 3 }
      assert.strictEqual((await probe.produce(9, next, { sequence: 1 })).error, 45)
      assert.strictEqual((await probe.produce(9, next)).error, 0)
      assert.strictEqual((await probe.produce(9, pid, { sequence: 1 })).error, 47)
    })
  )

  it(
    "may begin anywhere when nothing is known of it",
    withBroker(TOPICS, async (probe) => {
      assert.strictEqual((await probe.produce(9, { producerId: 4_000n, epoch: 2 }, { sequence: 17 })).error, 0)
    })
  )

  it(
    "counts on from 2^31-1 to 0",
    withBroker(TOPICS, async (probe) => {
      const pid = { producerId: 4_000n, epoch: 0 }
      assert.strictEqual((await probe.produce(9, pid, { sequence: 0x7fff_fffe, values: ["a", "b"] })).error, 0)
      assert.strictEqual((await probe.produce(9, pid, { sequence: 1 })).error, 45)
      assert.strictEqual((await probe.produce(9, pid, { sequence: 0 })).error, 0)
      assert.strictEqual((await probe.produce(9, pid, { sequence: 1, values: ["c"] })).error, 0)
    })
  )

  it(
    "counts a batch that straddles the end of the sequences",
    withBroker(TOPICS, async (probe) => {
      const pid = { producerId: 4_000n, epoch: 0 }
      assert.strictEqual((await probe.produce(9, pid, { sequence: 0x7fff_ffff, values: ["a", "b", "c"] })).error, 0)
      assert.strictEqual((await probe.produce(9, pid, { sequence: 2 })).error, 0)
    })
  )
})

describe("Produce", () => {
  it(
    "refuses a batch that is none",
    withBroker(TOPICS, async (probe) => {
      const good = batchOf(NO_PID, {})
      const flipped = good.slice()
      flipped[65]! ^= 1
      assert.strictEqual((await probe.produceBytes(9, flipped)).error, 2)
      assert.strictEqual((await probe.produceBytes(9, Buffer.concat([good, good]))).error, 87)
      assert.strictEqual((await probe.produceBytes(9, new Uint8Array(0))).error, 87)
      assert.strictEqual((await probe.produceBytes(9, good.subarray(0, 65))).error, 87)
      const miscounted = good.slice()
      new DataView(miscounted.buffer).setInt32(57, 3)
      assert.notStrictEqual((await probe.produceBytes(9, miscounted)).error, 0)
      assert.strictEqual(await probe.latest(false), 0n)
    })
  )

  it(
    "ends the connection on null records, and serves the others",
    withBroker(TOPICS, async (probe, broker) => {
      const other = await Probe.open(broker.addresses[0]!)
      const answer = other.produceBytes(9, null).catch((error: Error) => error.message)
      assert.strictEqual(await answer, "closed")
      assert.strictEqual((await probe.produce(9, NO_PID)).error, 0)
    })
  )

  it(
    "knows its topics by name and by id",
    withBroker(TOPICS, async (probe) => {
      assert.strictEqual((await probe.produce(9, NO_PID, { topic: "nowhere" })).error, 3)
      assert.strictEqual((await probe.produce(9, NO_PID, { partition: 2 })).error, 3)
      assert.deepInclude(await probe.produce(13, NO_PID), { error: 0, offset: 0n })
      const body = { transactionalId: null, acks: -1, timeoutMs: 1000 }
      const partitionData = [{ index: 0, records: batchOf(NO_PID, {}) }]
      const unknown = await probe.client.call(Apis.Produce, 13, {
        ...body,
        topicData: [{ topicId: "AAAAAAAAAAAAAAAAAAAAAQ", partitionData }]
      })
      assert.strictEqual(unknown.responses[0]!.partitionResponses[0]!.errorCode, 100)
    })
  )

  it(
    "takes acks -1, 0 and 1, and answers nothing to 0",
    withBroker(TOPICS, async (probe) => {
      assert.strictEqual((await probe.produce(9, NO_PID, { acks: 2 })).error, 21)
      const topicData = [{ name: "t", partitionData: [{ index: 0, records: batchOf(NO_PID, {}) }] }]
      probe.client.post(Apis.Produce, 9, { transactionalId: null, acks: 0, timeoutMs: 1000, topicData })
      // Answers come in order, so this one shows that none came before it.
      assert.strictEqual(await probe.latest(false), 1n)
    })
  )

  it(
    "ends the connection when a request without acks fails",
    withBroker(TOPICS, async (_probe, broker) => {
      const other = await Probe.open(broker.addresses[0]!)
      const topicData = [{ name: "nowhere", partitionData: [{ index: 0, records: batchOf(NO_PID, {}) }] }]
      other.client.post(Apis.Produce, 9, { transactionalId: null, acks: 0, timeoutMs: 1000, topicData })
      await other.client.closed
    })
  )

  it(
    "refuses what is larger than the topic allows",
    withBroker(
      { topics: { t: { partitions: 1, config: { "max.message.bytes": "100" } } } },
      async (probe) => {
        assert.strictEqual((await probe.produce(9, NO_PID, { values: ["x".repeat(100)] })).error, 10)
        assert.strictEqual((await probe.produce(9, NO_PID, { values: ["x"] })).error, 0)
      }
    )
  )

  it(
    "stamps batches where the topic says so, and keeps their CRC right",
    withBroker(
      { topics: { t: { partitions: 1, config: { "message.timestamp.type": "LogAppendTime" } } } },
      async (probe) => {
        const before = BigInt(Date.now())
        await probe.produce(9, NO_PID)
        const [batch] = RecordBatch.split((await probe.fetch()).records!).batches
        assert.isTrue(batch!.isValid())
        assert.isTrue(batch!.isLogAppendTime)
        assert.isTrue(batch!.maxTimestamp >= before)
      }
    )
  )

  it(
    "stores the bytes as they came, but for offset and leader epoch",
    withBroker(TOPICS, async (probe) => {
      const sent = batchOf(NO_PID, { values: ["a", "b"] })
      await probe.produceBytes(9, sent)
      await probe.produceBytes(9, sent)
      const stored = (await probe.fetch()).records!
      assert.strictEqual(stored.length, 2 * sent.length)
      const second = RecordBatch.split(stored).batches[1]!
      assert.strictEqual(second.baseOffset, 2n)
      assert.deepStrictEqual([...second.bytes.subarray(16)], [...sent.subarray(16)])
    })
  )
})

describe("Fetch", () => {
  it(
    "shows a read_committed reader what is decided, and lists what was aborted",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("a")
      await probe.coordinators("b")
      const a = await probe.init("a")
      const b = await probe.init("b")
      await probe.produce(9, NO_PID, { values: ["0"] })
      await probe.send(12, "a", a, { values: ["1"] })
      await probe.send(12, "b", b, { values: ["2"] })
      await probe.produce(9, NO_PID, { values: ["3"] })
      // Both are open: nothing after the first of them is shown, not even what has no transaction.
      assert.strictEqual(await probe.latest(true), 1n)
      assert.strictEqual(await probe.latest(false), 4n)
      assert.deepStrictEqual(await probe.visible(), ["0"])
      const uncommitted = await probe.fetch({ committed: false })
      assert.isNull(uncommitted.abortedTransactions)
      assert.strictEqual(RecordBatch.split(uncommitted.records!).batches.length, 4)
      await probe.end("b", b, true, 5)
      assert.strictEqual(await probe.latest(true), 1n)
      await probe.end("a", a, false, 5)
      assert.strictEqual(await probe.latest(true), 6n)
      const all = await probe.fetch()
      assert.deepStrictEqual(
        all.abortedTransactions?.map(({ firstOffset, producerId }) => ({ firstOffset, producerId })),
        [
          { firstOffset: 1n, producerId: a.producerId }
        ]
      )
      assert.strictEqual(RecordBatch.split(all.records!).batches.length, 6)
      assert.deepStrictEqual(await probe.visible(), ["0", "2", "3"])
      // At the marker all of its data is past, and it is listed still.
      assert.strictEqual((await probe.fetch({ from: 5n })).abortedTransactions?.length, 1)
      assert.strictEqual((await probe.fetch({ from: 6n })).abortedTransactions?.length, 0)
    })
  )

  it(
    "answers nothing between the last stable offset and the high watermark, and 1 beyond",
    withBroker(TOPICS, async (probe) => {
      await probe.coordinators("a")
      const a = await probe.init("a")
      await probe.send(12, "a", a, { values: ["x", "y"] })
      for (const from of [0n, 1n, 2n]) {
        const { errorCode, highWatermark, lastStableOffset, records } = await probe.fetch({ from })
        assert.deepStrictEqual({ errorCode, highWatermark, lastStableOffset, size: records?.length }, {
          errorCode: 0,
          highWatermark: 2n,
          lastStableOffset: 0n,
          size: 0
        })
      }
      const beyond = await probe.fetch({ from: 3n })
      assert.deepInclude(beyond, { errorCode: 1, highWatermark: -1n, lastStableOffset: -1n, logStartOffset: -1n })
    })
  )

  it(
    "waits for the marker, not for the data",
    withBroker(TOPICS, async (probe, broker) => {
      const reader = await Probe.open(broker.addresses[0]!)
      await probe.coordinators("a")
      const a = await probe.init("a")
      let answered = false
      const waiting = reader.fetch({ maxWaitMs: 30_000 }).then((answer) => {
        answered = true
        return answer
      })
      await probe.send(12, "a", a)
      await probe.latest(false)
      assert.isFalse(answered)
      await probe.end("a", a, true, 5)
      assert.strictEqual((await waiting).lastStableOffset, 2n)
      await reader.close()
    })
  )

  it(
    "waits for as many bytes as were asked for, and no longer than that",
    withBroker(TOPICS, async (probe, broker) => {
      const reader = await Probe.open(broker.addresses[0]!)
      const size = batchOf(NO_PID, {}).length
      const waiting = reader.fetch({ maxWaitMs: 30_000, minBytes: 2 * size })
      await probe.produce(9, NO_PID)
      await probe.produce(9, NO_PID)
      assert.strictEqual((await waiting).records?.length, 2 * size)
      const started = Date.now()
      const empty = await reader.fetch({ from: 2n, maxWaitMs: 60 })
      assert.strictEqual(empty.records?.length, 0)
      assert.isAtLeast(Date.now() - started, 55)
      await reader.close()
    })
  )

  it(
    "gives as many bytes as asked for, the last batch cut off, and always a whole first one",
    withBroker(TOPICS, async (probe) => {
      for (let i = 0; i < 4; i++) await probe.produce(9, NO_PID)
      const size = batchOf(NO_PID, {}).length
      const bytes = async (maxBytes: number) => (await probe.fetch({ maxBytes })).records!.length
      assert.strictEqual(await bytes(1), size)
      assert.strictEqual(await bytes(2 * size), 2 * size)
      assert.strictEqual(await bytes(3 * size - 1), 3 * size - 1)
      assert.strictEqual(await bytes(100 * size), 4 * size)
      // From the middle of a batch the whole batch is given.
      await probe.produce(9, NO_PID, { partition: 1, values: ["a", "b", "c"] })
      const middle = await probe.fetch({ partition: 1, from: 2n })
      assert.strictEqual(RecordBatch.split(middle.records!).batches[0]!.baseOffset, 0n)
    })
  )

  it(
    "checks the leader epoch",
    withBroker(TOPICS, async (probe, broker, run) => {
      await run(broker.moveLeader("t", 0, 1))
      assert.strictEqual((await probe.fetch({ leaderEpoch: 0 })).errorCode, 74)
      assert.strictEqual((await probe.fetch({ leaderEpoch: 1 })).errorCode, 0)
      assert.strictEqual((await probe.fetch({ leaderEpoch: 2 })).errorCode, 75)
    })
  )

  it(
    "is answered when the topic it waits for is deleted",
    withBroker(TOPICS, async (probe, broker) => {
      const reader = await Probe.open(broker.addresses[0]!)
      const waiting = reader.fetch({ maxWaitMs: 30_000 })
      await probe.client.call(Apis.DeleteTopics, 1, { topicNames: ["t"], timeoutMs: 1 })
      assert.strictEqual((await waiting).errorCode, 3)
      await reader.close()
    })
  )
})

describe("offsets of a log", () => {
  it(
    "are found by time, at the start, at the end and at the largest timestamp",
    withBroker(TOPICS, async (probe) => {
      await probe.produce(9, NO_PID, { values: ["a", "b"] })
      const list = async (timestamp: bigint) => {
        const answer = await probe.client.call(Apis.ListOffsets, 7, {
          replicaId: -1,
          isolationLevel: 0,
          topics: [{ name: "t", partitions: [{ partitionIndex: 0, timestamp }] }]
        })
        const { errorCode, offset, timestamp: at } = answer.topics[0]!.partitions[0]!
        return { errorCode, offset, at }
      }
      assert.deepStrictEqual(await list(-1n), { errorCode: 0, offset: 2n, at: -1n })
      assert.deepStrictEqual(await list(-2n), { errorCode: 0, offset: 0n, at: -1n })
      assert.deepStrictEqual(await list(-3n), { errorCode: 0, offset: 0n, at: 1_000n })
      assert.deepStrictEqual(await list(500n), { errorCode: 0, offset: 0n, at: 1_000n })
      assert.deepStrictEqual(await list(1_001n), { errorCode: 0, offset: -1n, at: -1n })
      assert.strictEqual((await list(-4n)).errorCode, 35)
    })
  )

  it(
    "move with DeleteRecords and with retention",
    withBroker(
      { topics: { t: 1, small: { partitions: 1, config: { "retention.bytes": "20000" } } } },
      async (probe) => {
        for (let i = 0; i < 3; i++) await probe.produce(9, NO_PID)
        const remove = async (offset: bigint) => {
          const topics = [{ name: "t", partitions: [{ partitionIndex: 0, offset }] }]
          const answer = await probe.client.call(Apis.DeleteRecords, 2, { topics, timeoutMs: 1000 })
          const { errorCode, lowWatermark } = answer.topics[0]!.partitions[0]!
          return [errorCode, lowWatermark]
        }
        assert.deepStrictEqual(await remove(9n), [1, -1n])
        assert.deepStrictEqual(await remove(2n), [0, 2n])
        assert.deepStrictEqual(await remove(1n), [0, 2n])
        assert.strictEqual((await probe.fetch({ from: 1n })).errorCode, 1)
        assert.strictEqual((await probe.fetch({ from: 2n })).errorCode, 0)
        assert.deepStrictEqual(await remove(-1n), [0, 3n])

        for (let i = 0; i < 100; i++) await probe.produce(9, NO_PID, { topic: "small", values: ["x".repeat(1000)] })
        const { highWatermark, logStartOffset } = await probe.fetch({ topic: "small", from: 99n })
        assert.strictEqual(highWatermark, 100n)
        assert.isTrue(logStartOffset > 50n && logStartOffset < 85n, `${logStartOffset}`)
      }
    )
  )
})
