/**
 * Questions to the cluster: partitions, committed offsets, the ends of logs. None changes anything, none creates a topic.
 */
import { type Driver, Offset, TopicPartition } from "@exactly-once/core"
import { Apis } from "@exactly-once/protocol"
import * as Effect from "effect/Effect"
import type { Cluster } from "./network/Cluster.ts"
import { answered, type Failure, isCoordinatorMove, isUnsent, toDriverError } from "./network/failure.ts"
import { retry } from "./network/retry.ts"

const pool = "main"

const unstable = 88

/** Reading again is always harmless. */
const transient = (failure: Failure): boolean =>
  (failure.code === undefined ? failure.sent || isUnsent(failure) : isCoordinatorMove(failure)) ||
  [5, 6, 9, 56, 72, 74, 75, 78, unstable].includes(failure.code ?? 0)

const byTopic = (partitions: ReadonlyArray<TopicPartition.TopicPartition>) =>
  Array.from(
    Map.groupBy(partitions, ({ topic }) => topic),
    ([name, group]) => ({ name, partitions: group.map(({ partition }) => partition) })
  )

export const makeAdmin = (cluster: Cluster): Driver.DriverAdmin => {
  const asked = <A>(operation: string, effect: Effect.Effect<A, Failure>) =>
    retry(effect, cluster.options.requestTimeout, transient).pipe(
      Effect.mapError((failure) => toDriverError(operation, failure, "read"))
    )

  // A pending offset of a predecessor's transaction is waited for: what stood before it may be about to be overtaken (R22).
  const committed = (groupId: string, partitions: ReadonlyArray<TopicPartition.TopicPartition>) =>
    cluster.askCoordinator({
      pool,
      kind: "group",
      key: groupId,
      api: Apis.OffsetFetch,
      body: {
        groups: [{
          groupId,
          topics: byTopic(partitions).map(({ name, partitions }) => ({ name, partitionIndexes: partitions }))
        }],
        requireStable: true
      },
      failureIn: ({ groups }) => {
        const [group] = groups
        if (group === undefined) return answered("OffsetFetch", -1)
        if (group.errorCode !== 0) return answered("OffsetFetch", group.errorCode)
        for (const { name, partitions } of group.topics) {
          for (const { errorCode, partitionIndex } of partitions) {
            if (errorCode !== 0) return answered("OffsetFetch", errorCode, { topic: name, partition: partitionIndex })
          }
        }
        return undefined
      }
    }).pipe(
      Effect.map(({ groups }) => {
        const found = new Map<string, Driver.CommittedOffset>()
        for (const { name, partitions } of groups[0]?.topics ?? []) {
          for (const { committedOffset, metadata, partitionIndex } of partitions) {
            if (committedOffset < 0n) continue
            const key = TopicPartition.format({ topic: name, partition: partitionIndex })
            found.set(key, { offset: Offset.offsetUnsafe(committedOffset), metadata })
          }
        }
        return found
      })
    )

  const offsets = (
    partitions: ReadonlyArray<TopicPartition.TopicPartition>,
    at: "earliest" | "latest" | "end"
  ): Effect.Effect<ReadonlyMap<string, Offset.Offset>, Failure> =>
    Effect.gen(function*() {
      const byLeader = new Map<number, Array<TopicPartition.TopicPartition>>()
      for (const tp of partitions) {
        const leader = (yield* cluster.topic(tp.topic)).leaders[tp.partition]
        if (leader === undefined || leader < 0) {
          cluster.forgetTopic(tp.topic)
          return yield* Effect.fail(answered("Metadata", leader === undefined ? 3 : 5, tp))
        }
        const group = byLeader.get(leader)
        if (group === undefined) byLeader.set(leader, [tp])
        else group.push(tp)
      }
      const found = new Map<string, Offset.Offset>()
      for (const [leader, group] of byLeader) {
        const { topics } = yield* Effect.flatMap(cluster.connection(pool, leader), (to) =>
          cluster.ask(to, Apis.ListOffsets, {
            replicaId: -1,
            // The last stable offset is where a reader of committed records ends.
            isolationLevel: at === "end" ? 0 : 1,
            topics: byTopic(group).map(({ name, partitions }) => ({
              name,
              partitions: partitions.map((partitionIndex) => ({
                partitionIndex,
                timestamp: at === "earliest" ? -2n : -1n
              }))
            }))
          }))
        for (const { name, partitions } of topics) {
          for (const { errorCode, offset, partitionIndex } of partitions) {
            if (errorCode !== 0) {
              cluster.forgetTopic(name)
              return yield* Effect.fail(
                answered("ListOffsets", errorCode, { topic: name, partition: partitionIndex })
              )
            }
            found.set(
              TopicPartition.format({ topic: name, partition: partitionIndex }),
              Offset.offsetUnsafe(offset)
            )
          }
        }
      }
      return found
    })

  return {
    partitions: (topic) => asked("partitions", Effect.map(cluster.topic(topic, true), ({ leaders }) => leaders.length)),
    committed: (groupId, partitions) =>
      partitions.length === 0 ? Effect.succeed(new Map()) : asked("committed", committed(groupId, partitions)),
    offsets: (partitions, at) => asked("offsets", offsets(partitions, at))
  }
}
