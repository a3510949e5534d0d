/** Every version of every API, asked of a real Kafka: its answers must be read to their last byte and written back the same. */
import { assert, it } from "@effect/vitest"
import {
  type AnyApi,
  Apis,
  BatchBuilder,
  Frame,
  Reader,
  RecordBatch,
  ResponseHeader,
  responseHeaderVersion,
  Uuid,
  Writer
} from "@exactly-once/protocol"
import * as net from "node:net"
import { describeLive, liveBootstrap } from "../../../scripts/vitest/live.ts"
import { hex } from "./frames.ts"
import { messages, plainStruct, type Struct } from "./schemaInterpreter.ts"

const batch = (): Uint8Array => {
  const builder = new BatchBuilder()
  builder.append({ timestamp: Date.now(), key: new Uint8Array([1]), value: new Uint8Array([2]) })
  return builder.finish()
}

/** What a request must say to be answered at all, and soon; everything else is a plain value of its type. */
const overrides: Struct = {
  acks: 1,
  records: batch(),
  transactionalId: null,
  timeoutMs: 5000,
  maxWaitMs: 10,
  maxTimestamp: -1n,
  sessionTimeoutMs: 10_000,
  rebalanceTimeoutMs: 1000,
  transactionTimeoutMs: 5000,
  replicaId: -1,
  producerId: -1n,
  producerEpoch: -1,
  numPartitions: 1,
  replicationFactor: 1,
  assignments: [],
  count: 2,
  protocolType: "consumer",
  resourceType: 2,
  mechanism: "PLAIN",
  clusterId: null,
  instanceId: null,
  groupInstanceId: null,
  statesFilter: [],
  typesFilter: [],
  stateFilters: [],
  topicId: Uuid.fromHex("0000000000000000000000000000abcd"),
  cursor: null,
  subscribedTopicRegex: null,
  serverAssignor: null,
  rackId: null
}

const fetchSchema = messages.find((message) => message.name === "FetchRequest")!

class Connection {
  private readonly socket: net.Socket
  private readonly splitter = new Frame.FrameSplitter()
  private waiting: ((payload: Uint8Array | undefined) => void) | undefined

  constructor(host: string, port: number) {
    this.socket = net.connect(port, host)
    this.socket.on("data", (chunk) => {
      for (const payload of this.splitter.push(chunk)) this.waiting?.(payload)
    })
    this.socket.on("error", () => this.socket.destroy())
    this.socket.on("close", () => this.waiting?.(undefined))
  }

  /** The answer to one request; `undefined` when Kafka hangs up instead. */
  ask(frame: Uint8Array): Promise<Uint8Array | undefined> {
    return new Promise((resolve) => {
      this.waiting = resolve
      this.socket.write(frame)
    })
  }

  close(): void {
    this.waiting = undefined
    this.socket.destroy()
  }
}

const requestFrame = (api: AnyApi, version: number, body: Struct): Uint8Array => {
  // The registry's API is looked up by key here, so its input type is not known; the schema made the value.
  const encode = api.request.encode as (writer: Writer, value: unknown, version: number) => void
  const options = { version, correlationId: version + 1, clientId: "protocol-test" }
  return Frame.encodeRequest({ ...api, request: { decode: api.request.decode, encode } }, body, options)
}

const rewritten = (api: AnyApi, version: number, payload: Uint8Array): Uint8Array => {
  const reader = new Reader(payload)
  const writer = new Writer()
  const headerVersion = responseHeaderVersion(api, version)
  ResponseHeader.encode(writer, ResponseHeader.decode(reader, headerVersion), headerVersion)
  api.response.encode(writer, api.response.decode(reader, version) as never, version)
  reader.expectEnd()
  return writer.finish()
}

const everyVersion = Object.values(Apis.all).flatMap((api) =>
  Array.from({ length: api.maxVersion - api.minVersion + 1 }, (_, index) => ({ api, version: api.minVersion + index }))
)

const ask = async (frame: Uint8Array): Promise<Uint8Array | undefined> => {
  const [host, port] = liveBootstrap()[0]!.split(":")
  const connection = new Connection(host!, Number(port))
  const payload = await connection.ask(frame)
  connection.close()
  return payload
}

/** Sends one request per version and API; answers how many response bytes were compared. */
const probe = async (asked: typeof everyVersion, values: Struct): Promise<number> => {
  let bytes = 0
  for (const { api, version } of asked) {
    const label = `${api.name} v${version}`
    const schema = messages.find((message) => message.name === `${api.name}Request`)!
    const payload = await ask(requestFrame(api, version, plainStruct(schema, schema.fields, version, values)))
    assert.isDefined(payload, `${label}: Kafka hung up`)
    assert.strictEqual(Frame.correlationId(payload), version + 1, label)
    assert.strictEqual(hex(rewritten(api, version, payload)), hex(payload), label)
    bytes += payload.length
  }
  return bytes
}

describeLive("a real Kafka", () => {
  it("understands every version of every API, and its answers are read and written back byte for byte", async () => {
    assert.strictEqual(everyVersion.length, 203)
    assert.isAbove(await probe(everyVersion, overrides), 5000)
  })

  it("the same about a topic that exists and holds records", async () => {
    const topic = `protocol-probe-${Date.now()}`
    const options = { version: 7, correlationId: 1, clientId: null }
    const created = await ask(Frame.encodeRequest(Apis.CreateTopics, {
      topics: [{ name: topic, numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }],
      timeoutMs: 10_000
    }, options))
    const { topicId } = Frame.decodeResponse(Apis.CreateTopics, 7, created!).body.topics[0]!
    const values: Struct = {
      ...overrides,
      name: topic,
      topic,
      topicId,
      topics: null,
      resourceName: topic,
      configurationKeys: null,
      partitionMaxBytes: 1_000_000,
      currentLeaderEpoch: -1,
      configs: []
    }
    // `topics: null` means all of them where that is allowed, and is one plain element elsewhere.
    const asked = everyVersion.filter(({ api }) => api !== Apis.DeleteTopics)
    assert.isAbove(await probe(asked, values), 20_000)
    const fetched = await ask(requestFrame(Apis.Fetch, 12, plainStruct(fetchSchema, fetchSchema.fields, 12, values)))
    const partition = Frame.decodeResponse(Apis.Fetch, 12, fetched!).body.responses[0]?.partitions[0]
    // Every version of Produce wrote one record.
    const { batches } = RecordBatch.split(partition?.records ?? new Uint8Array(0))
    assert.strictEqual(batches.length, Apis.Produce.maxVersion - Apis.Produce.minVersion + 1)
    assert.isTrue(batches.every((one) => one.isValid()))
    await ask(
      Frame.encodeRequest(Apis.DeleteTopics, { topics: [{ name: topic, topicId: Uuid.ZERO }], timeoutMs: 5000 }, {
        ...options,
        version: 6
      })
    )
  })
})
