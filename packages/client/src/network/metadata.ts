/**
 * Metadata and FindCoordinator: who leads, who coordinates. Topics are cached until somebody finds them wrong, or old.
 */
import { Apis, type MetadataResponse } from "@exactly-once/protocol"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Cluster, CoordinatorKind } from "./Cluster.ts"
import type { Connection } from "./Connection.ts"
import type { Environment } from "./environment.ts"
import { answered, type Failure } from "./failure.ts"

export interface TopicInfo {
  readonly name: string
  readonly id: string
  /** The leaders by partition; -1 where there is none. */
  readonly leaders: ReadonlyArray<number>
}

export interface Topics {
  readonly known: (name: string) => TopicInfo | undefined
  readonly topic: (name: string, fresh?: boolean) => Effect.Effect<TopicInfo, Failure>
  readonly forget: (name: string) => void
}

/** Java's metadata.max.age.ms. */
const maxAgeMs = 300_000

export const request = (
  ask: Cluster["ask"],
  to: Connection,
  names: ReadonlyArray<string>
): Effect.Effect<MetadataResponse.MetadataResponse, Failure> =>
  ask(to, Apis.Metadata, { topics: names.map((name) => ({ name })), allowAutoTopicCreation: false })

const read = (name: string, response: MetadataResponse.MetadataResponse): TopicInfo | Failure => {
  const found = response.topics.find((topic) => topic.name === name)
  if (found === undefined) return answered("Metadata", 3, { topic: name })
  if (found.errorCode !== 0) return answered("Metadata", found.errorCode, { topic: name })
  const leaders = new Array<number>(found.partitions.length).fill(-1)
  for (const { errorCode, leaderId, partitionIndex } of found.partitions) {
    // 9 says that some replica is away, not the leader.
    leaders[partitionIndex] = errorCode === 0 || errorCode === 9 ? leaderId : -1
  }
  return { name, id: found.topicId, leaders }
}

export const makeTopics = (options: {
  readonly environment: Environment
  readonly ask: (names: ReadonlyArray<string>) => Effect.Effect<MetadataResponse.MetadataResponse, Failure>
  readonly learn: (brokers: MetadataResponse.MetadataResponse["brokers"]) => void
}): Topics => {
  const { environment } = options
  const cache = new Map<string, { readonly info: TopicInfo; readonly at: number }>()
  const asking = new Map<string, Deferred.Deferred<TopicInfo, Failure>>()

  const known = (name: string): TopicInfo | undefined => {
    const entry = cache.get(name)
    return entry === undefined || environment.now() - entry.at > maxAgeMs ? undefined : entry.info
  }

  const refresh = (name: string): Effect.Effect<TopicInfo, Failure> =>
    Effect.suspend(() => {
      const already = asking.get(name)
      if (already !== undefined) return Deferred.await(already)
      const answer = Deferred.makeUnsafe<TopicInfo, Failure>()
      asking.set(name, answer)
      environment.fork(
        options.ask([name]).pipe(
          Effect.flatMap((response) => {
            options.learn(response.brokers)
            const info = read(name, response)
            if ("_tag" in info) return Effect.fail(info)
            cache.set(name, { info, at: environment.now() })
            return Effect.succeed(info)
          }),
          Effect.exit,
          Effect.flatMap((exit) => {
            asking.delete(name)
            return Deferred.done(answer, exit)
          }),
          Effect.asVoid
        )
      )
      return Deferred.await(answer)
    })

  return {
    known,
    topic: (name, fresh = false) =>
      Effect.suspend(() => {
        const info = fresh ? undefined : known(name)
        return info === undefined ? refresh(name) : Effect.succeed(info)
      }),
    forget: (name) => {
      cache.delete(name)
    }
  }
}

const keyTypes: Readonly<Record<CoordinatorKind, number>> = { group: 0, transaction: 1 }

export const findCoordinator = (
  ask: Cluster["ask"],
  to: Connection,
  kind: CoordinatorKind,
  key: string
): Effect.Effect<{ readonly nodeId: number; readonly host: string; readonly port: number }, Failure> =>
  ask(to, Apis.FindCoordinator, { keyType: keyTypes[kind], coordinatorKeys: [key] }).pipe(
    // Nothing was asked of the coordinator yet, whatever becomes of this question.
    Effect.mapError((failure): Failure => ({ ...failure, sent: false })),
    Effect.flatMap((response) => {
      const [found] = response.coordinators
      if (found === undefined) return Effect.fail(answered("FindCoordinator", 15))
      return found.errorCode === 0 ? Effect.succeed(found) : Effect.fail(answered("FindCoordinator", found.errorCode))
    })
  )
