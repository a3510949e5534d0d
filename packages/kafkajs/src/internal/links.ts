/**
 * Connections to brokers. A connection that failed or timed out is never used again: its link is retired, the next
 * request opens a fresh one, and the old one is closed when the last request on it has ended. So a half-open connection
 * costs one request.
 */
import * as Effect from "effect/Effect"
import type { Socket } from "node:net"
import type { ConnectionOptions } from "node:tls"
import { type Failure, unanswered } from "./classify.ts"
import {
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

export interface LinkOptions {
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
  /** Negative for a bootstrap address, whose broker is not known yet. */
  readonly node: number
  readonly address: Address
  readonly pool: ConnectionPool
  readonly broker: Broker
  inflight: number
  retired: boolean
}

export interface Links {
  /** The link to a broker, connected and authenticated. */
  readonly connect: (node: number, address: Address) => Effect.Effect<Link, Failure>
  /** One request, one answer; error codes inside the answer are the caller's. */
  readonly ask: <Decoded>(link: Link, exchange: Exchange<Decoded>) => Effect.Effect<Decoded, Failure>
  /** A link that stands, whichever. */
  readonly standing: () => Link | undefined
  readonly close: Effect.Effect<void>
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

export const makeLinks = (options: LinkOptions): Links => {
  const { Broker, ConnectionPool } = internals()
  const current = new Map<number, Link>()
  // retired links with requests on them are not current any more, and still have to be closed with the rest
  const open = new Set<Link>()
  let closed = false

  const end = (link: Link): void => {
    if (open.delete(link)) closeLink(link)
  }

  const make = (node: number, address: Address): Link => {
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
      nodeId: node < 0 ? null : node,
      authenticationTimeout: options.connectionTimeout,
      allowAutoTopicCreation: false
    })
    const link = { node, address, pool, broker, inflight: 0, retired: false }
    open.add(link)
    current.set(node, link)
    return link
  }

  const retire = (link: Link): void => {
    if (current.get(link.node) === link) current.delete(link.node)
    link.retired = true
    if (link.inflight === 0) end(link)
  }

  const leave = (link: Link): void => {
    link.inflight--
    if (link.retired && link.inflight === 0) end(link)
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

  const authenticate = (link: Link): Effect.Effect<Link, Failure> => {
    const { host, port } = link.address
    return during(link, "Connect", () => link.broker.connect(), () => false).pipe(
      Effect.timeoutOrElse({
        duration: options.connectionTimeout * 2,
        orElse: () => {
          retire(link)
          return Effect.fail(
            unanswered("Connect", false, new Error("the connection was accepted, and nothing was answered"))
          )
        }
      }),
      Effect.mapError((failure): Failure => ({ ...failure, resource: `${host}:${port}` })),
      Effect.as(link)
    )
  }

  return {
    connect: (node, address) =>
      Effect.suspend(() => {
        if (closed) return Effect.fail(unanswered("Connect", false, new Error("the driver is closed")))
        const known = current.get(node)
        if (known !== undefined && known.address.host === address.host && known.address.port === address.port) {
          if (usable(known)) return known.broker.versions === null ? authenticate(known) : Effect.succeed(known)
        }
        if (known !== undefined) retire(known)
        return authenticate(make(node, address))
      }),
    ask: <Decoded>(link: Link, exchange: Exchange<Decoded>): Effect.Effect<Decoded, Failure> =>
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
      }),
    standing: () => [...current.values()].find((link) => link.broker.versions !== null && usable(link)),
    close: Effect.sync(() => {
      closed = true
      current.clear()
      for (const link of open) end(link)
    })
  }
}
