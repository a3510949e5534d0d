/**
 * Questions to the cluster: partitions, committed offsets, the ends of logs. None changes anything, none creates a topic.
 */
import { type Driver, Offset, TopicPartition } from "@exactly-once/core"
import * as Effect from "effect/Effect"
import { answered, type Failure, isCoordinatorMove, toDriverError } from "./classify.ts"
import { poll } from "./poll.ts"
import { askCoordinator } from "./transactionRequests.ts"
import { exchangeOf, type Wire } from "./wire.ts"

interface OffsetFetchResponse {
  readonly errorCode: number
  readonly responses: ReadonlyArray<{
    readonly topic: string
    readonly partitions: ReadonlyArray<{
      readonly partition: number
      readonly offset: string
      readonly metadata: string | null
      readonly errorCode: number
    }>
  }>
}

interface ListOffsetsResponse {
  readonly responses: ReadonlyArray<{
    readonly topic: string
    readonly partitions: ReadonlyArray<{
      readonly partition: number
      readonly errorCode: number
      readonly offset: string
    }>
  }>
}

const byTopic = (partitions: ReadonlyArray<TopicPartition.TopicPartition>) =>
  [...Map.groupBy(partitions, ({ topic }) => topic)].map(([topic, group]) => ({
    topic,
    partitions: group.map(({ partition }) => ({ partition }))
  }))

/** Reading again is always harmless. */
const transient = (failure: Failure): boolean =>
  failure.code === undefined || isCoordinatorMove(failure) || [5, 6, 9, 56, 72, 74, 75, 78].includes(failure.code)

const asked = <A>(operation: string, budget: number, effect: Effect.Effect<A, Failure>) =>
  poll(effect, { budget, again: transient }).pipe(
    Effect.mapError((failure) => toDriverError(operation, failure, "read"))
  )

export const makeAdmin = (wire: Wire, budget: number): Driver.DriverAdmin => {
  const committed = (groupId: string, partitions: ReadonlyArray<TopicPartition.TopicPartition>) =>
    askCoordinator<OffsetFetchResponse>(
      wire,
      "group",
      groupId,
      "OffsetFetch",
      { groupId, topics: byTopic(partitions) },
      (response) => {
        if (response.errorCode !== 0) return answered("OffsetFetch", response.errorCode)
        for (const { partitions, topic } of response.responses) {
          for (const { errorCode, partition } of partitions) {
            if (errorCode !== 0) return answered("OffsetFetch", errorCode, { topic, partition })
          }
        }
        return undefined
      }
    ).pipe(
      Effect.map(({ responses }) => {
        const found = new Map<string, Driver.CommittedOffset>()
        for (const { partitions, topic } of responses) {
          for (const { metadata, offset, partition } of partitions) {
            const value = BigInt(offset)
            if (value >= 0n) {
              found.set(TopicPartition.format({ topic, partition }), { offset: Offset.offsetUnsafe(value), metadata })
            }
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
        const leader = (yield* wire.topic(tp.topic)).find(({ partition }) => partition === tp.partition)?.leader
        if (leader === undefined || leader < 0) {
          wire.forgetTopic(tp.topic)
          return yield* Effect.fail(answered("Metadata", leader === undefined ? 3 : 5, tp))
        }
        byLeader.set(leader, [...byLeader.get(leader) ?? [], tp])
      }
      const found = new Map<string, Offset.Offset>()
      for (const [leader, group] of byLeader) {
        const { responses } = yield* Effect.flatMap(wire.node(leader), (link) =>
          wire.ask(
            link,
            exchangeOf<ListOffsetsResponse>("ListOffsets", {
              isolationLevel: at === "end" ? 0 : 1,
              topics: byTopic(group).map(({ partitions, topic }) => ({
                topic,
                partitions: partitions.map((tp) => ({ ...tp, timestamp: at === "earliest" ? -2 : -1 }))
              }))
            })
          ))
        for (const { partitions, topic } of responses) {
          for (const { errorCode, offset, partition } of partitions) {
            if (errorCode !== 0) {
              wire.forgetTopic(topic)
              return yield* Effect.fail(answered("ListOffsets", errorCode, { topic, partition }))
            }
            found.set(TopicPartition.format({ topic, partition }), Offset.offsetUnsafe(BigInt(offset)))
          }
        }
      }
      return found
    })

  return {
    partitions: (topic) => asked("partitions", budget, Effect.map(wire.topic(topic, true), ({ length }) => length)),
    committed: (groupId, partitions) =>
      partitions.length === 0
        ? Effect.succeed(new Map())
        : asked("committed", budget, committed(groupId, partitions)),
    offsets: (partitions, at) => asked("offsets", budget, offsets(partitions, at))
  }
}
