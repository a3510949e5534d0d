/**
 * A session's lanes, and what it does for the consumers whose batches it commits.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Compression, Driver, DriverError } from "../Driver.ts"
import type { Misconfigured } from "../KafkaError.ts"
import type { Outcome } from "../Outcome.ts"
import { format, type TopicPartition } from "../TopicPartition.ts"
import * as Budgets from "./budgets.ts"
import type { ConsumerRuntime, SessionHooks } from "./consumerRuntime.ts"
import * as Lane from "./lane.ts"
import type { OpenTransaction } from "./openTransaction.ts"

export interface Settings {
  readonly transactionalIdPrefix: string
  readonly replica: string
  readonly budgets: Budgets.Budgets
  readonly compression: Compression
  /** Batches whose transactions may be under way at once, over all lanes. */
  readonly parallelism: number
  /** Lanes per replica, where transactional ids are not bound to partitions. */
  readonly lanes: number
  readonly recoveryTimeoutMs: number
  readonly onOutcome: ((outcome: Outcome) => Effect.Effect<void>) | undefined
}

/** A lane with what is open in it. */
export interface LaneEntry {
  readonly key: string
  readonly lane: Lane.Lane
  readonly open: Set<OpenTransaction>
}

export interface SessionRuntime {
  readonly settings: Settings
  readonly driver: Driver["Service"]
  readonly incarnation: bigint
  /** Transactions without input offsets. */
  readonly producerLane: LaneEntry
  readonly laneOf: (tp: TopicPartition) => LaneEntry
  /** The partitions of a lane that a consumer holds. */
  readonly partitionsOf: (entry: LaneEntry, runtime: ConsumerRuntime) => ReadonlyArray<TopicPartition>
  readonly hooks: SessionHooks
  readonly check: (group: Budgets.GroupTimes) => Effect.Effect<void, Misconfigured>
  readonly now: Effect.Effect<number>
}

/** How many inits of a new assignment run side by side: each may wait for a predecessor's transaction to end. */
const initsAtOnce = 8

export const make = Effect.fnUntraced(function*(
  driver: Driver["Service"],
  settings: Settings
): Effect.fn.Return<SessionRuntime, DriverError, Scope.Scope> {
  const scope = yield* Effect.scope
  const { capabilities } = driver
  const { budgets, replica, transactionalIdPrefix } = settings
  const byPartition = capabilities.fencing === "partition"
  const entries = new Map<string, LaneEntry>()

  const entry = (key: string, transactionalIds: ReadonlyArray<string>): LaneEntry => {
    const known = entries.get(key)
    if (known !== undefined) return known
    const lane = Lane.make({
      driver,
      transactionalIds,
      scope,
      recoveryTimeoutMs: settings.recoveryTimeoutMs,
      producer: (transactionalId) =>
        driver.transactionalProducer({
          transactionalId,
          transactionTimeoutMs: budgets.transactionTimeoutMs,
          compression: settings.compression
        })
    })
    const made: LaneEntry = { key, lane, open: new Set() }
    entries.set(key, made)
    return made
  }

  const slots = (id: string): ReadonlyArray<string> =>
    capabilities.openTransactions === 1
      ? [id]
      : Array.from({ length: capabilities.openTransactions }, (_, slot) => `${id}-${slot}`)

  const laneKey = (tp: TopicPartition): string => byPartition ? format(tp) : `lane-${tp.partition % settings.lanes}`

  const laneOf = (tp: TopicPartition): LaneEntry => {
    const key = laneKey(tp)
    return byPartition
      ? entry(key, [`${transactionalIdPrefix}-${key}`])
      : entry(key, slots(`${transactionalIdPrefix}-${replica}-${key}`))
  }

  const lanesOf = (partitions: ReadonlyArray<TopicPartition>): ReadonlyArray<LaneEntry> =>
    Array.from(new Set(partitions.map(laneOf)))

  // One producer, not a pair: without input offsets there is no order to keep, and its epoch is the replica's incarnation.
  const producerLane = entry("producer", [`${transactionalIdPrefix}-${replica}`])
  yield* producerLane.lane.takeOver
  const identity = producerLane.lane.identity(0)
  if (identity === undefined) return yield* Effect.die(new Error("a lane that was taken over has an identity"))

  const hooks: SessionHooks = {
    // The coordinator raises the epoch at every start under this name, so the order of incarnations is the order of
    // starts, whatever the clocks of the machines say.
    member: { replica, incarnation: (identity.producerId << 16n) | BigInt(identity.epoch) },
    laneKey,
    prepare: (_runtime, partitions) =>
      Effect.forEach(
        byPartition ? lanesOf(partitions) : lanesOf(partitions).filter(({ lane }) => lane.state().status !== "Ready"),
        ({ lane }) => Effect.andThen(lane.idle, lane.takeOver),
        { concurrency: initsAtOnce, discard: true }
      ),
    settle: (partitions) => Effect.forEach(lanesOf(partitions), ({ lane }) => lane.idle, { discard: true }),
    abandon: (partitions) =>
      Effect.forEach(
        lanesOf(partitions).flatMap(({ open }) => Array.from(open)),
        (transaction) => transaction.abandon("Rebalanced", "its partition is not ours any more"),
        { discard: true }
      )
  }

  return {
    settings,
    driver,
    incarnation: hooks.member.incarnation,
    producerLane,
    laneOf,
    partitionsOf: ({ key }, runtime) => runtime.ownership.all().filter((tp) => laneKey(tp) === key),
    hooks,
    check: (group) => Budgets.checkTogether(budgets, group),
    now: Clock.currentTimeMillis
  }
})
