/**
 * A member of a consumer group behind `core`'s port: membership decides what is ours, fetching keeps it one batch ahead,
 * positions say where it stands.
 */
import { Driver, Positions } from "@exactly-once/core"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import { toDriverError } from "./classify.ts"
import type { Registry } from "./compression.ts"
import { makeFetching } from "./fetching.ts"
import * as Group from "./groupRequests.ts"
import { makeMembership } from "./membership.ts"
import type { Wire } from "./wire.ts"

export interface ConsumerEnvironment {
  /** The consumer's own connections: a join holds one up until the whole group has joined. */
  readonly wire: Wire
  /** Connections shared with others, for leaving while a join is under way and for describing the group. */
  readonly side: Wire
  readonly codecs: Registry
  readonly maxFetchBytes: number
  readonly maxBufferedBytes: number
  readonly maxUnreleased: number
  readonly reconnectTimeout: number
}

const leaveTimeout = 2_000

const checkTopics = (
  wire: Wire,
  topics: ReadonlyArray<string>
): Effect.Effect<void, Driver.DriverError> =>
  Effect.forEach(topics, (topic) => wire.topic(topic, true), { discard: true }).pipe(
    Effect.mapError((failure) => toDriverError("consumer", failure, "read"))
  )

export const makeConsumer = (
  environment: ConsumerEnvironment,
  options: Driver.ConsumerOptions
): Effect.Effect<Driver.GroupConsumer, Driver.DriverError, Scope.Scope> =>
  Effect.gen(function*() {
    const { codecs, side, wire } = environment
    yield* Effect.addFinalizer(() => wire.close)
    yield* checkTopics(wire, options.topics)

    const positions = new Positions.Positions({
      unreleasedPerPartition: Math.max(1, options.unreleasedPerPartition),
      unreleased: environment.maxUnreleased,
      bufferedBytes: environment.maxBufferedBytes
    })
    const ready = Latch.makeUnsafe(false)
    let failure: Driver.DriverError | undefined
    let delivery: Driver.Delivery | undefined

    const fetching = makeFetching({
      wire,
      positions,
      codecs,
      maxWaitMs: options.maxWaitMs,
      maxBytes: environment.maxFetchBytes,
      maxBytesPerPartition: options.maxBytesPerPartition,
      onReady: () => ready.openUnsafe()
    })

    const membership = makeMembership({
      wire,
      consumer: options,
      reconnectTimeout: environment.reconnectTimeout,
      hold: (generation, starts) =>
        Effect.suspend(() => {
          positions.begin(starts)
          delivery = { ...generation, groupInstanceId: null }
          return fetching.run
        }),
      // What is out can still be committed; what waits here would only be thrown away.
      onHandBack: () => {
        delivery = undefined
      },
      onGone: () => positions.clear()
    })

    yield* Effect.addFinalizer(() =>
      membership.memberId() === "" ? Effect.void : Group.leave(side, options.groupId, membership.memberId()).pipe(
        Effect.timeout(leaveTimeout),
        Effect.ignore
      )
    )
    yield* Effect.forkScoped(
      Effect.onExit(membership.run, (exit) =>
        Effect.sync(() => {
          if (!Exit.isFailure(exit)) return
          const failed = exit.cause.reasons.find((reason) => reason._tag === "Fail")
          failure = failed !== undefined && failed._tag === "Fail" ? failed.error : new Driver.DriverError({
            operation: "poll",
            failure: "Fatal",
            description: "the consumer is closed",
            cause: exit.cause
          })
          ready.openUnsafe()
        })),
      { startImmediately: true }
    )

    const poll: Driver.GroupConsumer["poll"] = Effect.suspend(() => {
      if (failure !== undefined) return Effect.fail(failure)
      const batches = delivery === undefined ? [] : positions.take(delivery)
      if (batches.length > 0) {
        // a partition whose batch went out can be fetched ahead
        fetching.wake()
        return Effect.succeed(batches)
      }
      ready.closeUnsafe()
      return Effect.flatMap(ready.await, () => poll)
    })

    return {
      poll,
      release: (batch) =>
        Effect.sync(() => {
          positions.release(batch)
          ready.openUnsafe()
        }),
      seek: (tp, offset) =>
        Effect.sync(() => {
          if (positions.seek(tp, offset)) fetching.wake()
        }),
      confirm: membership.confirm,
      members: Group.describe(side, options.groupId).pipe(
        Effect.map((members) =>
          members.map(({ member, memberId }) => ({
            memberId,
            replica: member?.replica,
            incarnation: member?.incarnation
          }))
        ),
        Effect.mapError((error) => toDriverError("members", error, "read"))
      )
    }
  })
