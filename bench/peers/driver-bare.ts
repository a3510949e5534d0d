/**
 * The driver that `DRIVER` names without the layers of `core`: poll, send, offsets, commit, release. Right on a sunny day
 * only (nothing here aborts, rewinds or checks an assignment); what the layers add is measured against it.
 */
import { Driver, TopicPartition } from "@exactly-once/core"
import { Deferred, Effect, References, Scope, Semaphore } from "effect"
import { driverFor } from "../../examples/driver.ts"
import { answerCopy, settings } from "./contract.ts"
import { transform } from "./transform.ts"

const { brokers, group, input, output, records } = settings

const copy = Effect.gen(function*() {
  const driver = yield* Driver.Driver
  const producers = new Map<string, Driver.TransactionalProducer>()
  const done = yield* Deferred.make<void, Driver.DriverError>()
  const scope = yield* Effect.scope
  const running = yield* Semaphore.make(16)
  let first = 0
  let copied = 0
  let txns = 0

  const producerOf = (tp: TopicPartition.TopicPartition) =>
    Effect.gen(function*() {
      const key = TopicPartition.format(tp)
      const known = producers.get(key)
      if (known !== undefined) return known
      const made = yield* driver.transactionalProducer({
        transactionalId: `bench-${group}-${key}`,
        transactionTimeoutMs: 10_000,
        compression: "none"
      })
      yield* made.init("Takeover")
      producers.set(key, made)
      return made
    }).pipe(Scope.provide(scope))

  const consumer = yield* driver.consumer({
    groupId: group,
    topics: [input],
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 60_000,
    heartbeatIntervalMs: 3_000,
    maxBytesPerPartition: 1_048_576,
    maxWaitMs: 500,
    unreleasedPerPartition: 1,
    member: undefined,
    onAssigned: (partitions) =>
      Effect.gen(function*() {
        for (const tp of partitions) yield* producerOf(tp)
        const starts = yield* driver.admin.offsets(partitions, "earliest")
        return partitions.flatMap((tp) => {
          const offset = starts.get(TopicPartition.format(tp))
          return offset === undefined ? [] : [{ ...tp, offset }]
        })
      }),
    onRevoking: () => Effect.void,
    onLost: () => Effect.void
  })

  const transact = (batch: Driver.FetchedBatch) =>
    Effect.gen(function*() {
      if (first === 0) first = Date.now()
      const { nextOffset: offset, partition, topic } = batch
      const producer = yield* producerOf({ topic, partition })
      const transaction = yield* producer.begin
      yield* transaction.send(
        output,
        batch.records.map(({ key, value }) => ({ key, value: value === null ? null : transform(value) }))
      )
      yield* transaction.flush
      yield* transaction.sendOffsets({
        groupId: group,
        delivery: batch.delivery,
        offsets: [{ topic, partition, offset, metadata: "bench" }]
      })
      yield* transaction.commit
      yield* consumer.release(batch)
      copied += batch.records.length
      txns++
      if (copied >= records) yield* Deferred.succeed(done, undefined)
    })

  yield* Effect.forkScoped(
    Effect.forever(Effect.flatMap(consumer.poll, (batches) =>
      Effect.forEach(batches, (batch) =>
        Effect.forkIn(
          running.withPermits(1)(transact(batch)).pipe(Effect.catch((error) => Deferred.fail(done, error))),
          scope
        ), { discard: true })))
  )
  yield* Deferred.await(done)
  answerCopy(first, copied, txns)
})

await Effect.runPromise(
  Effect.scoped(copy).pipe(
    Effect.provide(driverFor(brokers.join(","))),
    Effect.provideService(References.MinimumLogLevel, "Error")
  )
)
