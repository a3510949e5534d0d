/**
 * The idempotent producer: no transaction.
 *
 * A batch whose answer was lost is sent again with the same producer id, sequence, partition and bytes: the broker knows
 * it and answers with the first copy's offset. When that does not help within the delivery timeout, or when the broker
 * sees a gap, the producer id is given up, since sequences after a batch of unknown outcome would mean nothing.
 */
import { type Driver, Offset, TopicPartition } from "@exactly-once/core"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Semaphore from "effect/Semaphore"
import { type Failure, toDriverError } from "./classify.ts"
import { Outbox, type Piece, refusedRecord } from "./outbox.ts"
import { makePartitioner } from "./partitioner.ts"
import { poll } from "./poll.ts"
import { type Appended, produce } from "./produce.ts"
import { nextSequence, writeBatch } from "./recordWriter.ts"
import { compressionOf, type ProducerEnvironment } from "./transactionalProducer.ts"
import { type Identity, initIdempotent } from "./transactionRequests.ts"

/** Leaders that move, replicas that lag, and lost answers: the same bytes may go out again. */
const repeatable = (failure: Failure): boolean =>
  failure.code === undefined || [3, 5, 6, 7, 9, 13, 19, 20, 56, 74].includes(failure.code)

export const makeIdempotentProducer = (
  environment: ProducerEnvironment,
  options: Driver.IdempotentProducerOptions
): Effect.Effect<Driver.IdempotentHandle, Driver.DriverError> =>
  Effect.gen(function*() {
    const { wire } = environment
    const compression = yield* compressionOf("idempotentProducer", environment.codecs, options.compression)
    const random = yield* Random.Random
    const partitioner = makePartitioner(() => random.nextDoubleUnsafe())
    const serial = yield* Semaphore.make(1)
    let identity: Identity | undefined
    const sequences = new Map<string, number>()

    const renew = () => {
      identity = undefined
      sequences.clear()
    }

    const acquire = Effect.suspend(() =>
      identity !== undefined
        ? Effect.succeed(identity)
        : Effect.map(initIdempotent(wire, options.deliveryTimeoutMs), (found) => identity = found)
    )

    const sendRound = (round: ReadonlyArray<Piece>): Effect.Effect<ReadonlyArray<Appended>, Failure> =>
      Effect.gen(function*() {
        const own = yield* acquire
        const now = yield* Clock.currentTimeMillis
        const batches = round.map((piece) => {
          const firstSequence = sequences.get(TopicPartition.format(piece)) ?? 0
          const bytes = writeBatch(piece.records, { ...own, firstSequence, transactional: false, now, compression })
          return { topic: piece.topic, partition: piece.partition, bytes }
        })
        let uncertain = false
        const appended = yield* poll(
          produce(wire, null, environment.requestTimeout, batches).pipe(
            Effect.tapError((failure) =>
              Effect.sync(() => {
                if (failure.sent && (failure.code === undefined || failure.code === 7 || failure.code === 20)) {
                  uncertain = true
                }
              })
            )
          ),
          { budget: options.deliveryTimeoutMs, again: repeatable }
        ).pipe(
          // Once a copy may have been written, no later refusal makes it unwritten.
          Effect.mapError((failure): Failure =>
            uncertain ? { ...failure, code: undefined, sent: true, cause: failure.cause ?? failure } : failure
          )
        )
        for (const piece of round) {
          const key = TopicPartition.format(piece)
          sequences.set(key, nextSequence(sequences.get(key) ?? 0, piece.records.length))
        }
        return appended
      })

    const send: Driver.IdempotentHandle["send"] = (topic, records) =>
      serial.withPermit(
        Effect.gen(function*() {
          const outbox = new Outbox(environment.limits, partitioner)
          const refused = outbox.add(topic, records, yield* wire.topic(topic))
          if (refused !== undefined) {
            return yield* refusedRecord(topic, refused)
          }
          const placed = new Array<TopicPartition.TopicPartition & { readonly offset: Offset.Offset }>(records.length)
          for (const round of outbox.drain()) {
            const answers = yield* sendRound(round).pipe(
              // an interruption leaves a sequence open, like a failure
              Effect.onExit((exit) => Effect.sync(() => exit._tag === "Failure" ? renew() : undefined))
            )
            round.forEach((piece, i) => {
              const baseOffset = answers[i]?.baseOffset ?? -1n
              piece.indices.forEach((index, n) => {
                const offset = Offset.offsetUnsafe(baseOffset < 0n ? -1n : baseOffset + BigInt(n))
                placed[index] = { topic, partition: piece.partition, offset }
              })
            })
          }
          return placed
        }).pipe(
          Effect.mapError((failure) => failure._tag === "Failure" ? toDriverError("send", failure, "write") : failure)
        )
      )

    return { send }
  })
