import { type Driver, Offset, TopicPartition } from "@exactly-once/core"
import { Effect, Latch } from "effect"
import { valueOf } from "./kafka.ts"

/** What a member was told, in order, and what it does when it is told. */
export interface Script {
  readonly groupId: string
  readonly topics: ReadonlyArray<string>
  readonly member?: Driver.ConsumerOptions["member"]
  readonly starts?: (tp: TopicPartition.TopicPartition) => bigint
  readonly onAssigned?: Effect.Effect<void, Driver.DriverError>
  readonly onRevoking?: Effect.Effect<void>
  readonly options?: Partial<Driver.ConsumerOptions>
}

export interface Member {
  readonly consumer: Driver.GroupConsumer
  readonly log: Array<string>
  /** Completes when the log has an entry that matches. */
  readonly told: (pattern: RegExp) => Effect.Effect<void>
  readonly assigned: () => ReadonlyArray<string>
}

/** A consumer that keeps a log of its callbacks. */
export const join = (driver: Driver.Driver["Service"], script: Script) =>
  Effect.gen(function*() {
    const log: Array<string> = []
    const changed = Latch.makeUnsafe(false)
    let assigned: ReadonlyArray<string> = []
    const note = (entry: string) =>
      Effect.sync(() => {
        log.push(entry)
        changed.openUnsafe()
      })
    const names = (partitions: ReadonlyArray<TopicPartition.TopicPartition>) =>
      partitions.map((tp) => String(tp.partition)).join(",")
    const consumer = yield* driver.consumer({
      groupId: script.groupId,
      topics: script.topics,
      sessionTimeoutMs: 6_000,
      rebalanceTimeoutMs: 10_000,
      heartbeatIntervalMs: 200,
      maxBytesPerPartition: 1_048_576,
      maxWaitMs: 500,
      unreleasedPerPartition: 1,
      member: script.member,
      onAssigned: (partitions) =>
        Effect.gen(function*() {
          yield* note(`assigning ${names(partitions)}`)
          if (script.onAssigned !== undefined) yield* script.onAssigned
          assigned = partitions.map(TopicPartition.format)
          yield* note(`assigned ${names(partitions)}`)
          return partitions.map((tp) => ({ ...tp, offset: Offset.Offset.make(script.starts?.(tp) ?? 0n) }))
        }),
      onRevoking: (partitions) =>
        Effect.gen(function*() {
          yield* note(`revoking ${names(partitions)}`)
          if (script.onRevoking !== undefined) yield* script.onRevoking
          assigned = []
          yield* note(`revoked ${names(partitions)}`)
        }),
      onLost: (partitions) =>
        Effect.suspend(() => {
          assigned = []
          return note(`lost ${names(partitions)}`)
        }),
      ...script.options
    })
    const told = (pattern: RegExp): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (log.some((entry) => pattern.test(entry))) return Effect.void
        changed.closeUnsafe()
        return Effect.andThen(changed.await, told(pattern))
      })
    const member: Member = { consumer, log, told, assigned: () => assigned }
    return member
  })

/** Values in the order of their delivery until there are `count`, each batch released when `each` has ended. */
export const take = (
  { consumer }: Member,
  count: number,
  each: (batch: Driver.FetchedBatch) => Effect.Effect<void, Driver.DriverError> = () => Effect.void
) =>
  Effect.gen(function*() {
    const values: Array<string> = []
    while (values.length < count) {
      for (const batch of yield* consumer.poll) {
        for (const read of batch.records) values.push(valueOf(read))
        yield* each(batch)
        yield* consumer.release(batch)
      }
    }
    return values
  })
