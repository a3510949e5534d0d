/**
 * A worker of the lab on kafkajs alone, as many are written: `LAB_MODE` says whether outputs and offsets share a
 * transaction, or offsets are committed before or after the outputs.
 */
import { Kafka, logLevel, type Message } from "kafkajs"

const setting = (name: string): string => {
  const value = process.env[name]
  if (value === undefined || value === "") throw new Error(`${name} is not set`)
  return value
}

const run = setting("FLIGHTS_RUN")
const name = setting("LAB_WORKER")
const mode = setting("LAB_MODE")
const input = `flights-${run}`
const groupId = `flights-${run}-classifier`
let failing = Number(process.env["LAB_FAIL_ID"] ?? -1)

const kafka = new Kafka({
  clientId: name,
  brokers: setting("KAFKA_BOOTSTRAP").split(","),
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 50, retries: 20 }
})
const producer = kafka.producer({
  idempotent: true,
  maxInFlightRequests: 1,
  ...mode === "transaction" ? { transactionalId: `${groupId}-${name}`, transactionTimeout: 30_000 } : {}
})
const consumer = kafka.consumer({
  groupId,
  sessionTimeout: 6_000,
  heartbeatInterval: 500,
  maxWaitTimeInMs: 100,
  maxBytesPerPartition: 8_192
})

interface Flight {
  readonly id: number
  readonly delay: number
  readonly origin: string
  readonly destination: string
}

const verdict = ({ delay, destination, id, origin }: Flight): Message => ({
  key: origin,
  value: JSON.stringify({ id, route: `${origin}-${destination}`, delay })
})

await Promise.all([producer.connect(), consumer.connect()])
await consumer.subscribe({ topic: input, fromBeginning: true })
await consumer.run({
  autoCommit: false,
  eachBatchAutoResolve: false,
  eachBatch: async ({ batch, heartbeat, resolveOffset }) => {
    // The messages are the flights that the lab wrote.
    const flights = batch.messages.map(({ value }) => JSON.parse(String(value)) as Flight)
    const offset = String(BigInt(batch.lastOffset()) + 1n)
    const outputs = [
      { topic: `${input}-late`, messages: flights.filter(({ delay }) => delay > 15).map(verdict) },
      { topic: `${input}-punctual`, messages: flights.filter(({ delay }) => delay <= 15).map(verdict) }
    ].filter(({ messages }) => messages.length > 0)
    const offsets = { topic: batch.topic, partition: batch.partition, offset }
    const fail = () => {
      if (!flights.some(({ id }) => id === failing)) return
      failing = -1
      throw new Error("the body fails once")
    }
    if (mode === "transaction") {
      const transaction = await producer.transaction()
      try {
        await transaction.sendBatch({ topicMessages: outputs })
        fail()
        await transaction.sendOffsets({
          consumerGroupId: groupId,
          topics: [{ topic: batch.topic, partitions: [{ partition: batch.partition, offset }] }]
        })
        await transaction.commit()
      } catch (error) {
        if (transaction.isActive()) await transaction.abort()
        throw error
      }
    } else if (mode === "before") {
      await consumer.commitOffsets([offsets])
      await producer.sendBatch({ topicMessages: outputs })
      fail()
    } else {
      await producer.sendBatch({ topicMessages: outputs })
      fail()
      await consumer.commitOffsets([offsets])
    }
    resolveOffset(batch.lastOffset())
    await heartbeat()
  }
})
consumer.on(consumer.events.CRASH, ({ payload }) => {
  if (!payload.restart) process.exit(1)
})
process.on("SIGTERM", () => {
  void Promise.race([
    consumer.disconnect().then(() => producer.disconnect()),
    new Promise((resolve) => setTimeout(resolve, 3_000))
  ]).then(() => process.exit(0))
})
