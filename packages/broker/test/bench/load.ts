/**
 * Load for a broker in another process: `node load.ts <host:port>`. Prints records per second in and out, and one-record transactions per
 * second, each from raw clients that encode their batches once.
 */
import { Apis, BatchBuilder } from "@exactly-once/protocol"
import { Probe } from "../support/Probe.ts"
import { RawClient } from "../support/RawClient.ts"

const address = process.argv[2]!
const RECORDS = 1_000_000
const PER_BATCH = 1000
const SIZE = 100

const batch = (): Uint8Array => {
  const builder = new BatchBuilder()
  const value = Buffer.alloc(SIZE, "x")
  for (let i = 0; i < PER_BATCH; i++) builder.append({ key: null, value, timestamp: 1_000 })
  return builder.finish({})
}

const produce = async (): Promise<number> => {
  const probe = await Probe.open(address)
  await probe.createTopic("load", 4)
  const records = batch()
  const started = performance.now()
  let left = RECORDS / PER_BATCH
  const lane = async (index: number) => {
    const client = await RawClient.open(address)
    while (left-- > 0) {
      await client.call(Apis.Produce, 9, {
        transactionalId: null,
        acks: -1,
        timeoutMs: 1000,
        topicData: [{ name: "load", partitionData: [{ index, records }] }]
      })
    }
    await client.close()
  }
  await Promise.all([0, 1, 2, 3].map(lane))
  await probe.close()
  return RECORDS / ((performance.now() - started) / 1000)
}

const consume = async (): Promise<number> => {
  const started = performance.now()
  let total = 0
  await Promise.all([0, 1, 2, 3].map(async (partition) => {
    const client = await RawClient.open(address)
    let offset = 0n
    for (;;) {
      const payload = await client.call(Apis.Fetch, 11, {
        replicaId: -1,
        maxWaitMs: 0,
        minBytes: 1,
        maxBytes: 50_000_000,
        isolationLevel: 1,
        topics: [{ topic: "load", partitions: [{ partition, fetchOffset: offset, partitionMaxBytes: 1_048_576 }] }]
      })
      const it = payload.responses[0]!.partitions[0]!
      const bytes = it.records ?? new Uint8Array(0)
      if (bytes.length === 0) break
      let at = 0
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
      while (at < bytes.length) {
        const count = view.getInt32(at + 57)
        total += count
        offset += BigInt(count)
        at += 12 + view.getInt32(at + 8)
      }
    }
    await client.close()
  }))
  return total / ((performance.now() - started) / 1000)
}

/** Transactions of one record, v2: Produce and EndTxn, over so many connections at once. */
const transactions = async (lanes: number): Promise<number> => {
  const probe = await Probe.open(address)
  const topic = `transactions-${lanes}`
  await probe.createTopic(topic, lanes)
  const each = Math.ceil(4_000 / lanes)
  const started = performance.now()
  await Promise.all(Array.from({ length: lanes }, async (_, partition) => {
    const lane = await Probe.open(address)
    const id = `load-${lanes}-${partition}`
    await lane.coordinators(id)
    let pid = await lane.init(id)
    for (let i = 0; i < each; i++) {
      const sent = await lane.send(12, id, pid, { topic, partition })
      if (sent.error !== 0) throw new Error(`Produce ${sent.error}`)
      pid = await lane.end(id, pid, true, 5)
      if (pid.error !== 0) throw new Error(`EndTxn ${pid.error}`)
    }
    await lane.close()
  }))
  await probe.close()
  return (each * lanes) / ((performance.now() - started) / 1000)
}

console.log(`produced ${Math.round(await produce())} records/s of ${SIZE} bytes`)
console.log(`consumed ${Math.round(await consume())} records/s`)
console.log(`${Math.round(await transactions(1))} transactions/s over one connection`)
console.log(`${Math.round(await transactions(8))} transactions/s over eight`)
