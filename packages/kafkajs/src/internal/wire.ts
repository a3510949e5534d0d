/**
 * One client's view of a cluster: who leads a partition, who coordinates, who is there at all. Everything is asked once:
 * no retry is hidden, and each failure says whether its request can have left the process.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { answered, type Failure, unanswered } from "./classify.ts"
import { type ApiName, apis, type Exchange, internals } from "./kafkajsInternals.ts"
import { type Address, type Link, type LinkOptions, makeLinks } from "./links.ts"

export interface WireOptions extends LinkOptions {
  readonly bootstrap: ReadonlyArray<Address>
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

/** How long a topic that was there may be unknown: a broker that has just started does not know all of them yet. */
const missingGrace = 10_000

const unknownTopic = 3
const leaderNotAvailable = 5

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

/** A question that only prepares a request: whatever became of it, the request itself was not sent. */
const preparing = Effect.mapError((failure: Failure): Failure =>
  failure.code === undefined ? { ...failure, sent: false } : failure
)

export const makeWire = (options: WireOptions): Wire => {
  const links = makeLinks(options)
  const { ask } = links
  const addresses = new Map<number, Address>()
  const coordinators = new Map<string, number>()
  const topics = new Map<string, TopicMetadata>()
  const lastSeen = new Map<string, number>()
  let seedIndex: number | undefined

  const any: Effect.Effect<Link, Failure> = Effect.gen(function*() {
    const standing = links.standing()
    if (standing !== undefined) return standing
    const { bootstrap } = options
    seedIndex ??= yield* Random.nextIntBetween(0, bootstrap.length, { halfOpen: true })
    const first = seedIndex
    const turned = [...bootstrap.slice(first % bootstrap.length), ...bootstrap.slice(0, first % bootstrap.length)]
    const seeds = turned.map((address): [number, Address] => [-1 - bootstrap.indexOf(address), address])
    let failure: Failure = unanswered("Connect", false, new Error("no bootstrap address"))
    for (const [node, address] of [...addresses, ...seeds]) {
      const attempt = yield* Effect.result(links.connect(node, address))
      if (attempt._tag === "Success") return attempt.success
      failure = attempt.failure
      seedIndex = first + 1
    }
    return yield* Effect.fail(failure)
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
      const code = found === undefined ? unknownTopic : found.topicErrorCode
      const now = yield* Clock.currentTimeMillis
      if (found === undefined || code !== 0) {
        topics.delete(name)
        const waits = code === unknownTopic && now - (lastSeen.get(name) ?? -Infinity) < missingGrace
        return yield* Effect.fail(answered("Metadata", waits ? leaderNotAvailable : code, { topic: name }))
      }
      lastSeen.set(name, now)
      const partitions = found.partitionMetadata
        .map(({ leader, partitionId }) => ({ partition: partitionId, leader }))
        .sort((a, b) => a.partition - b.partition)
      topics.set(name, { partitions, at: now })
      return partitions
    })

  const node = (id: number): Effect.Effect<Link, Failure> =>
    Effect.suspend(() => {
      const address = addresses.get(id)
      return address === undefined
        ? Effect.fail(answered("Connect", 8))
        : links.connect(id, address)
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
      }).pipe(preparing),
    forgetCoordinator: (kind, key) => {
      coordinators.delete(`${kind} ${key}`)
    },
    topic: (name, fresh = false) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const known = topics.get(name)
        return !fresh && known !== undefined && now - known.at < metadataMaxAge
          ? Effect.succeed(known.partitions)
          : preparing(refresh(name))
      }),
    forgetTopic: (name) => {
      topics.delete(name)
    },
    close: links.close
  }
}
