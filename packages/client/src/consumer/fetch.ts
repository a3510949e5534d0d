/**
 * Fetch: one request to one broker, by topic ids, answered with raw bytes per partition. The decoding is
 * `recordReader`'s.
 */
import { Apis, type FetchResponse } from "@exactly-once/protocol"
import * as Effect from "effect/Effect"
import type { Cluster } from "../network/Cluster.ts"
import { answered, type Failure } from "../network/failure.ts"

export interface FetchTarget {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
}

export interface FetchedPartition {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  readonly aborted: ReadonlyArray<FetchResponse.AbortedTransaction> | null
  readonly bytes: Uint8Array
}

export interface FetchOptions {
  readonly cluster: Cluster
  readonly pool: string
  readonly maxWaitMs: number
  readonly maxBytes: number
  readonly maxBytesPerPartition: number
  readonly targets: ReadonlyArray<FetchTarget>
}

const readCommitted = 1
const nothing = new Uint8Array(0)

export const fetch = (
  leader: number,
  { cluster, maxBytes, maxBytesPerPartition, maxWaitMs, pool, targets }: FetchOptions
): Effect.Effect<ReadonlyArray<FetchedPartition>, Failure> => {
  const names = new Map<string, string>()
  const topics = Array.from(Map.groupBy(targets, ({ topic }) => topic), ([name, group]) => {
    const topicId = cluster.known(name)?.id ?? ""
    names.set(topicId, name)
    return {
      topicId,
      partitions: group.map(({ offset, partition }) => ({
        partition,
        fetchOffset: offset,
        partitionMaxBytes: maxBytesPerPartition
      }))
    }
  })
  return cluster.connection(pool, leader).pipe(
    Effect.flatMap((to) =>
      cluster.ask(
        to,
        Apis.Fetch,
        { maxWaitMs, minBytes: 1, maxBytes, isolationLevel: readCommitted, sessionId: 0, sessionEpoch: -1, topics },
        { timeoutMs: maxWaitMs + cluster.options.requestTimeout }
      )
    ),
    Effect.flatMap((response) => {
      if (response.errorCode !== 0) return Effect.fail(answered("Fetch", response.errorCode))
      const partitions: Array<FetchedPartition> = []
      for (const { partitions: answers, topicId } of response.responses) {
        const topic = names.get(topicId)
        if (topic === undefined) continue
        for (const { abortedTransactions, errorCode, partitionIndex, records } of answers) {
          partitions.push({
            topic,
            partition: partitionIndex,
            errorCode,
            aborted: abortedTransactions,
            bytes: records ?? nothing
          })
        }
      }
      return Effect.succeed(partitions)
    })
  )
}
