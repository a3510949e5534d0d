/**
 * This driver beside the plain kafkajs client: transactions of 1,000 records and reading them back, wall time and CPU.
 * `KAFKA_BOOTSTRAP=127.0.0.1:9092 node packages/kafkajs/test/compare.main.ts [rounds]`
 */
import { Driver, Offset } from "@exactly-once/core"
import { KafkaJs } from "@exactly-once/kafkajs"
import { Effect } from "effect"
import { Kafka, logLevel } from "kafkajs"
import { randomUUID } from "node:crypto"

const bootstrap = (process.env["KAFKA_BOOTSTRAP"] ?? "127.0.0.1:9092").split(",")
const rounds = Number(process.argv[2] ?? 7)
const transactions = 20
const perTransaction = 1_000
const total = transactions * perTransaction
const id = randomUUID().slice(0, 8)
const kafka = new Kafka({ brokers: bootstrap, logLevel: logLevel.NOTHING })

const records = Array.from({ length: perTransaction }, (_, i) => ({
  key: Buffer.from(`key-${i % 200}`),
  value: Buffer.alloc(200, i % 256),
  headers: [["trace", Buffer.from(String(i))]] as const
}))
const messages = records.map(({ headers, ...record }) => ({ ...record, headers: Object.fromEntries(headers) }))

interface Cost {
  readonly wall: number
  readonly cpu: number
}

const measured = async (run: () => Promise<unknown>): Promise<Cost> => {
  const cpu = process.cpuUsage()
  const start = performance.now()
  await run()
  const used = process.cpuUsage(cpu)
  return { wall: performance.now() - start, cpu: (used.user + used.system) / 1_000 }
}

const median = (numbers: ReadonlyArray<number>): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0

const plainWrite = (topic: string, pieces: number) => async () => {
  const producer = kafka.producer({
    transactionalId: `plain-${pieces}-${topic}`,
    maxInFlightRequests: 1,
    idempotent: true
  })
  await producer.connect()
  for (let n = 0; n < transactions; n++) {
    const transaction = await producer.transaction()
    for (let at = 0; at < perTransaction; at += pieces) {
      await transaction.send({ topic, messages: messages.slice(at, at + pieces) })
    }
    await transaction.sendOffsets({
      consumerGroupId: `group-${topic}`,
      topics: [{ topic, partitions: [{ partition: 0, offset: String(n) }] }]
    })
    await transaction.commit()
  }
  await producer.disconnect()
}

const plainRead = (topic: string) => async () => {
  const consumer = kafka.consumer({ groupId: `plain-read-${topic}`, maxWaitTimeInMs: 500 })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  let count = 0
  await new Promise<void>((resolve) => {
    void consumer.run({
      eachBatch: ({ batch }) => {
        count += batch.messages.length
        if (count >= total) resolve()
        return Promise.resolve()
      }
    })
  })
  await consumer.disconnect()
}

const ourWrite = (driver: Driver.Driver["Service"], topic: string) =>
  Effect.gen(function*() {
    const producer = yield* driver.transactionalProducer({
      transactionalId: `ours-${topic}`,
      transactionTimeoutMs: 60_000,
      compression: "none"
    })
    yield* producer.init("Takeover")
    for (let n = 0; n < transactions; n++) {
      const transaction = yield* producer.begin
      yield* transaction.send(topic, records)
      yield* transaction.sendOffsets({
        groupId: `group-${topic}`,
        delivery: null,
        offsets: [{ topic, partition: 0, offset: Offset.offsetUnsafe(BigInt(n)), metadata: "token" }]
      })
      yield* transaction.commit
    }
  })

const ourRead = (driver: Driver.Driver["Service"], topic: string) =>
  Effect.gen(function*() {
    const consumer = yield* driver.consumer({
      groupId: `ours-read-${topic}`,
      topics: [topic],
      sessionTimeoutMs: 30_000,
      rebalanceTimeoutMs: 60_000,
      heartbeatIntervalMs: 3_000,
      maxBytesPerPartition: 1_048_576,
      maxWaitMs: 500,
      unreleasedPerPartition: 1,
      member: undefined,
      onAssigned: (partitions) => Effect.succeed(partitions.map((tp) => ({ ...tp, offset: Offset.offsetUnsafe(0n) }))),
      onRevoking: () => Effect.void,
      onLost: () => Effect.void
    })
    for (let count = 0; count < total;) {
      for (const batch of yield* consumer.poll) {
        count += batch.records.length
        yield* consumer.release(batch)
      }
    }
  })

const admin = kafka.admin()
await admin.connect()
const topicOf = async (name: string) => {
  const topic = `${name}-${id}`
  await admin.createTopics({ topics: [{ topic, numPartitions: 4 }] })
  return topic
}

const costs = new Map<string, Array<Cost>>()
const note = (name: string, cost: Cost) => costs.set(name, [...costs.get(name) ?? [], cost])

await Effect.runPromise(
  Effect.scoped(Effect.gen(function*() {
    const driver = yield* Driver.Driver
    const run = Effect.runPromise
    for (let round = 0; round < rounds; round++) {
      yield* Effect.promise(async () => {
        const plain = await topicOf(`plain${round}`)
        const pieces = await topicOf(`pieces${round}`)
        const ours = await topicOf(`ours${round}`)
        note("write, plain", await measured(plainWrite(plain, perTransaction)))
        note("write, plain in pieces of 250", await measured(plainWrite(pieces, 250)))
        note("write, driver", await measured(() => run(Effect.scoped(ourWrite(driver, ours)))))
        note("read, plain", await measured(plainRead(plain)))
        note("read, driver", await measured(() => run(Effect.scoped(ourRead(driver, ours)))))
      })
    }
  })).pipe(Effect.provide(KafkaJs.layer({ bootstrap })))
)

for (const [name, list] of costs) {
  const wall = median(list.map((cost) => cost.wall))
  const cpu = median(list.map((cost) => cost.cpu))
  console.log(
    `${name.padEnd(32)} ${Math.round(total / wall * 1_000).toLocaleString().padStart(9)} records/s   ` +
      `${(cpu / total * 1_000).toFixed(1).padStart(6)} CPU s per million`
  )
}
await admin.disconnect()
