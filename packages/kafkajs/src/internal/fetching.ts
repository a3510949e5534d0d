/**
 * Keeps every assigned partition one batch ahead: one request at a time per broker, for the partitions that have nothing
 * waiting. A partition whose batch is out does not hold the others up, as it would in kafkajs's own loop.
 */
import { Driver, Offset, type Positions, TopicPartition } from "@exactly-once/core"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import { answered, type Failure, toDriverError, wantsRefresh } from "./classify.ts"
import type { Registry } from "./compression.ts"
import { fetch, type FetchedPartition } from "./fetch.ts"
import { readRecords } from "./recordReader.ts"
import type { Wire } from "./wire.ts"

export interface FetchingOptions {
  readonly wire: Wire
  readonly positions: Positions.Positions
  readonly codecs: Registry
  readonly maxWaitMs: number
  readonly maxBytes: number
  readonly maxBytesPerPartition: number
  /** Something can be polled. */
  readonly onReady: () => void
}

/** While batches are out, a long poll for the other partitions would hold up the next fetch of theirs. */
const shortWaitMs = 25

const offsetOutOfRange = 1

const pauseAfter = (failures: number): number => Math.min(50 * 2 ** failures, 1_000)

export interface Fetching {
  /** Fetches until it fails or is interrupted. */
  readonly run: Effect.Effect<never, Driver.DriverError>
  /** A position moved or a batch went out: look again. */
  readonly wake: () => void
}

export const makeFetching = (options: FetchingOptions): Fetching => {
  const { codecs, positions, wire } = options
  const moved = Latch.makeUnsafe(false)
  const wake = () => {
    moved.openUnsafe()
  }
  const failed = Deferred.makeUnsafe<never, Driver.DriverError>()
  const busy = new Set<number>()
  const failures = new Map<number, number>()

  const fail = (
    { offset, partition, topic }: Positions.Claim,
    what: Pick<Driver.DriverError, "failure" | "description"> & Partial<Driver.DriverError>
  ) => Effect.fail(new Driver.DriverError({ operation: "poll", topic, partition, offset, ...what }))

  /** True when the partition may be fetched again at once. */
  const digest = (claim: Positions.Claim, fetched: FetchedPartition): Effect.Effect<boolean, Driver.DriverError> => {
    const { errorCode, partition, topic } = fetched
    if (!positions.isCurrent(claim)) {
      positions.drop(claim)
      return Effect.succeed(true)
    }
    if (errorCode === offsetOutOfRange) {
      return fail(claim, {
        failure: "OffsetOutOfRange",
        code: errorCode,
        description:
          `offset ${claim.offset} of ${topic}-${partition} is not in the log (deleted by retention, or the topic ` +
          "was made anew): choose where to go on; nothing was reset"
      })
    }
    if (errorCode !== 0) {
      const failure = answered("Fetch", errorCode, { topic, partition })
      const error = toDriverError("poll", failure, "read")
      positions.drop(claim)
      wire.forgetTopic(topic)
      return wantsRefresh(failure) || error.failure === "Retriable" || error.failure === "Unavailable"
        ? Effect.succeed(false)
        : Effect.fail(error)
    }
    const read = readRecords({
      topic,
      partition,
      bytes: fetched.bytes,
      fetchOffset: claim.offset,
      aborted: fetched.aborted,
      codecs
    })
    if ("failure" in read) return fail(claim, { ...read, offset: Offset.offsetUnsafe(read.offset) })
    if (positions.accept(claim, read, fetched.bytes.length) && read.records.length > 0) options.onReady()
    return Effect.succeed(true)
  }

  const fetchFrom = (
    leader: number,
    claims: ReadonlyArray<Positions.Claim>,
    maxWaitMs: number
  ): Effect.Effect<void, Driver.DriverError> =>
    fetch(wire, leader, { ...options, maxWaitMs, targets: claims }).pipe(
      Effect.flatMap((partitions) =>
        Effect.gen(function*() {
          const open = new Map(claims.map((claim) => [TopicPartition.format(claim), claim]))
          let well = true
          for (const fetched of partitions) {
            const claim = open.get(TopicPartition.format(fetched))
            if (claim === undefined) continue
            open.delete(TopicPartition.format(fetched))
            if (!(yield* digest(claim, fetched))) well = false
          }
          for (const claim of open.values()) positions.drop(claim)
          return well
        })
      ),
      Effect.catch((failure: Failure | Driver.DriverError) => {
        if (failure._tag === "DriverError") return Effect.fail(failure)
        for (const claim of claims) {
          positions.drop(claim)
          wire.forgetTopic(claim.topic)
        }
        const error = toDriverError("poll", failure, "read")
        // A broker that is away is waited for: the group's session decides how long.
        return error.failure === "Unavailable" || error.failure === "Retriable"
          ? Effect.succeed(false)
          : Effect.fail(error)
      }),
      Effect.flatMap((well) => {
        if (well) {
          failures.delete(leader)
          return Effect.void
        }
        const count = failures.get(leader) ?? 0
        failures.set(leader, count + 1)
        return Effect.sleep(pauseAfter(count))
      }),
      Effect.ensuring(Effect.sync(() => {
        for (const claim of claims) positions.drop(claim)
        busy.delete(leader)
        wake()
      }))
    )

  const round = Effect.gen(function*() {
    const all = positions.all()
    const leaderOf = new Map<string, number>()
    for (const topic of new Set(all.map((standing) => standing.topic))) {
      for (const { leader, partition } of yield* wire.topic(topic)) {
        leaderOf.set(TopicPartition.format({ topic, partition }), leader)
      }
    }
    const ledBy = (topic: string, partition: number) => leaderOf.get(TopicPartition.format({ topic, partition })) ?? -1
    const claims = positions.claim((topic, partition) => {
      const leader = ledBy(topic, partition)
      return leader >= 0 && !busy.has(leader)
    })
    for (const [leader, group] of Map.groupBy(claims, ({ partition, topic }) => ledBy(topic, partition))) {
      busy.add(leader)
      const quiet = all.every((standing) => standing.idle || ledBy(standing.topic, standing.partition) !== leader)
      const wait = quiet ? options.maxWaitMs : Math.min(shortWaitMs, options.maxWaitMs)
      yield* Effect.forkChild(
        Effect.onExit(
          fetchFrom(leader, group, wait),
          (exit) =>
            Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)
              ? Deferred.failCause(failed, exit.cause)
              : Effect.void
        ),
        { startImmediately: true }
      )
    }
    return all.length === 0 || all.some(({ partition, topic }) => ledBy(topic, partition) < 0)
  })

  const loop: Effect.Effect<never, Driver.DriverError> = Effect.gen(function*() {
    for (let troubles = 0;;) {
      moved.closeUnsafe()
      const leaderless = yield* Effect.result(round)
      if (leaderless._tag === "Failure") {
        const error = toDriverError("poll", leaderless.failure, "read")
        if (error.failure !== "Unavailable" && error.failure !== "Retriable") return yield* error
        yield* Effect.sleep(pauseAfter(troubles++))
        continue
      }
      troubles = 0
      if (leaderless.success) {
        yield* Effect.raceFirst(moved.await, Effect.sleep(500))
        for (const { topic } of positions.all()) wire.forgetTopic(topic)
      } else {
        yield* moved.await
      }
    }
  })

  return { wake, run: Effect.raceFirst(loop, Deferred.await(failed)) }
}
