/**
 * The producer of one transactional.id, with transactions of version 2 (KIP-890) where the cluster has finalized them and
 * of version 1 elsewhere.
 *
 * The first failure poisons the transaction: it can only be aborted, and a new epoch comes before the next one, so that
 * nothing of the old epoch that is still on its way can land in it. With version 2 the end itself brings that epoch.
 */
import type { Driver } from "@exactly-once/core"
import type { Codecs } from "@exactly-once/protocol"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Semaphore from "effect/Semaphore"
import type { Cluster } from "../network/Cluster.ts"
import { type Failure, toDriverError } from "../network/failure.ts"
import { makePartitioner } from "./partitioner.ts"
import { BuilderPool } from "./PartitionQueue.ts"
import * as Requests from "./requests.ts"
import { Sender } from "./Sender.ts"
import { findTopic, poisonOf, refuse, type State } from "./transactionState.ts"

export interface ProducerEnvironment {
  readonly cluster: Cluster
  /** The connections this producer shares with others. */
  readonly pool: string
  readonly codecs: Codecs.Codecs
  readonly limits: {
    readonly maxBatchBytes: number
    readonly maxRecordBytes: number
    readonly maxRequestBytes: number
    /** Bytes that a producer holds before `send` waits. */
    readonly maxQueuedBytes: number
  }
}

/** The types of compression as batches number them. */
export const compressionTypes: Readonly<Record<Driver.Compression, number>> = {
  none: 0,
  gzip: 1,
  snappy: 2,
  lz4: 3,
  zstd: 4
}

const invalidEpoch = 47
const producerFenced = 90

const abortBudget = 5_000
/** How long an abort waits for the answers of what is on the wire. */
const quietBudget = 1_000

export const makeTransactionalProducer = (
  environment: ProducerEnvironment,
  options: Driver.TransactionalProducerOptions
): Effect.Effect<Driver.TransactionalProducer> =>
  Effect.gen(function*() {
    const { transactionTimeoutMs, transactionalId } = options
    const { cluster, codecs, limits, pool } = environment
    const { requestTimeout } = cluster.options
    const partitioner = makePartitioner(cluster.options.environment.random)
    const builders = new BuilderPool(16)
    // No request of this producer overlaps another, whatever the fibers of its user do.
    const serial = yield* Semaphore.make(1)
    let state: State = "NeedsInit"
    let identity: Requests.Identity | undefined
    let v2 = false
    let sequences = new Map<string, number>()
    /** With version 1: something of this epoch may still be on its way (R23). */
    let renewBeforeBegin = false
    /** With version 1: the transaction that the coordinator may still count as open. `sure`: nobody asked to end it. */
    let standing: { readonly since: number; sure: boolean } | undefined
    const stand = (sure: boolean) => {
      standing ??= { since: cluster.options.environment.now(), sure }
      if (sure) standing.sure = true
    }

    const adopt = (found: Requests.Identity) => {
      if (found.producerId !== identity?.producerId || found.epoch !== identity.epoch) sequences = new Map()
      identity = found
      renewBeforeBegin = false
    }

    const requester = (own: Requests.Identity): Requests.Requester => ({
      cluster,
      pool,
      transactionalId,
      identity: own,
      v2,
      budget: requestTimeout
    })

    /** A coordinator with version 1 fences whoever asks for a new epoch while its transaction is open: so it ends first. */
    const endBeforeInit = (own: Requests.Identity): Effect.Effect<void> =>
      v2 || standing === undefined
        ? Effect.void
        : Effect.ignore(Requests.endTransaction(requester(own), false, abortBudget))

    /** The coordinator ended the transaction when its time was over: that is no newer owner, and its epoch is ours. */
    const ownTimeout = (own: Requests.Identity): Effect.Effect<Requests.Identity | undefined, Failure> => {
      if (v2 || standing === undefined) return Effect.undefined
      const elapsed = cluster.options.environment.now() - standing.since
      return standing.sure || elapsed >= transactionTimeoutMs
        ? Requests.timedOutIdentity({ cluster, pool, transactionalId }, own, requestTimeout)
        : Effect.undefined
    }

    const ask = (own: Requests.Identity | undefined) =>
      Requests.initTransactional(
        { cluster, pool, transactionalId },
        own,
        transactionTimeoutMs,
        transactionTimeoutMs + 10_000
      )

    const initOnce = (mode: "Takeover" | "Own"): Effect.Effect<Requests.Identity, Failure> =>
      Effect.gen(function*() {
        state = "NeedsInit"
        const own = mode === "Own" ? identity : undefined
        if (own !== undefined) yield* endBeforeInit(own)
        const found = yield* ask(own).pipe(
          Effect.catch((failure) =>
            own === undefined || (failure.code !== producerFenced && failure.code !== invalidEpoch)
              ? Effect.fail(failure)
              : Effect.flatMap(
                Effect.orElseSucceed(ownTimeout(own), () => undefined),
                (ended) => ended === undefined ? Effect.fail(failure) : ask(ended)
              )
          )
        )
        v2 = cluster.transactionVersion() >= 2
        adopt(found)
        standing = undefined
        state = "Ready"
        return found
      })

    const makeHandle = (own: Requests.Identity): Driver.TransactionHandle => {
      const asking = requester(own)
      const sender = new Sender({
        cluster,
        pool,
        transactionalId,
        maxVersion: v2 ? 13 : 11,
        stamp: {
          producerId: own.producerId,
          producerEpoch: own.epoch,
          isTransactional: true,
          compression: compressionTypes[options.compression],
          codecs
        },
        sequences,
        builders,
        partitioner,
        ...limits,
        requestTimeout,
        deliveryTimeout: transactionTimeoutMs,
        implicitAdd: v2,
        onWritten: undefined
      })
      const groups = new Set<string>()
      // Set before the first request that may open the transaction at its coordinator (R13, R19).
      let asked = false
      let ended = false
      let committing = false
      let poison: Driver.DriverError | undefined

      /** Runs alone; any exit but success, an interruption too, poisons the transaction (R3). */
      const step = (
        operation: string,
        effect: Effect.Effect<void, Failure | Driver.DriverError>
      ): Effect.Effect<void, Driver.DriverError> =>
        serial.withPermit(Effect.suspend(() => {
          if (ended) return Effect.fail(refuse(operation, "the transaction has ended", "Fatal"))
          if (poison !== undefined) return Effect.fail(poisonOf(operation, poison))
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
                sender.stop()
              })
            )
          )
        }))

      /** With version 1 the coordinator hears of partitions before anything is written to them. */
      const admit: Effect.Effect<void, Failure> = Effect.suspend(() => {
        const fresh = v2 ? [] : sender.unadmitted()
        if (fresh.length === 0) return Effect.void
        asked = true
        stand(false)
        return Effect.map(Requests.addPartitions(asking, fresh), () => {
          stand(true)
          for (const partition of fresh) partition.admitted = true
        })
      })

      const take = (topic: string, records: ReadonlyArray<Driver.EncodedRecord>) =>
        Effect.flatMap(
          findTopic(cluster, topic),
          (info): Effect.Effect<void, Failure | Driver.DriverError> => {
            const refused = sender.add(info, records)
            if (refused !== undefined) {
              const description = `record ${refused.index} for topic "${topic}" cannot be sent: ${refused.why}`
              return Effect.fail(refuse("send", description, "InvalidRecord", topic))
            }
            if (!sender.hasSealed) return sender.failure === undefined ? Effect.void : Effect.fail(sender.failure)
            const crowded = sender.bytes > limits.maxQueuedBytes
            return admit.pipe(
              Effect.andThen(Effect.sync(() => sender.push("full"))),
              Effect.andThen(sender.until(() => !crowded || sender.bytes <= limits.maxQueuedBytes / 2))
            )
          }
        )

      const drain: Effect.Effect<void, Failure> = Effect.suspend(() => {
        if (sender.isEmpty) return sender.failure === undefined ? Effect.void : Effect.fail(sender.failure)
        return admit.pipe(
          Effect.andThen(Effect.sync(() => sender.push("all"))),
          Effect.andThen(sender.until(() => sender.isEmpty))
        )
      })

      const commitOffsets = (offsets: Driver.TransactionOffsets): Effect.Effect<void, Failure> =>
        Effect.gen(function*() {
          yield* drain
          asked = true
          stand(false)
          if (!v2 && !groups.has(offsets.groupId)) {
            yield* Requests.addOffsets(asking, offsets.groupId)
            groups.add(offsets.groupId)
            stand(true)
          }
          yield* Requests.commitOffsets(asking, offsets)
        })

      const end = (commit: boolean, budget: number): Effect.Effect<void, Failure> =>
        Effect.suspend(() => {
          // What follows decides; until it has, nothing may begin on this epoch.
          state = "NeedsInit"
          const touched = asked || sender.touched
          if (!touched) {
            ended = true
            if (poison === undefined) state = "Ready"
            return Effect.void
          }
          committing = commit
          if (standing !== undefined) standing.sure = false
          return Requests.endTransaction(asking, commit, budget).pipe(
            Effect.catch((failure) =>
              // Nothing was open, or it has ended: that is what an abort wants.
              !commit && failure.code === 48
                ? Effect.succeed({ identity: own, repeated: true })
                : Effect.fail(failure)
            ),
            Effect.map((done) => {
              ended = true
              standing = undefined
              adopt(done.identity)
              const bumped = done.identity !== own
              if (!bumped && (done.repeated || !sender.isQuiet || poison !== undefined)) renewBeforeBegin = true
              if (poison === undefined) state = "Ready"
            })
          )
        })

      return {
        send: (topic, records) => records.length === 0 ? Effect.void : step("send", take(topic, records)),
        flush: step("flush", drain),
        sendOffsets: (offsets) =>
          offsets.offsets.length === 0 ? Effect.void : step("sendOffsets", commitOffsets(offsets)),
        commit: step("commit", Effect.andThen(drain, end(true, requestTimeout))),
        abort: serial.withPermit(Effect.suspend(() => {
          // After a commit whose answer was lost an abort could only muddy the outcome: the next init settles it.
          if (ended || committing) return Effect.sync(() => ended = true)
          sender.stop()
          return Effect.timeoutOrElse(sender.quiet, { duration: quietBudget, orElse: () => Effect.void }).pipe(
            Effect.andThen(end(false, abortBudget)),
            Effect.mapError((failure) => toDriverError("abort", failure, "write")),
            Effect.onExit(() => Effect.sync(() => ended = true))
          )
        })).pipe(Effect.asVoid)
      }
    }

    const init = (mode: "Takeover" | "Own") =>
      serial.withPermit(
        Effect.mapError(initOnce(mode), (failure) => toDriverError("init", failure, "write"))
      )

    return {
      transactionalId,
      init,
      begin: Effect.suspend(() => state === "Ready" && renewBeforeBegin ? Effect.asVoid(init("Own")) : Effect.void)
        .pipe(
          Effect.flatMap(() => {
            if (state !== "Ready" || identity === undefined) {
              return Effect.fail(refuse(
                "begin",
                state === "Open"
                  ? `the transaction of "${transactionalId}" has not ended yet`
                  : `"${transactionalId}" needs init first: it has no epoch, or its last transaction did not end cleanly`,
                "Fatal"
              ))
            }
            state = "Open"
            return Effect.succeed(makeHandle(identity))
          })
        )
    }
  })
