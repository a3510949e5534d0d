/**
 * The transactional loop of kafkajs's own documentation: a fetched batch, one transaction, its offsets, commit. `PIECE`
 * records per send() and `RETRY_MS` of pause after CONCURRENT_TRANSACTIONS are what tuning it can change; without them
 * everything is at its default.
 */
import kafkajs, { type IHeaders, type Message } from "kafkajs"
import { once } from "node:events"
import { answer, answerCopy, answerLatencies, producedKey, producedValue, settings, transform } from "./contract.ts"

const { Kafka, logLevel } = kafkajs
const { brokers, durationMs, group, input, mode, output, records } = settings
const piece = Number(process.env["PIECE"] ?? Number.MAX_SAFE_INTEGER)
const pause = process.env["RETRY_MS"]

const kafka = new Kafka({
  clientId: "bench-kafkajs",
  brokers,
  logLevel: logLevel.ERROR,
  ...pause === undefined ? {} : { retry: { initialRetryTime: Number(pause), retries: 50, factor: 0, multiplier: 1 } }
})

const produce = async (): Promise<void> => {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 5 })
  await producer.connect()
  const started = performance.now()
  let next = 0
  const sender = async () => {
    while (next < records) {
      const messages: Array<Message> = []
      for (; messages.length < 2000 && next < records; next++) {
        messages.push({ key: producedKey(next), value: producedValue(next) })
      }
      await producer.send({ topic: output, acks: -1, messages })
    }
  }
  await Promise.all([sender(), sender(), sender()])
  answer({ records, elapsed_ms: Math.round(performance.now() - started) })
  await producer.disconnect()
}

const consume = async (): Promise<void> => {
  const producer = kafka.producer({ idempotent: true, transactionalId: `bench-${group}`, maxInFlightRequests: 1 })
  const consumer = kafka.consumer({ groupId: group, readUncommitted: false, maxWaitTimeInMs: 500 })
  await Promise.all([producer.connect(), consumer.connect()])
  await consumer.subscribe({ topics: [input], fromBeginning: true })

  const finished = new EventTarget()
  const end = once(finished, "end")
  const finish = () => {
    finished.dispatchEvent(new Event("end"))
  }
  let first = 0
  let copied = 0
  let txns = 0
  const latencies: Array<number> = []

  const transact = async (topic: string, partition: number, lastOffset: string, messages: Array<Message>) => {
    const transaction = await producer.transaction()
    for (let at = 0; at < messages.length; at += piece) {
      await transaction.send({ topic: output, acks: -1, messages: messages.slice(at, at + piece) })
    }
    const offset = (BigInt(lastOffset) + 1n).toString()
    await transaction.sendOffsets({ consumerGroupId: group, topics: [{ topic, partitions: [{ partition, offset }] }] })
    await transaction.commit()
    txns++
  }
  const toMessage = (
    record: { readonly key: Buffer | null; readonly value: Buffer | null; readonly headers?: IHeaders }
  ) => ({
    key: record.key,
    value: record.value === null ? null : transform(record.value)
  })

  consumer.on("consumer.crash", ({ payload }) => {
    console.error(payload.error)
    process.exit(1)
  })
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, heartbeat, resolveOffset }) => {
      first ||= Date.now()
      if (mode === "txn") {
        for (const message of batch.messages) {
          if (Date.now() - first >= durationMs) return finish()
          const began = performance.now()
          await transact(batch.topic, batch.partition, message.offset, [toMessage(message)])
          latencies.push(performance.now() - began)
          resolveOffset(message.offset)
        }
        return
      }
      await transact(batch.topic, batch.partition, batch.lastOffset(), batch.messages.map(toMessage))
      resolveOffset(batch.lastOffset())
      copied += batch.messages.length
      await heartbeat()
      if (copied >= records) finish()
    }
  })
  await end
  if (mode === "txn") answerLatencies(latencies, Date.now() - first)
  else answerCopy(first, copied, txns)
  // Its disconnect can wait for a long poll; what it would still do is of no interest here.
  process.exit(0)
}

await (mode === "produce" ? produce() : consume())
