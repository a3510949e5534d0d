/**
 * The idempotent producer: no transaction. Callers' records go out in the order of their calls, several requests in flight;
 * while the brokers are busy, batches go on growing.
 *
 * When a batch fails for good the producer id is given up with everything behind it, since sequences after a batch of
 * unknown outcome would mean nothing.
 */
import { type Driver, Offset, type TopicPartition } from "@exactly-once/core"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { type Failure, toDriverError, unanswered } from "../network/failure.ts"
import { makePartitioner } from "./partitioner.ts"
import { BuilderPool } from "./PartitionQueue.ts"
import { initIdempotent } from "./requests.ts"
import { Sender } from "./Sender.ts"
import { compressionTypes, type ProducerEnvironment } from "./transactionalProducer.ts"
import { findTopic, refuse } from "./transactionState.ts"

type Placed = TopicPartition.TopicPartition & { readonly offset: Offset.Offset }

/** One `send` under way. */
class Call {
  readonly placed: Array<Placed>
  readonly done = Deferred.makeUnsafe<void>()
  private left: number

  constructor(size: number) {
    this.placed = new Array<Placed>(size)
    this.left = size
  }

  place(indices: ReadonlyArray<number>, topic: string, partition: number, base: bigint): void {
    for (let i = 0; i < indices.length; i++) {
      const index = indices[i]
      if (index === undefined) continue
      const offset = Offset.offsetUnsafe(base < 0n ? -1n : base + BigInt(i))
      this.placed[index] = { topic, partition, offset }
    }
    this.left -= indices.length
    if (this.left === 0) Deferred.doneUnsafe(this.done, Effect.void)
  }
}

export const makeIdempotentProducer = (
  environment: ProducerEnvironment,
  options: Driver.IdempotentProducerOptions
): Effect.Effect<Driver.IdempotentHandle> =>
  Effect.gen(function*() {
    const { cluster, codecs, limits, pool } = environment
    const partitioner = makePartitioner(cluster.options.environment.random)
    const builders = new BuilderPool(16)
    const acquiring = yield* Semaphore.make(1)
    let current: Sender | undefined

    const acquire: Effect.Effect<Sender, Failure> = acquiring.withPermit(Effect.suspend(() => {
      if (current !== undefined && current.failure === undefined) return Effect.succeed(current)
      return Effect.map(initIdempotent(cluster, pool, options.deliveryTimeoutMs), ({ epoch, producerId }) =>
        current = new Sender({
          cluster,
          pool,
          transactionalId: null,
          maxVersion: 13,
          stamp: {
            producerId,
            producerEpoch: epoch,
            isTransactional: false,
            compression: compressionTypes[options.compression],
            codecs
          },
          sequences: new Map(),
          builders,
          partitioner,
          ...limits,
          requestTimeout: cluster.options.requestTimeout,
          deliveryTimeout: options.deliveryTimeoutMs,
          implicitAdd: true,
          onWritten: (segment, topic, partition, base) => {
            if (segment.call instanceof Call) {
              segment.call.place(segment.indices, topic, partition, base)
            }
          }
        }))
    }))

    // Callers take their turn until their records have a place in line; waiting for the brokers is side by side.
    const turn = yield* Semaphore.make(1)

    const send: Driver.IdempotentHandle["send"] = (topic, records) =>
      records.length === 0 ? Effect.succeed([]) : turn.withPermit(Effect.gen(function*() {
        const info = yield* findTopic(cluster, topic)
        const sender = yield* acquire
        yield* sender.until(() =>
          sender.bytes <= limits.maxQueuedBytes
        )
        const call = new Call(records.length)
        const refused = sender.add(info, records, call)
        if (refused !== undefined) {
          const description = `record ${refused.index} for topic "${topic}" cannot be sent: ${refused.why}`
          return yield* refuse("send", description, "InvalidRecord", topic)
        }
        sender.push("all")
        return { call, sender }
      })).pipe(
        Effect.flatMap(({ call, sender }) =>
          Effect.raceFirst(Deferred.await(call.done), sender.until(() => false)).pipe(
            Effect.mapError((failure): Failure =>
              sender.failedCalls.has(call)
                ? failure
                : unanswered("Produce", true, new Error("the producer id was given up after another batch failed"))
            ),
            Effect.as(call.placed)
          )
        ),
        Effect.mapError((failure) => failure._tag === "Failure" ? toDriverError("send", failure, "write") : failure)
      )

    return { send }
  })
