/**
 * A member's life in its group: join, hold, hand back, join again.
 *
 * One fiber walks through it, so that every join has `onAssigned` behind it and, unless the partitions were lost,
 * `onRevoking` before it. Heartbeats go on beside it, through long callbacks too.
 */
import type { Driver, Offset, TopicPartition } from "@exactly-once/core"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Cluster } from "../network/Cluster.ts"
import { answered, type Failure, isCoordinatorMove, toDriverError } from "../network/failure.ts"
import * as Assignor from "./assignor.ts"
import * as Group from "./groupRequests.ts"

export interface MembershipOptions {
  readonly cluster: Cluster
  /** The member's own connections. */
  readonly pool: string
  readonly consumer: Driver.ConsumerOptions
  /** Milliseconds for which brokers may be away before the consumer gives up. */
  readonly reconnectTimeout: number
  /** Positions are known: fetch until the partitions go. */
  readonly hold: (
    generation: Group.Generation,
    starts: ReadonlyArray<TopicPartition.TopicPartition & { readonly offset: Offset.Offset }>
  ) => Effect.Effect<never, Driver.DriverError>
  /** Nothing more is handed out. */
  readonly onHandBack: () => void
  /** Nothing is assigned any more. */
  readonly onGone: () => void
}

type Rebalance = { readonly _tag: "Rebalance" }
type Lost = { readonly _tag: "Lost"; readonly forgotten: boolean }
type Broken = { readonly _tag: "Broken"; readonly error: Driver.DriverError }

/** What can end a generation, told by whoever hears it first. */
interface Signals {
  readonly rebalance: Deferred.Deferred<Rebalance>
  readonly over: Deferred.Deferred<Lost | Broken>
}

const rebalance: Rebalance = { _tag: "Rebalance" }

const rebalanceInProgress = 27
const unknownMember = 25

const topicsCheckInterval = 60_000

const isRebalance = (failure: Failure): boolean => [22, 25, 27, 82].includes(failure.code ?? 0)

const retryPause = (attempt: number): number => Math.min(50 * 2 ** attempt, 1_000)

export interface Membership {
  /** Until it fails; interrupted when the consumer closes. */
  readonly run: Effect.Effect<never, Driver.DriverError>
  readonly confirm: Effect.Effect<void, Driver.DriverError>
  /** The member id to leave with; empty when the coordinator has given none. */
  readonly memberId: () => string
}

export const makeMembership = (options: MembershipOptions): Membership => {
  const { cluster, consumer } = options
  const { groupId } = consumer
  let memberId = ""
  let current: { readonly generation: Group.Generation; readonly signals: Signals } | undefined

  const groupOptions: Group.GroupOptions = {
    cluster,
    pool: options.pool,
    groupId,
    sessionTimeoutMs: consumer.sessionTimeoutMs,
    rebalanceTimeoutMs: consumer.rebalanceTimeoutMs,
    subscription: { topics: consumer.topics, member: consumer.member }
  }

  /**
   * Earlier members of our replica leave: a process that was replaced would hold its partitions until its session ends. A
   * group that is rebalancing does not show who is who; then the newcomer waits like any other.
   */
  const evictEarlier = (self: Assignor.Announcement): Effect.Effect<void> =>
    Group.describe(groupOptions).pipe(
      Effect.flatMap((members) => {
        const earlier = Assignor.replaced(members, self)
        return earlier.length === 0
          ? Effect.void
          : Group.leave(groupOptions, earlier, `replaced by a newer incarnation of ${self.replica}`)
      }),
      Effect.ignore
    )

  const joinOnce = Effect.suspend(() => {
    const joining = Group.join(groupOptions, memberId, (id) => {
      memberId = id
    })
    return memberId === "" && consumer.member !== undefined
      ? Effect.andThen(evictEarlier(consumer.member), joining)
      : joining
  })

  const join: Effect.Effect<Group.Joined, Driver.DriverError> = Effect.gen(function*() {
    const deadline = (yield* Clock.currentTimeMillis) + options.reconnectTimeout
    for (let attempt = 0;; attempt++) {
      const result = yield* Effect.result(joinOnce)
      if (result._tag === "Success") return result.success
      const { failure } = result
      if (failure.code === unknownMember) memberId = ""
      if (isRebalance(failure)) {
        // another member came or went while this one joined: again, at once but not in a spin
        yield* Effect.sleep(Math.min(10 * attempt, 250))
        continue
      }
      const error = toDriverError("consumer", failure, "read")
      const transient = isCoordinatorMove(failure) || error.failure === "Unavailable" || error.failure === "Retriable"
      if (!transient || (yield* Clock.currentTimeMillis) > deadline) return yield* error
      yield* Effect.sleep(retryPause(attempt))
    }
  })

  /** What a failed heartbeat says about the generation; false while there is still hope. */
  const hear = (failure: Failure, signals: Signals): Effect.Effect<boolean> => {
    if (failure.code === rebalanceInProgress) return Deferred.succeed(signals.rebalance, rebalance)
    if (isRebalance(failure)) {
      return Deferred.succeed(signals.over, { _tag: "Lost", forgotten: failure.code === unknownMember })
    }
    const error = toDriverError("consumer", failure, "read")
    return isCoordinatorMove(failure) || error.failure === "Unavailable" || error.failure === "Retriable"
      ? Effect.succeed(false)
      : Deferred.succeed(signals.over, { _tag: "Broken", error })
  }

  /** Goes on after a rebalance began: the session must outlive the handing back. */
  const beat = (generation: Group.Generation, signals: Signals): Effect.Effect<void> =>
    Effect.gen(function*() {
      let heard = yield* Clock.currentTimeMillis
      let pause = consumer.heartbeatIntervalMs
      for (let troubles = 0;;) {
        yield* Effect.sleep(pause)
        const asked = yield* Clock.currentTimeMillis
        const result = yield* Effect.result(Group.heartbeat(groupOptions, generation))
        if (result._tag === "Failure") yield* hear(result.failure, signals)
        if (result._tag === "Success" || result.failure.code === rebalanceInProgress) {
          heard = asked
          troubles = 0
          pause = consumer.heartbeatIntervalMs
          continue
        }
        // Past its session the coordinator has given the partitions away, whether we heard it or not.
        if ((yield* Clock.currentTimeMillis) - heard > consumer.sessionTimeoutMs) {
          yield* Deferred.succeed(signals.over, { _tag: "Lost", forgotten: false })
        }
        if (yield* Deferred.isDone(signals.over)) return
        pause = Math.min(retryPause(troubles++), consumer.heartbeatIntervalMs)
      }
    })

  /** The leader looks for added partitions, and has the group share them out. */
  const watchTopics = (signals: Signals): Effect.Effect<never> =>
    Effect.gen(function*() {
      const counts = new Map<string, number>()
      for (;;) {
        for (const topic of consumer.topics) {
          const partitions = yield* Effect.result(cluster.topic(topic, counts.size > 0))
          if (partitions._tag === "Failure") continue
          const known = counts.get(topic)
          if (known !== undefined && known !== partitions.success.leaders.length) {
            yield* Deferred.succeed(signals.rebalance, rebalance)
          }
          counts.set(topic, partitions.success.leaders.length)
        }
        yield* Effect.sleep(topicsCheckInterval)
      }
    })

  const life = (joined: Group.Joined): Effect.Effect<void, Driver.DriverError, Scope.Scope> =>
    Effect.gen(function*() {
      const generation = { memberId: joined.memberId, generation: joined.generation }
      const partitions = joined.assignment.flatMap(({ partitions, topic }) =>
        partitions.map((partition) => ({ topic, partition }))
      )
      const signals: Signals = {
        rebalance: Deferred.makeUnsafe<Rebalance>(),
        over: Deferred.makeUnsafe<Lost | Broken>()
      }
      current = { generation, signals }
      yield* Effect.forkScoped(beat(generation, signals), { startImmediately: true })
      if (joined.leads) yield* Effect.forkScoped(watchTopics(signals), { startImmediately: true })
      const starts = yield* consumer.onAssigned(partitions)
      const held = Effect.catch(
        options.hold(generation, starts),
        (error) => Effect.succeed<Broken>({ _tag: "Broken", error })
      )
      const parting = yield* Effect.raceFirst(
        Deferred.await(signals.over),
        Effect.raceFirst(Deferred.await(signals.rebalance), held)
      )
      options.onHandBack()
      // While the coordinator still counts the partitions as ours the core may finish or abort; once lost, nothing waits.
      const after = parting._tag === "Rebalance" && partitions.length > 0
        ? yield* consumer.onRevoking(partitions).pipe(
          Effect.as(parting),
          // The group has gone on without us by then.
          Effect.timeoutOrElse({
            duration: consumer.rebalanceTimeoutMs,
            orElse: () => Effect.succeed<Lost>({ _tag: "Lost", forgotten: false })
          }),
          Effect.raceFirst(Deferred.await(signals.over))
        )
        : parting
      current = undefined
      options.onGone()
      if (after._tag === "Broken") return yield* after.error
      if (after._tag === "Lost") {
        if (after.forgotten) memberId = ""
        if (partitions.length > 0) yield* consumer.onLost(partitions)
      }
    })

  const generationLost = Effect.fail(answered("Heartbeat", 22))

  return {
    run: Effect.gen(function*() {
      for (;;) yield* Effect.scoped(life(yield* join))
    }),
    confirm: Effect.suspend(() => {
      const now = current
      if (now === undefined) return generationLost
      return Effect.tapError(
        Group.heartbeat(groupOptions, now.generation),
        (failure) => hear(failure, now.signals)
      )
    }).pipe(Effect.mapError((failure) => toDriverError("confirm", failure, "read"))),
    memberId: () => memberId
  }
}
