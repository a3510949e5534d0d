/**
 * The one door to the inside of kafkajs 2.2.4: its connections (sockets, TLS, SASL, request queue, time-outs) and its
 * request encoders. Nothing of kafkajs is changed, so that another user of kafkajs in the same process sees no
 * difference. The version is pinned; `verify` refuses another version or another shape before the first connection.
 */
import { createRequire } from "node:module"
import type { Socket } from "node:net"
import type { ConnectionOptions } from "node:tls"

/** What kafkajs's byte writer asks of another writer that it appends: `buf` to recognise it, `buffer` to copy. */
export interface Encoded {
  readonly buf: Buffer
  readonly buffer: Buffer
}

export interface WireRequest {
  readonly apiKey: number
  readonly apiVersion: number
  readonly apiName: string
  readonly encode: () => Promise<Encoded>
  readonly expectResponse?: () => boolean
}

/** A request with the decoder of its response. kafkajs calls `decode`, reads the throttle time, then calls `parse`. */
export interface Exchange<Decoded> {
  readonly request: WireRequest
  readonly response: {
    readonly decode: (payload: Buffer) => Promise<Decoded>
    readonly parse: (decoded: Decoded) => Promise<Decoded>
  }
  readonly requestTimeout?: number | undefined
}

export interface KafkaJsLogger {
  readonly namespace: (name: string) => KafkaJsLogger
  readonly debug: (message: string, extra?: object) => void
  readonly info: (message: string, extra?: object) => void
  readonly warn: (message: string, extra?: object) => void
  readonly error: (message: string, extra?: object) => void
}

export interface SocketFactoryArguments {
  readonly host: string
  readonly port: number
  readonly ssl: ConnectionOptions | null | undefined
  readonly onConnect: () => void
}

export interface RequestQueue {
  readonly pending: ReadonlyArray<unknown>
  readonly throttledUntil: number
  throttleCheckTimeoutId: NodeJS.Timeout | null
  scheduleCheckPendingRequests: () => void
  readonly checkPendingRequests: () => void
  readonly rejectAll: (error: Error) => void
  readonly destroy: () => void
}

export interface Connection {
  readonly socket: Socket | undefined
  readonly requestQueue: RequestQueue
  isConnected(): boolean
  disconnect(): Promise<boolean>
}

export interface ConnectionPool {
  readonly pool: ReadonlyArray<Connection>
  send<Decoded>(exchange: Exchange<Decoded>): Promise<Decoded>
}

export type ApiVersions = Readonly<Record<number, { readonly minVersion: number; readonly maxVersion: number }>>

export interface Broker {
  readonly versions: ApiVersions | null
  connect(): Promise<void>
}

export interface ConnectionPoolOptions {
  readonly host: string
  readonly port: number
  readonly clientId: string
  readonly ssl: ConnectionOptions | null
  readonly sasl: object | null
  readonly socketFactory: (options: SocketFactoryArguments) => Socket
  readonly connectionTimeout: number
  readonly requestTimeout: number
  readonly enforceRequestTimeout: boolean
  readonly maxInFlightRequests: null
  readonly logger: KafkaJsLogger
}

interface RequestDefinition {
  readonly versions: ReadonlyArray<string>
  readonly protocol: (options: { readonly version: number }) => (args: object) => Exchange<unknown>
}

export interface Internals {
  readonly version: string
  readonly Broker: new(options: {
    readonly connectionPool: ConnectionPool
    readonly logger: KafkaJsLogger
    readonly nodeId: number | null
    readonly authenticationTimeout: number
    readonly allowAutoTopicCreation: boolean
  }) => Broker
  readonly ConnectionPool: new(options: ConnectionPoolOptions) => ConnectionPool
  readonly Encoder: new(initialSize: number) => Encoded & { writeEncoder(value: Encoded): Encoded }
  readonly requests: Readonly<Record<string, RequestDefinition>>
  readonly MemberMetadata: {
    encode(options: { version: number; topics: ReadonlyArray<string>; userData: Buffer }): Buffer
    decode(buffer: Buffer): { version: number; topics: ReadonlyArray<string>; userData: Buffer | null }
  }
  readonly MemberAssignment: {
    encode(options: { version: number; assignment: Record<string, ReadonlyArray<number>> }): Buffer
    decode(buffer: Buffer): { assignment: Record<string, ReadonlyArray<number>> } | null
  }
}

/** The versions this driver speaks: one per API, all of them within the range of Kafka 2.3 to 4.x. */
export const apis = {
  Produce: { key: 0, version: 7 },
  Fetch: { key: 1, version: 11 },
  ListOffsets: { key: 2, version: 3 },
  Metadata: { key: 3, version: 6 },
  OffsetFetch: { key: 9, version: 4 },
  GroupCoordinator: { key: 10, version: 2 },
  JoinGroup: { key: 11, version: 5 },
  Heartbeat: { key: 12, version: 3 },
  LeaveGroup: { key: 13, version: 3 },
  SyncGroup: { key: 14, version: 3 },
  DescribeGroups: { key: 15, version: 2 },
  InitProducerId: { key: 22, version: 1 },
  AddPartitionsToTxn: { key: 24, version: 1 },
  AddOffsetsToTxn: { key: 25, version: 1 },
  EndTxn: { key: 26, version: 1 },
  TxnOffsetCommit: { key: 28, version: 1 }
} as const

export type ApiName = keyof typeof apis

const pinned = "2.2.4"

const require = createRequire(import.meta.url)

const load = (): Internals => {
  const part = (path: string): unknown => require(`kafkajs/${path}`)
  const { version } = part("package.json") as { readonly version: string }
  const { requests } = part("src/protocol/requests") as Pick<Internals, "requests">
  const { MemberMetadata, MemberAssignment } = part("src/consumer/assignerProtocol") as Pick<
    Internals,
    "MemberMetadata" | "MemberAssignment"
  >
  return {
    version,
    // kafkajs is untyped below its entry point; `problems` checks each of these shapes before the first use.
    Broker: part("src/broker") as Internals["Broker"],
    ConnectionPool: part("src/network/connectionPool") as Internals["ConnectionPool"],
    Encoder: part("src/protocol/encoder") as Internals["Encoder"],
    requests,
    MemberMetadata,
    MemberAssignment
  }
}

let loaded: Internals | undefined

/** Throws when kafkajs, or one of the files named here, is not there. */
export const internals = (): Internals => loaded ??= load()

const silent: KafkaJsLogger = {
  namespace: () => silent,
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {}
}

/**
 * kafkajs looks after its queue of throttled requests with a timer that, on an empty queue, is set to a time in the past
 * and sets itself again: a thousand wake-ups a second for each connection, and a warning on Node 24. On our own
 * connections the timer is set only while something waits.
 */
export const calmQueue = (queue: RequestQueue): void => {
  queue.scheduleCheckPendingRequests = () => {
    if (queue.pending.length === 0 || queue.throttleCheckTimeoutId !== null) return
    queue.throttleCheckTimeoutId = setTimeout(() => {
      queue.throttleCheckTimeoutId = null
      queue.checkPendingRequests()
    }, Math.max(10, queue.throttledUntil - Date.now()))
  }
}

/** What differs from the pinned version and its shapes; empty when all is well. */
export const problems = (inside: Internals): ReadonlyArray<string> => {
  const found: Array<string> = []
  const expect = (holds: () => boolean, what: string) => {
    try {
      if (!holds()) found.push(what)
    } catch (error) {
      found.push(`${what} (${String(error)})`)
    }
  }
  expect(() => inside.version === pinned, `kafkajs is ${inside.version}, this driver needs exactly ${pinned}`)
  for (const [name, { key, version }] of Object.entries(apis)) {
    expect(() => {
      const definition = inside.requests[name]
      if (definition === undefined || !definition.versions.includes(String(version))) return false
      const { request, response } = definition.protocol({ version })({
        topics: [],
        topicData: [],
        groupIds: [],
        groupProtocols: [],
        groupAssignment: [],
        members: [],
        acks: -1
      })
      return request.apiKey === key && request.apiVersion === version && typeof request.encode === "function" &&
        typeof response.decode === "function" && typeof response.parse === "function"
    }, `request ${name} v${version}`)
  }
  expect(() => {
    const pool = new inside.ConnectionPool({
      host: "localhost",
      port: 0,
      clientId: "self-test",
      ssl: null,
      sasl: null,
      socketFactory: () => {
        throw new Error("the self-test does not connect")
      },
      connectionTimeout: 1,
      requestTimeout: 1,
      enforceRequestTimeout: true,
      maxInFlightRequests: null,
      logger: silent
    })
    const broker = new inside.Broker({
      connectionPool: pool,
      logger: silent,
      nodeId: null,
      authenticationTimeout: 1,
      allowAutoTopicCreation: false
    })
    return typeof pool.send === "function" && pool.pool.length === 2 && typeof broker.connect === "function" &&
      pool.pool.every((connection) =>
        typeof connection.isConnected === "function" && typeof connection.disconnect === "function" &&
        typeof connection.requestQueue.rejectAll === "function" &&
        typeof connection.requestQueue.destroy === "function" && Array.isArray(connection.requestQueue.pending) &&
        typeof connection.requestQueue.throttledUntil === "number" &&
        connection.requestQueue.throttleCheckTimeoutId === null &&
        typeof connection.requestQueue.checkPendingRequests === "function" &&
        typeof connection.requestQueue.scheduleCheckPendingRequests === "function"
      )
  }, "ConnectionPool, Broker and Connection")
  expect(() => {
    const bytes = Buffer.from([1, 2, 3])
    return new inside.Encoder(16).writeEncoder({ buf: bytes, buffer: bytes }).buffer.equals(bytes)
  }, "Encoder")
  expect(() => {
    const metadata = inside.MemberMetadata.decode(
      inside.MemberMetadata.encode({ version: 0, topics: ["t"], userData: Buffer.from([7]) })
    )
    const assignment = inside.MemberAssignment.decode(
      inside.MemberAssignment.encode({ version: 0, assignment: { t: [2] } })
    )
    return metadata.topics[0] === "t" && metadata.userData?.[0] === 7 && assignment?.assignment["t"]?.[0] === 2
  }, "MemberMetadata and MemberAssignment")
  return found
}
