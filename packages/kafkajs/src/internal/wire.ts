/**
 * Connections to the brokers of one cluster, leaders and coordinators. Everything here is asked once: no retry is hidden,
 * and each failure says whether its request can have left the process.
 *
 * A connection that failed or timed out is never used again: its link is retired, the next request opens a fresh one,
 * and the old one is closed when the last request on it has ended. So a half-open connection costs one request.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { Socket } from "node:net"
import type { ConnectionOptions } from "node:tls"
import { answered, type Failure, unanswered } from "./classify.ts"
import {
  type ApiName,
  apis,
  type Broker,
  calmQueue,
  type ConnectionPool,
  type Exchange,
  internals,
  type KafkaJsLogger,
  type SocketFactoryArguments
} from "./kafkajsInternals.ts"

export interface Address {
  readonly host: string
  readonly port: number
}

export interface WireOptions {
  readonly bootstrap: ReadonlyArray<Address>
  readonly clientId: string
  readonly ssl: ConnectionOptions | null
  readonly sasl: object | null
  readonly connectionTimeout: number
  readonly requestTimeout: number
  readonly socketFactory: (options: SocketFactoryArguments) => Socket
  readonly logger: KafkaJsLogger
}

/** A broker's pair of connections: kafkajs keeps Fetch apart from the rest. */
export interface Link {
  readonly node: number
  readonly address: Address
  readonly pool: ConnectionPool
  readonly broker: Broker
  inflight: number
  retired: boolean
}

export interface PartitionLeader {
  readonly partition: number
  /** -1 while the partition has no leader. */
  readonly leader: number
}

interface TopicMetadata {
  readonly partitions: ReadonlyArray<PartitionLeader>
  readonly at: number
}

interface MetadataResponse {
  readonly brokers: ReadonlyArray<{ readonly nodeId: number; readonly host: string; readonly port: number }>
  readonly topicMetadata: ReadonlyArray<{
    readonly topicErrorCode: number
    readonly topic: string
    readonly partitionMetadata: ReadonlyArray<{ readonly partitionId: number; readonly leader: number }>
  }>
}

interface CoordinatorResponse {
  readonly errorCode: number
  readonly coordinator: { readonly nodeId: number; readonly host: string; readonly port: number }
}

export type CoordinatorKind = "group" | "transaction"

const metadataMaxAge = 300_000
const seedNode = -1

export interface Wire {
  /** One request, one answer; error codes inside the answer are the caller's. */
  readonly ask: <Decoded>(link: Link, exchange: Exchange<Decoded>) => Effect.Effect<Decoded, Failure>
  /** Any broker that answers: one that is connected, else the bootstrap addresses in turn. */
  readonly any: Effect.Effect<Link, Failure>
  readonly node: (id: number) => Effect.Effect<Link, Failure>
  readonly coordinator: (kind: CoordinatorKind, key: string) => Effect.Effect<Link, Failure>
  readonly forgetCoordinator: (kind: CoordinatorKind, key: string) => void
  /** Partitions with their leaders, in order; from memory while it is younger than five minutes. */
  readonly topic: (name: string, fresh?: boolean) => Effect.Effect<ReadonlyArray<PartitionLeader>, Failure>
  readonly forgetTopic: (name: string) => void
  readonly close: Effect.Effect<void>
}

/** kafkajs's encoder and decoder of a request, its parser left out: it throws away all error codes but the first. */
export const exchangeOf = <Decoded>(api: ApiName, args: object): Exchange<Decoded> => {
  const definition = internals().requests[api]
  if (definition === undefined) throw new Error(`kafkajs has no request ${api}`)
  const { request, requestTimeout, response } = definition.protocol({ version: apis[api].version })(args)
  return {
    request,
    requestTimeout,
    response: {
      // The decoders of kafkajs are untyped; each caller states the shape of the version pinned in `apis`.
      decode: (payload) => response.decode(payload) as Promise<Decoded>,
      parse: (decoded) => Promise.resolve(decoded)
    }
  }
}

const closeLink = (link: Link): void => {
  for (const connection of link.pool.pool) {
    const { socket } = connection
    try {
      connection.requestQueue.rejectAll(new Error("the connection was closed"))
    } catch {
      // a request that has just been settled cannot be rejected again; nobody waits for it
    }
    // kafkajs hears neither "close" nor a plain destroy: an error ends a connection attempt, `disconnect` its timers
    if (socket?.connecting === true) socket.destroy(new Error("the connection was closed"))
    connection.disconnect().catch(() => undefined).then(() => socket?.destroy())
  }
}

export const makeWire = (options: WireOptions): Wire => {
  const { Broker, ConnectionPool } = internals()
  const links = new Map<number, Link>()
  const addresses = new Map<number, Address>()
  const coordinators = new Map<string, number>()
  const topics = new Map<string, TopicMetadata>()
  let seedIndex: number | undefined
  let closed = false

  const open = (node: number, address: Address): Link => {
    const pool = new ConnectionPool({
      ...address,
      clientId: options.clientId,
      ssl: options.ssl,
      // kafkajs writes its authenticator into this object
      sasl: options.sasl === null ? null : { ...options.sasl },
      socketFactory: options.socketFactory,
      connectionTimeout: options.connectionTimeout,
      requestTimeout: options.requestTimeout,
      enforceRequestTimeout: true,
      maxInFlightRequests: null,
      logger: options.logger
    })
    for (const connection of pool.pool) calmQueue(connection.requestQueue)
    const broker = new Broker({
      connectionPool: pool,
      logger: options.logger,
      nodeId: node === seedNode ? null : node,
      authenticationTimeout: options.connectionTimeout,
      allowAutoTopicCreation: false
    })
    return { node, address, pool, broker, inflight: 0, retired: false }
  }

  const retire = (link: Link): void => {
    if (links.get(link.node) === link) links.delete(link.node)
    if (!link.retired) {
      link.retired = true
      if (link.inflight === 0) closeLink(link)
    }
  }

  const leave = (link: Link): void => {
    link.inflight--
    if (link.retired && link.inflight === 0) closeLink(link)
  }

  const during = <A>(link: Link, api: string, run: () => Promise<A>, sent: () => boolean): Effect.Effect<A, Failure> =>
    Effect.callback<A, Failure>((resume) => {
      link.inflight++
      run().then(
        (value) => {
          leave(link)
          resume(Effect.succeed(value))
        },
        (cause: unknown) => {
          retire(link)
          leave(link)
          resume(Effect.fail(unanswered(api, sent(), cause)))
        }
      )
    })

  // A connection that has ended is not opened again: kafkajs, still ending the old socket, would end the new one with it.
  const usable = (link: Link): boolean =>
    link.pool.pool.every(({ socket }) =>
      socket === undefined || !(socket.destroyed || socket.readableEnded || socket.writableEnded)
    )

  const connect = (node: number, address: Address): Effect.Effect<Link, Failure> =>
    Effect.suspend(() => {
      if (closed) return Effect.fail(unanswered("Connect", false, new Error("the driver is closed")))
      const known = links.get(node)
      if (known !== undefined && known.address.host === address.host && known.address.port === address.port) {
        if (usable(known)) return known.broker.versions === null ? authenticate(known) : Effect.succeed(known)
        retire(known)
      }
      const link = open(node, address)
      links.set(node, link)
      return authenticate(link)
    })

  const authenticate = (link: Link): Effect.Effect<Link, Failure> =>
    during(link, "Connect", () => link.broker.connect(), () => false).pipe(
      Effect.timeoutOrElse({
        duration: options.connectionTimeout * 2,
        orElse: () => {
          retire(link)
          const { host, port } = link.address
          return Effect.fail(
            unanswered("Connect", false, new Error(`${host}:${port} accepted a connection and did not answer`))
          )
        }
      }),
      Effect.as(link)
    )

  const any: Effect.Effect<Link, Failure> = Effect.gen(function*() {
    for (const link of links.values()) if (link.broker.versions !== null && usable(link)) return link
    const known = [...addresses]
    seedIndex ??= yield* Random.nextIntBetween(0, options.bootstrap.length, { halfOpen: true })
    const first = seedIndex
    const seeds = options.bootstrap.map((_, i): [number, Address] => {
      const at = (first + i) % options.bootstrap.length
      const address = options.bootstrap[at]
      return [seedNode - at, address ?? { host: "localhost", port: 9092 }]
    })
    let failure: Failure = unanswered("Connect", false, new Error("no bootstrap address"))
    for (const [node, address] of [...known, ...seeds]) {
      const attempt = yield* Effect.result(connect(node, address))
      if (attempt._tag === "Success") return attempt.success
      failure = attempt.failure
      seedIndex = first + 1
    }
    return yield* Effect.fail(failure)
  })

  const ask = <Decoded>(link: Link, exchange: Exchange<Decoded>): Effect.Effect<Decoded, Failure> =>
    Effect.suspend(() => {
      let sent = false
      const { request } = exchange
      return during(
        link,
        request.apiName,
        () =>
          link.pool.send({
            ...exchange,
            request: {
              ...request,
              // kafkajs encodes when the connection stands and writes right after: from here on it may have been sent
              encode: () => {
                sent = true
                return request.encode()
              }
            }
          }),
        () => sent
      )
    })

  const learn = (brokers: MetadataResponse["brokers"]): void => {
    for (const { host, nodeId, port } of brokers) addresses.set(nodeId, { host, port })
  }

  const refresh = (name: string): Effect.Effect<ReadonlyArray<PartitionLeader>, Failure> =>
    Effect.gen(function*() {
      const link = yield* any
      const response = yield* ask(
        link,
        exchangeOf<MetadataResponse>("Metadata", { topics: [name], allowAutoTopicCreation: false })
      )
      learn(response.brokers)
      const found = response.topicMetadata.find(({ topic }) => topic === name)
      const code = found === undefined ? 3 : found.topicErrorCode
      if (found === undefined || code !== 0) {
        topics.delete(name)
        return yield* Effect.fail(answered("Metadata", code, { topic: name }))
      }
      const partitions = found.partitionMetadata
        .map(({ leader, partitionId }) => ({ partition: partitionId, leader }))
        .sort((a, b) => a.partition - b.partition)
      topics.set(name, { partitions, at: yield* Clock.currentTimeMillis })
      return partitions
    })

  const node = (id: number): Effect.Effect<Link, Failure> =>
    Effect.suspend(() => {
      const address = addresses.get(id)
      return address === undefined
        ? Effect.fail(answered("Connect", 8))
        : connect(id, address)
    })

  return {
    ask,
    any,
    node,
    coordinator: (kind, key) =>
      Effect.suspend(() => {
        const known = coordinators.get(`${kind} ${key}`)
        if (known !== undefined) {
          return Effect.tapError(node(known), () => Effect.sync(() => coordinators.delete(`${kind} ${key}`)))
        }
        return Effect.gen(function*() {
          const link = yield* any
          const { coordinator, errorCode } = yield* ask(
            link,
            exchangeOf<CoordinatorResponse>("GroupCoordinator", {
              groupId: key,
              coordinatorType: kind === "group" ? 0 : 1
            })
          )
          if (errorCode !== 0) return yield* Effect.fail(answered("FindCoordinator", errorCode))
          learn([coordinator])
          const found = yield* node(coordinator.nodeId)
          coordinators.set(`${kind} ${key}`, coordinator.nodeId)
          return found
        })
      }),
    forgetCoordinator: (kind, key) => {
      coordinators.delete(`${kind} ${key}`)
    },
    topic: (name, fresh = false) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const known = topics.get(name)
        return !fresh && known !== undefined && now - known.at < metadataMaxAge
          ? Effect.succeed(known.partitions)
          : refresh(name)
      }),
    forgetTopic: (name) => {
      topics.delete(name)
    },
    close: Effect.sync(() => {
      closed = true
      for (const link of links.values()) {
        link.retired = true
        closeLink(link)
      }
      links.clear()
    })
  }
}
