/** Records and members for tests. */
import { Driver, Offset, type TopicPartition } from "@exactly-once/core"
import { Effect, type Scope } from "effect"

const utf8 = new TextEncoder()
const text = new TextDecoder()

export const bytes = (value: string): Uint8Array => utf8.encode(value)

export const word = (value: Uint8Array | null): string | null => value === null ? null : text.decode(value)

export const words = (records: ReadonlyArray<{ readonly value: Uint8Array | null }>): ReadonlyArray<string | null> =>
  records.map(({ value }) => word(value))

/** Records of one key for partition 0. */
export const records = (...values: ReadonlyArray<string>) =>
  values.map((value) => ({ key: bytes("key"), value: bytes(value), partition: 0 }))

export const offset = (value: number): Offset.Offset => Offset.Offset.make(BigInt(value))

/** Commits the records in a transaction of their own. */
export const commit = (topic: string, sent: ReadonlyArray<Driver.EncodedRecord>, options: {
  readonly transactionalId?: string
  readonly compression?: Driver.Compression
  readonly end?: "commit" | "abort"
} = {}) =>
  Effect.gen(function*() {
    const driver = yield* Driver.Driver
    const producer = yield* driver.transactionalProducer({
      transactionalId: options.transactionalId ?? "filler",
      transactionTimeoutMs: 10_000,
      compression: options.compression ?? "none"
    })
    yield* producer.init("Takeover")
    const transaction = yield* producer.begin
    yield* transaction.send(topic, sent)
    yield* transaction.flush
    yield* options.end === "abort" ? transaction.abort : transaction.commit
  }).pipe(Effect.scoped)

/** A member that starts at the beginning and remembers what it was told. */
export const member = (
  driver: Driver.Driver["Service"],
  options: Partial<Driver.ConsumerOptions> = {}
): Effect.Effect<
  { readonly consumer: Driver.GroupConsumer; readonly told: Array<string> },
  Driver.DriverError,
  Scope.Scope
> =>
  Effect.gen(function*() {
    const told: Array<string> = []
    const names = (partitions: ReadonlyArray<TopicPartition.TopicPartition>) =>
      partitions.map(({ partition }) => partition).join(",")
    const consumer = yield* driver.consumer({
      groupId: "group",
      topics: ["in"],
      sessionTimeoutMs: 6_000,
      rebalanceTimeoutMs: 10_000,
      heartbeatIntervalMs: 50,
      maxBytesPerPartition: 1_048_576,
      maxWaitMs: 50,
      unreleasedPerPartition: 1,
      member: undefined,
      onAssigned: (partitions) =>
        Effect.sync(() => {
          told.push(`assigned ${names(partitions)}`)
          return partitions.map((tp) => ({ ...tp, offset: offset(0) }))
        }),
      onRevoking: (partitions) => Effect.sync(() => told.push(`revoking ${names(partitions)}`)),
      onLost: (partitions) => Effect.sync(() => told.push(`lost ${names(partitions)}`)),
      ...options
    })
    return { consumer, told }
  })

/** Polls until so many records were read; every batch is given back. */
export const read = (consumer: Driver.GroupConsumer, count: number) =>
  Effect.gen(function*() {
    const found: Array<Driver.FetchedRecord> = []
    while (found.length < count) {
      for (const batch of yield* consumer.poll) {
        found.push(...batch.records)
        yield* consumer.release(batch)
      }
    }
    return found
  })
