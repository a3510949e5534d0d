/**
 * The producer of one transactional.id.
 *
 * Requests go out one after the other, with the sequence numbers and partitions that this file chose, and none is sent
 * again once its outcome is unknown. The first failure poisons the transaction: it can only be aborted, and a new epoch
 * comes before the next one, so that a delayed Produce or EndTxn of the old epoch cannot land in it.
 */
import { Driver, TopicPartition } from "@exactly-once/core"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Semaphore from "effect/Semaphore"
import { type Failure, toDriverError } from "./classify.ts"
import type { Codec, Registry } from "./compression.ts"
import { type Limits, Outbox, type Piece, refusedRecord } from "./outbox.ts"
import { makePartitioner } from "./partitioner.ts"
import { produce } from "./produce.ts"
import { nextSequence, writeBatch } from "./recordWriter.ts"
import * as Requests from "./transactionRequests.ts"
import type { Wire } from "./wire.ts"

export interface ProducerEnvironment {
  readonly wire: Wire
  readonly codecs: Registry
  readonly limits: Limits
  readonly requestTimeout: number
  /** Bytes that wait in a transaction before `send` itself sends them. */
  readonly maxQueuedBytes: number
  readonly unsafeResend: boolean
}

type State = "NeedsInit" | "Ready" | "Open"

const abortTimeout = 5_000

/** The codec of a compression setting; `Misconfigured` when none is registered. */
export const compressionOf = (
  operation: string,
  codecs: Registry,
  name: Driver.Compression
): Effect.Effect<{ readonly id: number; readonly codec: Codec } | undefined, Driver.DriverError> => {
  if (name === "none") return Effect.succeed(undefined)
  const codec = codecs.find(name)
  return codec === undefined
    ? Effect.fail(
      new Driver.DriverError({
        operation,
        failure: "Misconfigured",
        setting: "compression",
        description: `compression "${name}" has no codec: pass one as a \`codecs\` option, or use ${
          codecs.names.join(", ")
        }`
      })
    )
    : Effect.succeed({ id: codecs.id(name), codec })
}

export const makeTransactionalProducer = (
  environment: ProducerEnvironment,
  options: Driver.TransactionalProducerOptions
): Effect.Effect<Driver.TransactionalProducer, Driver.DriverError> =>
  Effect.gen(function*() {
    const { transactionTimeoutMs, transactionalId } = options
    const { wire } = environment
    const compression = yield* compressionOf("transactionalProducer", environment.codecs, options.compression)
    const random = yield* Random.Random
    const partitioner = makePartitioner(() => random.nextDoubleUnsafe())
    // No request of this producer overlaps another, whatever the fibers of its user do (H1).
    const serial = yield* Semaphore.make(1)
    let state: State = "NeedsInit"
    let identity: Requests.Identity = { producerId: -1n, epoch: -1 }
    let sequences = new Map<string, number>()
    let renewBeforeBegin = false

    const init = serial.withPermit(Effect.suspend(() => {
      state = "NeedsInit"
      return Requests.initTransactional(wire, transactionalId, transactionTimeoutMs, transactionTimeoutMs + 10_000)
        .pipe(
          Effect.map((found) => {
            identity = found
            sequences = new Map()
            renewBeforeBegin = false
            state = "Ready"
            return found
          }),
          Effect.mapError((failure) => toDriverError("init", failure, "write"))
        )
    }))

    const makeHandle = (): Driver.TransactionHandle => {
      const transaction: Requests.Transaction = { wire, transactionalId, identity, budget: environment.requestTimeout }
      const outbox = new Outbox(environment.limits, partitioner)
      const registered = new Set<string>()
      const groups = new Set<string>()
      // Set before the first request that may open the transaction at its coordinator (R13, R19).
      let touched = false
      let ended = false
      let committing = false
      let poison: Driver.DriverError | undefined

      const refuse = (operation: string, description: string, failure: Driver.FailureClass = "Abortable") =>
        new Driver.DriverError({ operation, failure, description })

      /** Runs alone; any exit but success, an interruption too, poisons the transaction (R3). */
      const step = (
        operation: string,
        effect: Effect.Effect<void, Failure | Driver.DriverError>
      ): Effect.Effect<void, Driver.DriverError> =>
        serial.withPermit(Effect.suspend(() => {
          if (ended) return Effect.fail(refuse(operation, "the transaction has ended", "Fatal"))
          if (poison !== undefined) {
            return Effect.fail(refuse(
              operation,
              `an earlier step of this transaction failed, it can only be aborted: ${poison.message}`,
              poison.failure === "Fenced" ? "Fenced" : "Abortable"
            ))
          }
          return effect.pipe(
            Effect.mapError((failure) =>
              failure._tag === "Failure" ? toDriverError(operation, failure, "write") : failure
            ),
            Effect.onExit((exit) =>
              Effect.sync(() => {
                if (Exit.isSuccess(exit)) return
                const failed = exit.cause.reasons.find((reason) => reason._tag === "Fail")
                poison = failed !== undefined && failed._tag === "Fail"
                  ? failed.error
                  : refuse(operation, "it was interrupted")
                outbox.clear()
              })
            )
          )
        }))

      const register = (rounds: ReadonlyArray<ReadonlyArray<Piece>>): Effect.Effect<void, Failure> =>
        Effect.suspend(() => {
          const fresh = (rounds[0] ?? []).filter((piece) => !registered.has(TopicPartition.format(piece)))
          if (fresh.length === 0) return Effect.void
          touched = true
          const topics = [...Map.groupBy(fresh, ({ topic }) => topic)]
            .map(([topic, pieces]) => ({ topic, partitions: pieces.map(({ partition }) => partition) }))
          return Effect.andThen(
            Effect.tapError(Requests.addPartitions(transaction, topics), () =>
              Effect.sync(() => topics.forEach(({ topic }) => wire.forgetTopic(topic)))),
            Effect.sync(() =>
              fresh.forEach((piece) => registered.add(TopicPartition.format(piece)))
            )
          )
        })

      const sendRound = (round: ReadonlyArray<Piece>): Effect.Effect<unknown, Failure> =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const batches = round.map((piece) => {
            const key = TopicPartition.format(piece)
            const firstSequence = sequences.get(key) ?? 0
            sequences.set(key, nextSequence(firstSequence, piece.records.length))
            const bytes = writeBatch(piece.records, {
              ...identity,
              firstSequence,
              transactional: true,
              now,
              compression
            })
            return { topic: piece.topic, partition: piece.partition, bytes }
          })
          return produce(wire, transactionalId, environment.requestTimeout, batches)
        }).pipe(Effect.catchIf(
          (failure) => environment.unsafeResend && failure.code === undefined && failure.sent,
          () => sendRound(round)
        ))

      const drain: Effect.Effect<void, Failure> = Effect.suspend(() => {
        if (outbox.isEmpty) return Effect.void
        const rounds = outbox.drain()
        return Effect.andThen(register(rounds), Effect.forEach(rounds, sendRound, { discard: true }))
      })

      const take = (
        topic: string,
        records: ReadonlyArray<Driver.EncodedRecord>
      ): Effect.Effect<void, Failure | Driver.DriverError> =>
        Effect.flatMap(wire.topic(topic), (partitions): Effect.Effect<void, Failure | Driver.DriverError> => {
          const refused = outbox.add(topic, records, partitions)
          if (refused !== undefined) {
            return Effect.fail(refusedRecord(topic, refused))
          }
          return outbox.bytes >= environment.maxQueuedBytes ? drain : Effect.void
        })

      const commitOffsets = (offsets: Driver.TransactionOffsets): Effect.Effect<void, Failure> =>
        Effect.gen(function*() {
          yield* drain
          touched = true
          if (!groups.has(offsets.groupId)) {
            yield* Requests.addOffsets(transaction, offsets.groupId)
            groups.add(offsets.groupId)
          }
          yield* Requests.commitOffsets(transaction, offsets.groupId, offsets.offsets)
        })

      const end = (commit: boolean): Effect.Effect<void, Failure> =>
        Effect.suspend(() => {
          // What follows decides; until it has, nothing may begin on this epoch.
          state = "NeedsInit"
          const done = (repeated: boolean) => {
            ended = true
            if (poison === undefined) {
              state = "Ready"
              renewBeforeBegin = repeated
            }
          }
          if (!touched) return Effect.sync(() => done(false))
          committing = commit
          return Effect.map(Requests.endTransaction(transaction, commit), ({ repeated }) => done(repeated))
        })

      return {
        send: (topic, records) => records.length === 0 ? Effect.void : step("send", take(topic, records)),
        flush: step("flush", drain),
        sendOffsets: (offsets) =>
          offsets.offsets.length === 0 ? Effect.void : step("sendOffsets", commitOffsets(offsets)),
        commit: step("commit", Effect.andThen(drain, end(true))),
        abort: Effect.asVoid(serial.withPermit(Effect.suspend((): Effect.Effect<unknown, Driver.DriverError> => {
          // After a commit whose answer was lost an abort could only muddy the outcome: the next init settles it.
          if (ended || committing) return Effect.sync(() => ended = true)
          outbox.clear()
          return end(false).pipe(
            Effect.mapError((failure) => toDriverError("abort", failure, "write")),
            Effect.timeoutOrElse({
              duration: abortTimeout,
              orElse: () =>
                Effect.fail(refuse(
                  "abort",
                  `EndTxn was not answered within ${abortTimeout} ms; the coordinator aborts at the transaction timeout`,
                  "UnknownOutcome"
                ))
            }),
            Effect.onExit(() => Effect.sync(() => ended = true))
          )
        })))
      }
    }

    return {
      transactionalId,
      init: () => init,
      begin: Effect.suspend(() => {
        const ready = state === "Ready" && renewBeforeBegin ? Effect.asVoid(init) : Effect.void
        return Effect.flatMap(ready, () => {
          if (state !== "Ready") {
            return Effect.fail(
              new Driver.DriverError({
                operation: "begin",
                failure: "Fatal",
                description: state === "Open"
                  ? `the transaction of "${transactionalId}" has not ended yet`
                  : `"${transactionalId}" needs init first: it has no epoch, or its last transaction did not end cleanly`
              })
            )
          }
          state = "Open"
          return Effect.succeed(makeHandle())
        })
      })
    }
  })
