/**
 * The exactly-once flows of @platformatic/kafka: `node platformatic.ts FLOW`; see `../run.ts`.
 *
 * A producer asks for its id as a new one only when it is told -1/-1: it would otherwise name producer 0, and a second
 * one of the same transactional.id would be refused for ever. Its `timeout` for requests is the transaction's as well.
 */
import {
  Consumer,
  type Message,
  MultipleErrors,
  Producer,
  stringDeserializers,
  stringSerializers
} from "@platformatic/kafka"
import * as flow from "./flow.ts"

const base = { clientId: "platformatic", bootstrapBrokers: [...flow.bootstrap], retries: 100, retryDelay: 50 }

const plain = () => new Producer({ ...base, idempotent: true, serializers: stringSerializers })

const transactional = (timeout = 60_000) =>
  new Producer({
    ...base,
    idempotent: true,
    transactionalId: flow.id,
    producerId: -1n,
    producerEpoch: -1,
    timeout,
    serializers: stringSerializers
  })

const messages = (values: ReadonlyArray<string>) =>
  values.map((value) => ({ topic: flow.output, key: `key-${value}`, value }))

/** The name of the first error that came from a broker. */
const nameOf = (error: unknown): string => {
  if (error instanceof MultipleErrors) return error.errors.map(nameOf).find((name) => name !== "") ?? error.code
  if (error instanceof Error && "apiId" in error) return String(error.apiId)
  return error instanceof Error ? error.message : String(error)
}

const outcome = async (action: () => Promise<unknown>): Promise<string> => {
  try {
    await action()
    return "OK"
  } catch (error) {
    return nameOf(error)
  }
}

const consumer = (
  groupId: string,
  options: { readonly groupProtocol?: "consumer"; readonly isolationLevel?: number } = {}
) => {
  const { groupProtocol, ...rest } = options
  return new Consumer({
    ...base,
    groupId,
    autocommit: false,
    maxWaitTime: 100,
    deserializers: stringDeserializers,
    ...rest,
    ...groupProtocol === undefined ? { sessionTimeout: 6_000, heartbeatInterval: 200 } : { groupProtocol }
  })
}

const UNCOMMITTED = 0
const COMMITTED = 1

/** Writes the ends, and reads up to them. */
const read = async (isolationLevel = COMMITTED): Promise<ReadonlyArray<string>> => {
  const gathered = flow.reading()
  const producer = plain()
  const ends = Array.from(
    { length: flow.PARTITIONS },
    (_, partition) => ({ topic: flow.output, partition, value: gathered.end })
  )
  await producer.send({ messages: ends })
  await producer.close()
  const reader = consumer(flow.readerGroup(), { isolationLevel })
  const stream = await reader.consume({ topics: [flow.output], mode: "earliest" })
  for await (const { value } of stream) if (gathered.add(value)) break
  await reader.close(true)
  return gathered.values()
}

const produce = async () => {
  const producer = plain()
  const values = flow.numbered("p", 300)
  await producer.send({ messages: messages(values) })
  const found = await read()
  return { acknowledged: values.length, read: found.length, distinct: new Set(found).size }
}

const transactions = async () => {
  const producer = transactional()
  for (const prefix of ["a", "b", "c"]) {
    const transaction = await producer.beginTransaction()
    await transaction.send({ messages: messages(flow.numbered(prefix, 10)) })
    await (prefix === "b" ? transaction.abort() : transaction.commit())
  }
  const visible = await read()
  return flow.summary(visible, await read(UNCOMMITTED))
}

type Text = Message<string, string, string, string>

/** Every third transaction aborts, and its records are read again: by a new stream, since this one cannot go back. */
const copy = async () => {
  const producer = transactional()
  const source = consumer(flow.group)
  let copied = 0
  let commits = 0
  let aborts = 0
  while (copied < flow.records) {
    const stream = await source.consume({ topics: [flow.input], mode: "committed", fallbackMode: "earliest" })
    let batch: Array<Text> = []
    for await (const message of stream) {
      batch.push(message)
      if (batch.length < Math.min(flow.PER_TRANSACTION, flow.records - copied)) continue
      const transaction = await producer.beginTransaction()
      await transaction.send({
        messages: batch.map(({ key, value }) => ({ topic: flow.output, key, value: value.toUpperCase() }))
      })
      await transaction.addConsumer(source)
      const lasts = new Map(batch.map((it) => [it.partition, it]))
      // One after the other: the library merges calls that are under way at the same time into one.
      for (const last of lasts.values()) await transaction.addOffset(last)
      if ((commits + aborts) % 3 === 2) {
        await transaction.abort()
        aborts++
        break
      }
      await transaction.commit()
      commits++
      copied += batch.length
      batch = []
      if (copied >= flow.records) break
    }
    await stream.close()
  }
  await source.close(true)
  return { copied, aborted: aborts > 0, committed: commits > 0 }
}

const fence = async () => {
  const old = await transactional().beginTransaction()
  await old.send({ messages: messages(["old"]) })
  const fresh = await transactional().beginTransaction()
  const zombie = await outcome(() => old.commit())
  await fresh.send({ messages: messages(["new"]) })
  await fresh.commit()
  return { zombie, visible: await read() }
}

const timeout = async () => {
  const slow = await transactional(1_000).beginTransaction()
  await slow.send({ messages: messages(["slow"]) })
  const watcher = consumer(flow.readerGroup())
  // The record and the marker that aborts it: a committed reader gets past both once the coordinator has decided.
  await flow.until("the marker", async () => {
    const offsets = await watcher.listOffsets({ topics: [flow.output], isolationLevel: COMMITTED })
    return (offsets.get(flow.output) ?? []).reduce((sum, offset) => sum + offset, 0n) === 2n
  })
  const late = await outcome(() => slow.commit())
  const again = await transactional().beginTransaction()
  await again.send({ messages: messages(["again"]) })
  await again.commit()
  return { late, visible: await read() }
}

const crash = async () => {
  const transaction = await transactional().beginTransaction()
  await transaction.send({ messages: messages(["lost"]) })
  return { sent: 1 }
}

const restart = async () => {
  const transaction = await transactional().beginTransaction()
  await transaction.send({ messages: messages(["kept"]) })
  await transaction.commit()
  return { visible: await read() }
}

/** The first message of a stream that is left open. */
const firstOf = async (source: ReturnType<typeof consumer>): Promise<Text> => {
  const stream = await source.consume({ topics: [flow.input], mode: "committed", fallbackMode: "earliest" })
  return new Promise((resolve, reject) => {
    stream.once("error", reject)
    stream.once("data", (message) => {
      stream.pause()
      resolve(message)
    })
  })
}

/** Offsets go with the generation in which their record was fetched. */
const stale = async () => {
  const first = consumer(flow.group)
  const message = await firstOf(first)
  const second = consumer(flow.group)
  const rejoined = new Promise<void>((resolve) => first.on("consumer:group:join", () => resolve()))
  const other = await firstOf(second)
  await rejoined
  const producer = transactional()
  const attempt = async (source: typeof first, record: Text) => {
    const transaction = await producer.beginTransaction()
    await transaction.send({ messages: messages(["output"]) })
    await transaction.addConsumer(source)
    const sent = await outcome(() => transaction.addOffset(record))
    await (sent === "OK" ? transaction.commit() : transaction.abort())
    return sent
  }
  const old = await attempt(first, message)
  const now = await attempt(second, other)
  return { old, now, visible: await read() }
}

/** Its KIP-848 members name generation 0, which no transaction takes: they can only commit outside of one. */
const member848 = async () => {
  const source = consumer(flow.group, { groupProtocol: "consumer" })
  const message = await firstOf(source)
  const transaction = await transactional().beginTransaction()
  await transaction.send({ messages: messages(["output"]) })
  await transaction.addConsumer(source)
  const inTransaction = await outcome(() => transaction.addOffset(message))
  await transaction.abort()
  const outside = await outcome(async () => message.commit())
  return { inTransaction, outside, visible: await read() }
}

await flow.main({ produce, transactions, copy, fence, timeout, crash, restart, stale, member848 })
