/** How fast the wire format is, alone on one core: `npx node bench/protocol.ts`. Best of five rounds; records of 100 bytes. */
import { Apis, BatchBuilder, Frame, RecordBatch } from "@exactly-once/protocol"

const RECORDS = 1000
const value = new Uint8Array(100).fill(97)
const key = new Uint8Array(8).fill(98)
let sink = 0

const measure = (name: string, unit: string, perCall: number, run: () => void): void => {
  let best = 0
  for (let round = 0; round < 5; round++) {
    const start = performance.now()
    let calls = 0
    while (performance.now() - start < 400) {
      for (let i = 0; i < 8; i++) run()
      calls += 8
    }
    best = Math.max(best, calls * perCall / (performance.now() - start) * 1000)
  }
  console.log(`${name.padEnd(60)} ${Math.round(best).toLocaleString("en").padStart(14)} ${unit}/s`)
}

const builder = new BatchBuilder(128 * 1024)
const build = (): Uint8Array => {
  builder.reset()
  for (let i = 0; i < RECORDS; i++) builder.append({ timestamp: 1_700_000_000_000 + i, key, value })
  return builder.finish({ producerId: 1n, producerEpoch: 0, baseSequence: 0, isTransactional: true })
}
const batch = build().slice()
const fetched = Frame.encodeResponse(Apis.Fetch, {
  errorCode: 0,
  sessionId: 0,
  responses: [{
    topicId: "AAAAAAAAAAAAAAAAAAAAAQ",
    partitions: Array.from({ length: 10 }, (_, partitionIndex) => ({
      partitionIndex,
      errorCode: 0,
      highWatermark: 1000n,
      lastStableOffset: 1000n,
      abortedTransactions: [],
      records: batch
    }))
  }]
}, { version: 17, correlationId: 1 }).subarray(4)

console.log(`Node ${process.version}`)
measure(
  "build a transactional batch of 1,000 records, CRC included",
  "records",
  RECORDS,
  () => (sink += build().length)
)
measure("read it: keys and values of every record as views", "records", RECORDS, () => {
  for (const record of RecordBatch.split(batch).batches[0]!.records()) sink += record.key!.length + record.value!.length
})
measure("walk it with a cursor, reading positions alone", "records", RECORDS, () => {
  const cursor = RecordBatch.split(batch).batches[0]!.cursor()
  for (let record = cursor.next(); record !== undefined; record = cursor.next()) sink += record.valueLength
})
measure("check its CRC", "records", RECORDS, () => (sink += RecordBatch.split(batch).batches[0]!.isValid() ? 1 : 0))
measure("decode a Fetch 17 response of 10 such partitions", "frames", 1, () => {
  sink += Frame.decodeResponse(Apis.Fetch, 17, fetched).body.responses.length
})
measure("encode a Produce 12 request with that batch", "frames", 1, () => {
  sink += Frame.encodeRequest(Apis.Produce, {
    transactionalId: "t",
    acks: -1,
    timeoutMs: 1000,
    topicData: [{ name: "orders", partitionData: [{ index: 0, records: batch }] }]
  }, { version: 12, correlationId: 1, clientId: "bench", sizeHint: batch.length + 200 }).length
})
const metadata = Frame.encodeResponse(Apis.Metadata, {
  brokers: [{ nodeId: 1, host: "localhost", port: 9092 }],
  controllerId: 1,
  topics: Array.from({ length: 20 }, (_, topic) => ({
    errorCode: 0,
    name: `topic-number-${topic}`,
    partitions: Array.from({ length: 12 }, (_, partitionIndex) => ({
      errorCode: 0,
      partitionIndex,
      leaderId: 1,
      replicaNodes: [1],
      isrNodes: [1],
      offlineReplicas: []
    }))
  }))
}, { version: 12, correlationId: 1 }).subarray(4)
measure("decode a Metadata 12 response of 20 topics of 12 partitions", "frames", 1, () => {
  sink += Frame.decodeResponse(Apis.Metadata, 12, metadata).body.topics.length
})
if (sink === 0) throw new Error("nothing was measured")
