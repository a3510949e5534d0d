/**
 * A lane at work: the machine's state, whoever waits for leave, the producers, and how they recover.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { CommittedOffset, Driver, ProducerIdentity, TransactionalProducer } from "../Driver.ts"
import { DriverError } from "../Driver.ts"
import type { Offset } from "../Offset.ts"
import type { TopicPartition } from "../TopicPartition.ts"
import type { ConsumerRuntime } from "./consumerRuntime.ts"
import { isTransient } from "./failures.ts"
import * as Machine from "./laneMachine.ts"

/** What recovery found of a transaction whose end was unknown. `Overwritten`: somebody else has committed since. */
export type Resolution = "Committed" | "NotCommitted" | "Overwritten"

/** A transaction whose EndTxn was not answered: where its token would stand. */
export interface Unresolved {
  readonly groupId: string
  readonly partition: TopicPartition
  readonly token: string
  /** Where the partition stood before it; `undefined` where nobody else commits. */
  readonly start: Offset | undefined
}

/** A consumer, and the partitions of a lane that it holds. */
export interface Holder {
  readonly runtime: ConsumerRuntime
  readonly partitions: ReadonlyArray<TopicPartition>
}

/**
 * The token tells. When it is absent, an offset that has not moved proves that nothing committed; one that has moved is
 * another owner's, who may have begun before our transaction or after it.
 */
const resolution = ({ start, token }: Unresolved, found: CommittedOffset | undefined): Resolution => {
  if (found?.metadata === token) return "Committed"
  return start === undefined || found === undefined || found.offset <= start ? "NotCommitted" : "Overwritten"
}

export interface Options {
  readonly driver: Driver["Service"]
  readonly transactionalIds: ReadonlyArray<string>
  readonly producer: (transactionalId: string) => Effect.Effect<TransactionalProducer, DriverError, Scope.Scope>
  readonly scope: Scope.Scope
  readonly recoveryTimeoutMs: number
}

export interface Lane {
  readonly transactionalIds: ReadonlyArray<string>
  readonly dispatch: (event: Machine.Event) => void
  readonly state: () => Machine.Lane
  /** Has whoever waits ask again: something beside the lane's own events changed. */
  readonly nudge: () => void
  /** Suspends until `holds`; asked again at every event of the lane. */
  readonly until: (holds: () => boolean) => Effect.Effect<void>
  /** Suspends while `ask` answers Wait. */
  readonly leave: (ask: (lane: Machine.Lane) => Machine.Leave) => Effect.Effect<Exclude<Machine.Leave, "Wait">>
  /** No transaction is open. */
  readonly idle: Effect.Effect<void>
  /** First come, first served: one transaction at a time asks for leave to begin. */
  readonly admission: Semaphore.Semaphore
  readonly producer: (slot: number) => Effect.Effect<TransactionalProducer, DriverError>
  /** Waits out and fences whoever has the ids, under a fresh machine: the partition was just given to us. */
  readonly takeOver: Effect.Effect<void, DriverError>
  /**
   * `takeOver`, the first time only: ids that are a replica's own are taken over when the session starts to use them, and
   * never again (R9). Fails as `Fenced` once a newer owner took them.
   */
  readonly start: Effect.Effect<void, DriverError>
  /** What the last init of a producer answered. */
  readonly identity: (slot: number) => ProducerIdentity | undefined
  /**
   * New epochs for what needs one, then the committed offsets. `NotOwner`: the partitions are not ours any more, and no
   * init was sent, since it would fence the rightful owner (R9).
   */
  readonly recover: (
    asking: ConsumerRuntime | undefined,
    holders: () => ReadonlyArray<Holder>
  ) => Effect.Effect<"Recovered" | "NotOwner", DriverError>
  /** The pause before work that failed before is tried again: none the first time. */
  readonly pause: Effect.Effect<void>
  readonly unresolved: Map<string, Unresolved>
  readonly resolved: Map<string, Resolution>
  /** Since the last commit: failures, fences in a row, and when it began, in milliseconds since the epoch. */
  readonly trouble: { failures: number; fences: number; since: number | undefined }
}

/** Back-off between attempts that found no coordinator, no broker, or an old transaction still ending. */
const backoff = Schedule.min([Schedule.exponential("20 millis"), Schedule.spaced("2 seconds")]).pipe(
  Schedule.jittered
)

const firstPauseMs = 20
const longestPauseMs = 2_000

/** What a lane that was fenced for good answers. */
export const stopped = new DriverError({
  operation: "begin",
  failure: "Fenced",
  description: "the lane was fenced before and stays stopped"
})

export const make = (options: Options): Lane => {
  const { driver, scope, transactionalIds } = options
  const { ownEpochInit } = driver.capabilities
  let state = Machine.make(transactionalIds.length)
  const waiting = new Set<() => void>()
  const producers = new Map<number, TransactionalProducer>()
  const identities = new Map<number, ProducerIdentity>()
  const recovery = Semaphore.makeUnsafe(1)
  const unresolved = new Map<string, Unresolved>()
  const resolved = new Map<string, Resolution>()

  const nudge = () => {
    for (const look of Array.from(waiting)) look()
  }

  const dispatch = (event: Machine.Event) => {
    state = Machine.step(state, event)
    nudge()
  }

  const answered = <A>(ask: () => A | undefined): Effect.Effect<A> =>
    Effect.callback((resume) => {
      const look = () => {
        const answer = ask()
        if (answer === undefined) return
        waiting.delete(look)
        resume(Effect.succeed(answer))
      }
      waiting.add(look)
      look()
      return Effect.sync(() => waiting.delete(look))
    })

  const leave: Lane["leave"] = (ask) =>
    Effect.suspend(() => {
      const now = ask(state)
      return now !== "Wait" ? Effect.succeed(now) : answered(() => {
        const answer = ask(state)
        return answer === "Wait" ? undefined : answer
      })
    })

  const producer: Lane["producer"] = (slot) =>
    Effect.suspend(() => {
      const known = producers.get(slot)
      if (known !== undefined) return Effect.succeed(known)
      const id = transactionalIds[slot]
      if (id === undefined) return Effect.die(new Error(`lane has no producer ${slot}`))
      return Effect.tap(Scope.provide(options.producer(id), scope), (made) =>
        Effect.sync(() => producers.set(slot, made)))
    })

  const init = (mode: "Takeover" | "Own") => (slot: number) =>
    Effect.gen(function*() {
      const made = yield* producer(slot)
      identities.set(slot, yield* made.init(ownEpochInit && identities.has(slot) ? mode : "Takeover"))
    })

  const persistently = <A>(effect: Effect.Effect<A, DriverError>) =>
    Effect.retry(effect, {
      schedule: Schedule.upTo(backoff, { duration: options.recoveryTimeoutMs }),
      while: (error: DriverError) => isTransient(error) && error.failure !== "Rebalanced"
    })

  const resolve = (
    found: (group: string, tp: TopicPartition) => Effect.Effect<CommittedOffset | undefined, DriverError>
  ) =>
    Effect.gen(function*() {
      for (const [key, open] of Array.from(unresolved)) {
        const committed = yield* found(open.groupId, open.partition)
        // Whoever asked may have been interrupted meanwhile.
        if (unresolved.delete(key)) resolved.set(key, resolution(open, committed))
      }
    })

  const confirmed = ({ runtime }: Holder) =>
    Effect.as(runtime.confirm, true).pipe(
      Effect.catchIf((error) => error.failure === "Rebalanced", () => Effect.succeed(false))
    )

  const attempt = (asking: ConsumerRuntime | undefined, holders: () => ReadonlyArray<Holder>) =>
    Effect.gen(function*() {
      if (asking !== undefined) {
        // Nothing of the lane is ours any more: an init would fence whoever has it now (R9).
        const own = holders().find(({ runtime }) => runtime === asking)
        if (own === undefined) return "NotOwner" as const
        if (!ownEpochInit) {
          const checks = yield* Effect.forEach(holders(), confirmed)
          if (!checks.every(Boolean) || !own.partitions.every((tp) => asking.ownership.owns(tp))) {
            return "NotOwner" as const
          }
        }
      }
      yield* Effect.forEach(Array.from(state.stale), init("Own"), { discard: true })
      yield* resolve((groupId, tp) =>
        Effect.map(driver.admin.committed(groupId, [tp]), (map) => map.values().next().value)
      )
      // Of every consumer: what any of them has out may be behind a transaction that is now known to have committed.
      for (const { partitions, runtime } of holders()) {
        const positions = yield* runtime.startPositions(partitions, yield* runtime.committed(partitions))
        for (const { offset, partition, topic } of positions) yield* runtime.rewind({ topic, partition }, offset)
      }
      return "Recovered" as const
    })

  const trouble: Lane["trouble"] = { failures: 0, fences: 0, since: undefined }

  const takeOver = Effect.gen(function*() {
    // Numbers are never used twice, so that a transaction of before cannot speak for one of now.
    state = { ...Machine.make(transactionalIds.length), nextSeq: state.nextSeq }
    identities.clear()
    Object.assign(trouble, { failures: 0, fences: 0, since: undefined })
    yield* persistently(Effect.forEach(transactionalIds, (_, slot) => init("Takeover")(slot), { discard: true }))
    dispatch({ _tag: "Initialised" })
  })

  return {
    transactionalIds,
    dispatch,
    state: () => state,
    nudge,
    until: (holds) => Effect.asVoid(answered(() => holds() ? true : undefined)),
    leave,
    idle: Effect.asVoid(answered(() => state.open.length === 0 ? true : undefined)),
    admission: Semaphore.makeUnsafe(1),
    producer,
    takeOver: recovery.withPermits(1)(takeOver),
    start: recovery.withPermits(1)(Effect.suspend(() => {
      if (identities.size === 0) return takeOver
      return state.status === "Stopped" ? Effect.fail(stopped) : Effect.void
    })),
    identity: (slot) => identities.get(slot),
    recover: (asking, holders) =>
      recovery.withPermits(1)(Effect.suspend(() => {
        if (state.status === "Ready" || state.open.length > 0) return Effect.succeed("Recovered" as const)
        return Effect.tap(persistently(Effect.suspend(() => attempt(asking, holders))), (outcome) =>
          Effect.sync(() => dispatch({ _tag: outcome === "Recovered" ? "Initialised" : "Cooled" })))
      })),
    unresolved,
    resolved,
    trouble,
    pause: Effect.suspend(() =>
      trouble.failures === 0
        ? Effect.void
        : Effect.sleep(Math.min(firstPauseMs * 2 ** (trouble.failures - 1), longestPauseMs))
    )
  }
}
