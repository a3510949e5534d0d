/** The exactly-once flows of kafkajs, as its documentation has them: `node kafkajs.ts FLOW`; see `../run.ts`. */
import { Kafka, logLevel, type Producer } from "kafkajs"
import * as flow from "./flow.ts"

const kafka = new Kafka({ brokers: [...flow.bootstrap], clientId: "kafkajs", logLevel: logLevel.NOTHING })

const transactional = async (transactionTimeout = 60_000): Promise<Producer> => {
  const producer = kafka.producer({
    transactionalId: flow.id,
    idempotent: true,
    maxInFlightRequests: 1,
    transactionTimeout,
    retry: { initialRetryTime: 50 }
  })
  await producer.connect()
  return producer
}

const messages = (values: ReadonlyArray<string>) => values.map((value) => ({ key: `key-${value}`, value }))

const outcome = async (action: () => Promise<unknown>): Promise<string> => {
  try {
    await action()
    return "OK"
  } catch (error) {
    if (!(error instanceof Error)) return String(error)
    return "type" in error ? String(error.type) : error.name
  }
}

/** Writes the ends, and reads up to them. */
const read = async (readUncommitted = false): Promise<ReadonlyArray<string>> => {
  const gathered = flow.reading()
  const producer = kafka.producer({ idempotent: true })
  await producer.connect()
  const ends = Array.from({ length: flow.PARTITIONS }, (_, partition) => ({ partition, value: gathered.end }))
  await producer.send({ topic: flow.output, messages: ends })
  await producer.disconnect()
  const consumer = kafka.consumer({ groupId: flow.readerGroup(), readUncommitted, maxWaitTimeInMs: 200 })
  await consumer.connect()
  await consumer.subscribe({ topics: [flow.output], fromBeginning: true })
  await new Promise<void>((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
    void consumer.run({
      autoCommit: false,
      eachMessage: async ({ message }) => {
        if (gathered.add(message.value?.toString() ?? "")) resolve()
      }
    })
  })
  await consumer.disconnect()
  return gathered.values()
}

const produce = async () => {
  const producer = kafka.producer({ idempotent: true })
  await producer.connect()
  const values = flow.numbered("p", 300)
  await producer.send({ topic: flow.output, messages: messages(values) })
  const found = await read()
  return { acknowledged: values.length, read: found.length, distinct: new Set(found).size }
}

const transactions = async () => {
  const producer = await transactional()
  for (const prefix of ["a", "b", "c"]) {
    const transaction = await producer.transaction()
    await transaction.send({ topic: flow.output, messages: messages(flow.numbered(prefix, 10)) })
    await (prefix === "b" ? transaction.abort() : transaction.commit())
  }
  const visible = await read()
  return flow.summary(visible, await read(true))
}

/** Every third transaction aborts, and its records are read again. */
const copy = async () => {
  const producer = await transactional()
  const consumer = kafka.consumer({
    groupId: flow.group,
    sessionTimeout: 6_000,
    heartbeatInterval: 500,
    maxWaitTimeInMs: 200
  })
  let copied = 0
  let commits = 0
  let aborts = 0
  await consumer.connect()
  await consumer.subscribe({ topics: [flow.input], fromBeginning: true })
  await new Promise<void>((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
    void consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: async ({ batch: { messages: batch, partition, topic }, resolveOffset }) => {
        for (let at = 0; at < batch.length; at += flow.PER_TRANSACTION) {
          const piece = batch.slice(at, at + flow.PER_TRANSACTION)
          const last = piece.at(-1)?.offset ?? "0"
          const transaction = await producer.transaction()
          await transaction.send({
            topic: flow.output,
            messages: piece.map(({ key, value }) => ({ key, value: (value?.toString() ?? "").toUpperCase() }))
          })
          await transaction.sendOffsets({
            consumerGroupId: flow.group,
            topics: [{ topic, partitions: [{ partition, offset: String(BigInt(last) + 1n) }] }]
          })
          if ((commits + aborts) % 3 === 2) {
            await transaction.abort()
            aborts++
            consumer.seek({ topic, partition, offset: piece[0]?.offset ?? "0" })
            return
          }
          await transaction.commit()
          commits++
          copied += piece.length
          resolveOffset(last)
        }
        if (copied >= flow.records) resolve()
      }
    })
  })
  await consumer.disconnect()
  return { copied, aborted: aborts > 0, committed: commits > 0 }
}

const fence = async () => {
  const old = await (await transactional()).transaction()
  await old.send({ topic: flow.output, messages: messages(["old"]) })
  const fresh = await (await transactional()).transaction()
  const zombie = await outcome(() => old.commit())
  await fresh.send({ topic: flow.output, messages: messages(["new"]) })
  await fresh.commit()
  return { zombie, visible: await read() }
}

const timeout = async () => {
  const slow = await (await transactional(1_000)).transaction()
  await slow.send({ topic: flow.output, messages: messages(["slow"]) })
  const admin = kafka.admin()
  await admin.connect()
  // The record and the marker that aborts it.
  await flow.until("the marker", async () => {
    const offsets = await admin.fetchTopicOffsets(flow.output)
    return offsets.reduce((sum, { high }) => sum + Number(high), 0) === 2
  })
  const late = await outcome(() => slow.commit())
  const again = await (await transactional()).transaction()
  await again.send({ topic: flow.output, messages: messages(["again"]) })
  await again.commit()
  return { late, visible: await read() }
}

const crash = async () => {
  const transaction = await (await transactional()).transaction()
  await transaction.send({ topic: flow.output, messages: messages(["lost"]) })
  return { sent: 1 }
}

const restart = async () => {
  const transaction = await (await transactional()).transaction()
  await transaction.send({ topic: flow.output, messages: messages(["kept"]) })
  await transaction.commit()
  return { visible: await read() }
}

/** kafkajs does not say which member commits, so that the offsets of one that has lost its partitions are taken. */
const stale = async () => {
  const joined: Array<number> = []
  const member = async () => {
    const consumer = kafka.consumer({
      groupId: flow.group,
      sessionTimeout: 6_000,
      heartbeatInterval: 200,
      maxWaitTimeInMs: 200
    })
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      joined.push((payload.memberAssignment[flow.input] ?? []).length)
    })
    await consumer.connect()
    await consumer.subscribe({ topics: [flow.input], fromBeginning: true })
    await consumer.run({ autoCommit: false, eachBatch: async () => {} })
    return consumer
  }
  const first = await member()
  await flow.until("the first assignment", () => joined.includes(3))
  const transaction = await (await transactional()).transaction()
  await transaction.send({ topic: flow.output, messages: messages(["output"]) })
  await first.disconnect()
  const second = await member()
  await flow.until("the second assignment", () => joined.filter((count) => count === 3).length === 2)
  const old = await outcome(() =>
    transaction.sendOffsets({
      consumerGroupId: flow.group,
      topics: [{ topic: flow.input, partitions: [{ partition: 0, offset: "7" }] }]
    })
  )
  const ended = await outcome(() => transaction.commit())
  await second.disconnect()
  const admin = kafka.admin()
  await admin.connect()
  const committed = await admin.fetchOffsets({ groupId: flow.group, topics: [flow.input] })
  const offsets = committed[0]?.partitions.map(({ offset }) => Number(offset)).sort((a, b) => a - b)
  return { old, ended, committed: offsets, visible: await read() }
}

await flow.main({ produce, transactions, copy, fence, timeout, crash, restart, stale })
