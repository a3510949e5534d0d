import { type Consumer, Kafka, logLevel, type Producer } from "kafkajs"
import { assert, describe, it } from "vitest"
import { withListeners } from "./support/withBroker.ts"

const client = (addresses: ReadonlyArray<string>, clientId = "kafkajs") =>
  new Kafka({ brokers: [...addresses], clientId, logLevel: logLevel.NOTHING, retry: { initialRetryTime: 20 } })

const transactional = (kafka: Kafka, transactionalId: string) =>
  kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1 })

/** Reads until `count` values are there. */
const values = async (consumer: Consumer, topic: string, count: number): Promise<ReadonlyArray<string>> => {
  const found: Array<string> = []
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await new Promise<void>((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
    void consumer.run({
      eachMessage: async ({ message }) => {
        found.push(message.value?.toString() ?? "")
        if (found.length === count) resolve()
      }
    })
  })
  return found
}

const using = async <A extends Producer | Consumer>(it: A, run: (it: A) => Promise<void>): Promise<void> => {
  await it.connect()
  try {
    await run(it)
  } finally {
    await it.disconnect()
  }
}

const reader = (kafka: Kafka, groupId: string, readUncommitted = false) =>
  kafka.consumer({ groupId, readUncommitted, maxWaitTimeInMs: 50 })

describe("kafkajs, as it comes", () => {
  it(
    "produces and consumes, keys and headers included",
    withListeners({ topics: { t: 3 } }, async (broker) => {
      const kafka = client(broker.addresses)
      await using(kafka.producer(), async (producer) => {
        const messages = Array.from(
          { length: 30 },
          (_, i) => ({ key: `k${i}`, value: `v${i}`, headers: { n: `${i}` } })
        )
        await producer.send({ topic: "t", messages, acks: -1 })
      })
      await using(reader(kafka, "g"), async (consumer) => {
        const found = await values(consumer, "t", 30)
        assert.deepStrictEqual([...found].sort(), Array.from({ length: 30 }, (_, i) => `v${i}`).sort())
      })
    })
  )

  it(
    "creates, describes and deletes topics",
    withListeners({}, async (broker) => {
      const admin = client(broker.addresses).admin()
      await admin.connect()
      assert.isTrue(await admin.createTopics({ topics: [{ topic: "made", numPartitions: 4 }] }))
      assert.isFalse(await admin.createTopics({ topics: [{ topic: "made", numPartitions: 4 }] }))
      const { topics } = await admin.fetchTopicMetadata({ topics: ["made"] })
      assert.strictEqual(topics[0]!.partitions.length, 4)
      await admin.createPartitions({ topicPartitions: [{ topic: "made", count: 6 }] })
      assert.strictEqual((await admin.fetchTopicOffsets("made")).length, 6)
      const { resources } = await admin.describeConfigs({
        includeSynonyms: false,
        resources: [{ type: 2, name: "made", configNames: ["retention.bytes"] }]
      })
      assert.strictEqual(resources[0]!.configEntries[0]!.configValue, "-1")
      await admin.deleteTopics({ topics: ["made"] })
      assert.deepStrictEqual(await admin.listTopics(), [])
      assert.strictEqual((await admin.describeCluster()).brokers.length, 1)
      await admin.disconnect()
    })
  )

  it(
    "commits and aborts transactions; a read_committed consumer sees the committed ones",
    withListeners({ topics: { t: 1 } }, async (broker) => {
      const kafka = client(broker.addresses)
      await using(transactional(kafka, "id"), async (producer) => {
        for (let i = 0; i < 6; i++) {
          const transaction = await producer.transaction()
          await transaction.send({ topic: "t", messages: [{ value: `${i}` }] })
          if (i % 2 === 0) await transaction.commit()
          else await transaction.abort()
        }
      })
      await using(reader(kafka, "committed"), async (consumer) => {
        assert.deepStrictEqual(await values(consumer, "t", 3), ["0", "2", "4"])
      })
      await using(reader(kafka, "uncommitted", true), async (consumer) => {
        assert.strictEqual((await values(consumer, "t", 6)).length, 6)
      })
    })
  )

  it(
    "consumes, transforms and produces, with the offsets in the transaction; a second instance goes on where the first stopped",
    withListeners({ topics: { in: 2, out: 1 } }, async (broker, run) => {
      const kafka = client(broker.addresses)
      await using(kafka.producer(), async (producer) => {
        const messages = Array.from({ length: 40 }, (_, i) => ({ key: `${i}`, value: `${i}` }))
        await producer.send({ topic: "in", messages })
      })
      const worker = async (id: string, count: number) => {
        const producer = transactional(kafka, id)
        const consumer = reader(kafka, "workers")
        await producer.connect()
        await consumer.connect()
        await consumer.subscribe({ topics: ["in"], fromBeginning: true })
        let done = 0
        await new Promise<void>((resolve, reject) => {
          consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
          void consumer.run({
            autoCommit: false,
            eachMessage: async ({ message, partition, topic }) => {
              if (done === count) return
              const transaction = await producer.transaction()
              await transaction.send({ topic: "out", messages: [{ value: `copy of ${message.value?.toString()}` }] })
              const offset = `${Number(message.offset) + 1}`
              await transaction.sendOffsets({
                consumerGroupId: "workers",
                topics: [{ topic, partitions: [{ partition, offset }] }]
              })
              await transaction.commit()
              if (++done === count) resolve()
            }
          })
        })
        await consumer.disconnect()
        await producer.disconnect()
      }
      await worker("one", 15)
      await worker("two", 25)
      const copies = (await run(broker.records("out", 0))).map((it) => Buffer.from(it.value!).toString())
      assert.deepStrictEqual([...copies].sort(), Array.from({ length: 40 }, (_, i) => `copy of ${i}`).sort())
      const committed = (await run(broker.committed("workers"))).get("in")
      const ends = await Promise.all([0, 1].map((partition) => run(broker.partition("in", partition))))
      assert.deepStrictEqual(
        [committed?.get(0)?.offset, committed?.get(1)?.offset],
        ends.map(({ highWatermark }) => highWatermark)
      )
    })
  )

  it(
    "is fenced by a second producer of the same transactional id",
    withListeners({ topics: { t: 1 } }, async (broker, run) => {
      const kafka = client(broker.addresses)
      await using(transactional(kafka, "id"), async (first) => {
        const transaction = await first.transaction()
        await transaction.send({ topic: "t", messages: [{ value: "zombie" }] })
        await using(transactional(kafka, "id"), async (second) => {
          const next = await second.transaction()
          await next.send({ topic: "t", messages: [{ value: "owner" }] })
          await next.commit()
        })
        const refused = await transaction.commit().then(() => "committed", (error: Error) => error.message)
        assert.include(refused, "old epoch")
      })
      const seen = (await run(broker.records("t", 0))).map((it) => Buffer.from(it.value!).toString())
      assert.deepStrictEqual(seen, ["owner"])
    })
  )

  it(
    "waits out a Prepare state of some milliseconds between two transactions",
    withListeners({ topics: { t: 1 }, prepareDelay: 20 }, async (broker, run) => {
      const kafka = client(broker.addresses)
      await using(transactional(kafka, "id"), async (producer) => {
        for (let i = 0; i < 3; i++) {
          const transaction = await producer.transaction()
          await transaction.send({ topic: "t", messages: [{ value: `${i}` }] })
          await transaction.commit()
        }
      })
      await run(broker.releasePrepared)
      assert.strictEqual((await run(broker.records("t", 0))).length, 3)
    })
  )

  it(
    "shares partitions among the members of a group, and takes over from one that leaves",
    withListeners({ topics: { t: 4 } }, async (broker) => {
      const kafka = client(broker.addresses)
      const one = reader(kafka, "g")
      const two = reader(kafka, "g")
      const assigned = (consumer: Consumer, expected: number) =>
        new Promise<void>((resolve) => {
          consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
            if ((payload.memberAssignment["t"] ?? []).length === expected) resolve()
          })
        })
      await one.connect()
      await two.connect()
      await one.subscribe({ topics: ["t"] })
      await two.subscribe({ topics: ["t"] })
      const alone = assigned(one, 4)
      await one.run({ eachMessage: async () => {} })
      await alone
      const shared = Promise.all([assigned(one, 2), assigned(two, 2)])
      await two.run({ eachMessage: async () => {} })
      await shared
      const again = assigned(two, 4)
      await one.disconnect()
      await again
      await two.disconnect()
    }),
    20_000
  )

  it(
    "works with three nodes, and finds a coordinator and a leader that moved",
    withListeners({ nodes: 3, topics: { t: 6, one: 1 } }, async (broker, run) => {
      const kafka = client(broker.addresses)
      const messages = Array.from({ length: 60 }, (_, i) => ({ key: `${i}`, value: `${i}` }))
      await using(transactional(kafka, "id"), async (producer) => {
        const transaction = await producer.transaction()
        await transaction.send({ topic: "t", messages })
        await transaction.sendOffsets({
          consumerGroupId: "g",
          topics: [{ topic: "t", partitions: [{ partition: 0, offset: "0" }] }]
        })
        await transaction.commit()
        await run(broker.moveTransactionCoordinator("id"))
        const second = await producer.transaction()
        await second.send({ topic: "one", messages })
        // Of one partition only: where a request to another leader had been answered already, kafkajs would leave the moved one out.
        await run(broker.moveLeader("one", 0))
        await second.send({ topic: "one", messages })
        await second.commit()
      })
      await using(reader(kafka, "readers"), async (consumer) => {
        assert.strictEqual((await values(consumer, "t", 60)).length, 60)
      })
      assert.strictEqual((await run(broker.records("one", 0))).length, 120)
    })
  )
})
