/**
 * A lane at work: the machine's state, whoever waits for leave, the producers, and how they recover.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { CommittedOffset, Driver, DriverError, ProducerIdentity, TransactionalProducer } from "../Driver.ts"
import type { TopicPartition } from "../TopicPartition.ts"
import type { ConsumerRuntime } from "./consumerRuntime.ts"
import { isTransient } from "./failures.ts"
import * as Machine from "./laneMachine.ts"

/** What recovery found of a transaction whose end was unknown. */
export type Resolution = "Committed" | "NotCommitted"

/** A transaction whose EndTxn was not answered: where its token would stand. */
export interface Unresolved {
  readonly groupId: string
  readonly partition: TopicPartition
  readonly token: string
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
  /** Suspends while `ask` answers Wait. */
  readonly leave: (ask: (lane: Machine.Lane) => Machine.Leave) => Effect.Effect<Exclude<Machine.Leave, "Wait">>
  /** No transaction is open. */
  readonly idle: Effect.Effect<void>
  /** First come, first served: one transaction at a time asks for leave to begin. */
  readonly admission: Semaphore.Semaphore
  readonly producer: (slot: number) => Effect.Effect<TransactionalProducer, DriverError>
  /** Waits out and fences whoever has the ids, under a fresh machine: the partition was just given to us. */
  readonly takeOver: Effect.Effect<void, DriverError>
  /** What the last init of a producer answered. */
  readonly identity: (slot: number) => ProducerIdentity | undefined
  /**
   * New epochs for what needs one, then the committed offsets. `NotOwner`: the partitions are not ours any more, and no
   * init was sent, since it would fence the rightful owner (R9).
   */
  readonly recover: (
    runtime: ConsumerRuntime | undefined,
    partitions: ReadonlyArray<TopicPartition>
  ) => Effect.Effect<"Recovered" | "NotOwner", DriverError>
  readonly unresolved: Map<string, Unresolved>
  readonly resolved: Map<string, Resolution>
  /** Attempts since the last commit, for back-off and for giving up. */
  readonly trouble: { redos: number; fences: number; since: number | undefined }
}

/** Back-off between attempts that found no coordinator, no broker, or an old transaction still ending. */
const backoff = Schedule.min([Schedule.exponential("20 millis"), Schedule.spaced("2 seconds")]).pipe(
  Schedule.jittered
)

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

  const dispatch = (event: Machine.Event) => {
    state = Machine.step(state, event)
    for (const look of Array.from(waiting)) look()
  }

  const until = <A>(ask: () => A | undefined): Effect.Effect<A> =>
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
      return now !== "Wait" ? Effect.succeed(now) : until(() => {
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
      for (const [key, { groupId, partition, token }] of Array.from(unresolved)) {
        const committed = yield* found(groupId, partition)
        resolved.set(key, committed?.metadata === token ? "Committed" : "NotCommitted")
        unresolved.delete(key)
      }
    })

  const attempt = (runtime: ConsumerRuntime | undefined, partitions: ReadonlyArray<TopicPartition>) =>
    Effect.gen(function*() {
      if (runtime !== undefined) {
        const ours = () => partitions.length > 0 && partitions.every((tp) => runtime.ownership.owns(tp))
        // Nothing of the lane is ours any more: an init would fence whoever has it now (R9).
        if (!ours()) return "NotOwner" as const
        if (!ownEpochInit) {
          const confirmed = yield* Effect.as(runtime.confirm, true).pipe(
            Effect.catchIf((error) => error.failure === "Rebalanced", () => Effect.succeed(false))
          )
          if (!confirmed || !ours()) return "NotOwner" as const
        }
      }
      yield* Effect.forEach(Array.from(state.stale), init("Own"), { discard: true })
      yield* resolve((groupId, tp) =>
        Effect.map(driver.admin.committed(groupId, [tp]), (map) => map.values().next().value)
      )
      if (runtime !== undefined) {
        const positions = yield* runtime.startPositions(partitions, yield* runtime.committed(partitions))
        for (const { offset, partition, topic } of positions) yield* runtime.rewind({ topic, partition }, offset)
      }
      return "Recovered" as const
    })

  return {
    transactionalIds,
    dispatch,
    state: () => state,
    leave,
    idle: until(() => state.open.length === 0 ? true : undefined).pipe(Effect.asVoid),
    admission: Semaphore.makeUnsafe(1),
    producer,
    takeOver: recovery.withPermits(1)(Effect.gen(function*() {
      state = Machine.make(transactionalIds.length)
      identities.clear()
      yield* persistently(Effect.forEach(transactionalIds, (_, slot) => init("Takeover")(slot), { discard: true }))
      dispatch({ _tag: "Initialised" })
    })),
    identity: (slot) => identities.get(slot),
    recover: (runtime, partitions) =>
      recovery.withPermits(1)(Effect.suspend(() => {
        if (state.status === "Ready" || state.open.length > 0) return Effect.succeed("Recovered" as const)
        return Effect.tap(persistently(attempt(runtime, partitions)), (outcome) =>
          Effect.sync(() => dispatch({ _tag: outcome === "Recovered" ? "Initialised" : "Cooled" })))
      })),
    unresolved,
    resolved,
    trouble: { redos: 0, fences: 0, since: undefined }
  }
}
