/**
 * The brokers of a cluster and what is known of them: who leads which partition, who coordinates which group or
 * transactional.id, and the connections that stand.
 *
 * Connections are kept by broker and pool. A broker serves one request of a connection at a time, so that whatever may
 * wait there (a fetch, a join) has a pool of its own and holds nobody else up.
 */
import type { Api } from "@exactly-once/protocol"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { Address } from "../Transport.ts"
import type { Connection, RequestOptions } from "./Connection.ts"
import { type Failure, isCoordinatorMove, Refused, unanswered } from "./failure.ts"
import * as Metadata from "./metadata.ts"
import { open, type OpenOptions } from "./open.ts"
import { pause } from "./retry.ts"

export type CoordinatorKind = "group" | "transaction"

export interface ClusterOptions extends OpenOptions {
  readonly bootstrap: ReadonlyArray<Address>
  readonly requestTimeout: number
}

/** One request of a coordinator, and how its answer says that it was refused. */
export interface CoordinatorRequest<I, O> {
  readonly pool: string
  readonly kind: CoordinatorKind
  readonly key: string
  readonly api: Api<unknown, I, O, never>
  readonly body: I
  readonly failureIn: (answer: O) => Failure | undefined
  readonly maxVersion?: number | undefined
  readonly timeoutMs?: number | undefined
}

export interface Cluster {
  readonly options: ClusterOptions
  /** The open connection to a broker, if it stands. */
  readonly standing: (pool: string, node: number) => Connection | undefined
  /** The connection to a broker, opened when there is none. */
  readonly connection: (pool: string, node: number) => Effect.Effect<Connection, Failure>
  /** A connection to any broker. */
  readonly any: (pool: string) => Effect.Effect<Connection, Failure>
  /** One request, one answer; error codes inside the answer are the caller's. */
  readonly ask: <I, O>(
    connection: Connection,
    api: Api<unknown, I, O, never>,
    body: I,
    options?: Partial<RequestOptions>
  ) => Effect.Effect<O, Failure>
  /** What is cached of a topic. */
  readonly known: (topic: string) => Metadata.TopicInfo | undefined
  /** A topic's partitions and leaders; `fresh`: asked anew. Code 3 when there is no such topic; it is never created. */
  readonly topic: (name: string, fresh?: boolean) => Effect.Effect<Metadata.TopicInfo, Failure>
  readonly forgetTopic: (name: string) => void
  readonly coordinator: (kind: CoordinatorKind, key: string) => Effect.Effect<number, Failure>
  readonly forgetCoordinator: (kind: CoordinatorKind, key: string) => void
  /** Asks a coordinator; it is looked up anew after anything but an answer, and after "not here". */
  readonly askCoordinator: <I, O>(request: CoordinatorRequest<I, O>) => Effect.Effect<O, Failure>
  /** The finalized `transaction.version`, as the newest connection heard it. */
  readonly transactionVersion: () => number
}

interface Slot {
  readonly address: Address
  connection: Connection | undefined
  opening: Deferred.Deferred<Connection, Failure> | undefined
}

/** Brokers close what was idle for ten minutes; a request that meets the closing would have an unknown outcome. */
const maxIdleMs = 540_000

const sameAddress = (a: Address, b: Address): boolean => a.host === b.host && a.port === b.port

export const makeCluster = (options: ClusterOptions): Effect.Effect<Cluster, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { environment, requestTimeout } = options
    const slots = new Map<string, Slot>()
    const nodes = new Map<number, Address>()
    const coordinators = new Map<string, number>()
    const troubles = new Map<string, { count: number; until: number }>()
    let features = { epoch: -2n, transactionVersion: 0 }
    let closed = false

    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        closed = true
        for (const { connection } of slots.values()) connection?.close(new Error("the client was closed"))
        slots.clear()
      })
    )

    const usable = (slot: Slot | undefined): Connection | undefined => {
      const connection = slot?.connection
      if (connection?.isOpen !== true) return undefined
      if (!connection.isSpent(maxIdleMs)) return connection
      connection.close(new Error("the connection was spent"))
      return undefined
    }

    const dial = (address: Address): Effect.Effect<Connection, Failure> =>
      Effect.gen(function*() {
        const place = `${address.host}:${address.port}`
        const wait = (troubles.get(place)?.until ?? 0) - environment.now()
        if (wait > 0) yield* Effect.sleep(wait)
        const opened = yield* open(options, address).pipe(
          Effect.tapError((failure) =>
            Effect.sync(() => {
              const count = (troubles.get(place)?.count ?? 0) + 1
              const backoff = pause(failure, count, environment.random())
              troubles.set(place, { count, until: environment.now() + backoff })
            })
          )
        )
        troubles.delete(place)
        if (opened.features.epoch >= features.epoch) features = opened.features
        return opened.connection
      })

    /** Whoever asks while the connection is being opened waits for the same one; nobody's interruption spoils it. */
    const at = (key: string, address: Address): Effect.Effect<Connection, Failure> =>
      Effect.suspend(() => {
        if (closed) {
          return Effect.fail(unanswered("Connect", false, new Refused("Unavailable", "the client was closed")))
        }
        let slot = slots.get(key)
        if (slot === undefined || !sameAddress(slot.address, address)) {
          slot?.connection?.close(new Error("the broker has moved"))
          slot = { address, connection: undefined, opening: undefined }
          slots.set(key, slot)
        }
        const connection = usable(slot)
        if (connection !== undefined) return Effect.succeed(connection)
        if (slot.opening !== undefined) return Deferred.await(slot.opening)
        const opening = Deferred.makeUnsafe<Connection, Failure>()
        const filled = slot
        filled.opening = opening
        environment.fork(
          dial(address).pipe(
            Effect.exit,
            Effect.flatMap((exit) => {
              filled.opening = undefined
              if (Exit.isSuccess(exit)) {
                filled.connection = exit.value
                if (closed || slots.get(key) !== filled) exit.value.close(new Error("the client was closed"))
              }
              return Deferred.done(opening, exit)
            }),
            Effect.asVoid
          )
        )
        return Deferred.await(opening)
      })

    const connection: Cluster["connection"] = (pool, node) =>
      Effect.suspend(() => {
        const address = nodes.get(node)
        return address === undefined
          ? Effect.fail(unanswered("Connect", false, new Error(`broker ${node} is not known`)))
          : at(`${pool}/${node}`, address)
      })

    const any: Cluster["any"] = (pool) =>
      Effect.suspend(() => {
        for (const [key, slot] of slots) {
          const standing = key.startsWith(`${pool}/`) ? usable(slot) : undefined
          if (standing !== undefined) return Effect.succeed(standing)
        }
        const shuffled = (keys: ReadonlyArray<readonly [string, Address]>) =>
          keys.map((one) => [environment.random(), one] as const).sort(([a], [b]) => a - b).map(([, one]) => one)
        const candidates = [
          ...shuffled([...nodes].map(([node, address]) => [`${pool}/${node}`, address])),
          ...shuffled(options.bootstrap.map((address) => [`${pool}/${address.host}:${address.port}`, address]))
        ]
        return candidates.slice(1).reduce(
          (attempt, [key, address]) =>
            Effect.catch(attempt, (failure) =>
              failure.cause instanceof Refused ? Effect.fail(failure) : at(key, address)),
          candidates[0] === undefined
            ? Effect.fail(unanswered("Connect", false, new Refused("Misconfigured", "bootstrap is empty", "bootstrap")))
            : at(...candidates[0])
        )
      })

    const ask: Cluster["ask"] = (to, api, body, request) =>
      Effect.callback((resume) => {
        to.request(
          api,
          body,
          { timeoutMs: requestTimeout, ...request },
          (answer) => resume(Effect.succeed(answer)),
          (failure) => resume(Effect.fail(failure))
        )
      })

    const learn = (node: number, address: Address) => {
      nodes.set(node, address)
    }

    const topics = Metadata.makeTopics({
      environment,
      ask: (names) => Effect.flatMap(any("main"), (to) => Metadata.request(ask, to, names)),
      learn: (brokers) => {
        for (const { host, nodeId, port } of brokers) learn(nodeId, { host, port })
      }
    })

    const name = (kind: CoordinatorKind, key: string) => `${kind}/${key}`

    const coordinator: Cluster["coordinator"] = (kind, key) =>
      Effect.suspend(() => {
        const cached = coordinators.get(name(kind, key))
        if (cached !== undefined) return Effect.succeed(cached)
        return any("main").pipe(
          Effect.flatMap((to) => Metadata.findCoordinator(ask, to, kind, key)),
          Effect.map(({ host, nodeId, port }) => {
            learn(nodeId, { host, port })
            coordinators.set(name(kind, key), nodeId)
            return nodeId
          })
        )
      })

    const forgetCoordinator: Cluster["forgetCoordinator"] = (kind, key) => {
      coordinators.delete(name(kind, key))
    }

    return {
      options,
      standing: (pool, node) => usable(slots.get(`${pool}/${node}`)),
      connection,
      any,
      ask,
      known: topics.known,
      topic: topics.topic,
      forgetTopic: topics.forget,
      coordinator,
      forgetCoordinator,
      askCoordinator: ({ api, body, failureIn, key, kind, maxVersion, pool, timeoutMs }) =>
        coordinator(kind, key).pipe(
          Effect.flatMap((node) => connection(pool, node)),
          Effect.flatMap((to) => ask(to, api, body, { maxVersion, timeoutMs: timeoutMs ?? requestTimeout })),
          Effect.flatMap((answer) => {
            const failure = failureIn(answer)
            return failure === undefined ? Effect.succeed(answer) : Effect.fail(failure)
          }),
          Effect.tapError((failure) =>
            Effect.sync(() => {
              if (failure.code === undefined || isCoordinatorMove(failure)) forgetCoordinator(kind, key)
            })
          )
        ),
      transactionVersion: () => features.transactionVersion
    }
  })
