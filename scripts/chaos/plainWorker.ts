/**
 * The transaction loop that kafkajs documents, unchanged, with one transactional id per worker: what people write today.
 * Same environment as `examples/worker.ts`.
 */
import { Kafka, logLevel } from "kafkajs"

const setting = (name: string): string => {
  const value = process.env[name]
  if (value === undefined || value === "") throw new Error(`${name} is not set`)
  return value
}

const groupId = setting("GROUP_ID")
const kafka = new Kafka({ clientId: "plain", brokers: setting("KAFKA_BOOTSTRAP").split(","), logLevel: logLevel.ERROR })
const producer = kafka.producer({
  transactionalId: `${setting("TXN_ID_PREFIX")}-${setting("WORKER_INDEX")}`,
  transactionTimeout: Number(setting("TXN_TIMEOUT_MS")),
  maxInFlightRequests: 1,
  idempotent: true
})
const consumer = kafka.consumer({
  groupId,
  readUncommitted: false,
  sessionTimeout: Number(setting("SESSION_TIMEOUT_MS")),
  heartbeatInterval: Math.floor(Number(setting("SESSION_TIMEOUT_MS")) / 3)
})

await producer.connect()
await consumer.connect()
await consumer.subscribe({ topic: setting("IN_TOPIC"), fromBeginning: true })
await consumer.run({
  autoCommit: false,
  eachBatch: async ({ batch }) => {
    const transaction = await producer.transaction()
    try {
      await transaction.send({
        topic: setting("OUT_TOPIC"),
        messages: batch.messages.map(({ headers, key, value }) => ({ key, value, headers: headers ?? {} }))
      })
      await transaction.sendOffsets({
        consumerGroupId: groupId,
        topics: [{
          topic: batch.topic,
          partitions: [{ partition: batch.partition, offset: String(BigInt(batch.lastOffset()) + 1n) }]
        }]
      })
      await transaction.commit()
    } catch (error) {
      await transaction.abort()
      throw error
    }
  }
})
consumer.on(consumer.events.CRASH, ({ payload }) => {
  if (!payload.restart) process.exit(1)
})
process.on("SIGTERM", () => {
  void consumer.disconnect().then(() => producer.disconnect()).then(() => process.exit(0))
})
