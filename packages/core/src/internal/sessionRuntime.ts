/**
 * A session's lanes, and what it does for the consumers whose batches it commits.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
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
  /** The consumers that hold partitions of a lane. */
  readonly holdersOf: (entry: LaneEntry) => ReadonlyArray<Lane.Holder>
  /** Unique to one transaction, in whatever process it runs. */
  readonly makeToken: () => string
  /** Nothing begins any more. */
  readonly closed: () => boolean
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
  const { capabilities } = driver
  const { budgets, replica, transactionalIdPrefix } = settings
  const byPartition = capabilities.fencing === "partition"
  const entries = new Map<string, LaneEntry>()
  const runtimes = new Set<ConsumerRuntime>()
  let closed = false
  let tokens = 0

  // Bodies that outlive the session are cut off and their transactions end, before the producers are closed under them.
  const scope = yield* Scope.make()
  yield* Effect.addFinalizer((exit) =>
    Effect.gen(function*() {
      closed = true
      const all = Array.from(entries.values())
      for (const { open } of all) {
        for (const transaction of Array.from(open)) {
          yield* transaction.abandon("Interrupted", "the session was closed")
        }
      }
      yield* Effect.forEach(all, ({ lane }) => lane.idle, { concurrency: "unbounded", discard: true }).pipe(
        Effect.timeoutOption(budgets.transactionTimeoutMs)
      )
      yield* Scope.close(scope, exit)
    })
  )

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

  /** Not whatever is open in the lane: with two open at once it may never be empty while other partitions have work. */
  const openOn = ({ open }: LaneEntry, partitions: ReadonlyArray<TopicPartition>): ReadonlyArray<OpenTransaction> => {
    const wanted = new Set(partitions.map(format))
    return Array.from(open).filter(({ shares }) => shares.some(({ fetched }) => wanted.has(format(fetched))))
  }

  const lanesOf = (partitions: ReadonlyArray<TopicPartition>): ReadonlyArray<LaneEntry> =>
    Array.from(new Set(partitions.map(laneOf)))

  // One producer, not a pair: without input offsets there is no order to keep, and its epoch is the replica's incarnation.
  // Its id does not end like a partition's, whatever the replica is called: "orders-0" may run beside the topic "orders".
  const producerLane = entry("producer", [`${transactionalIdPrefix}-${replica}-producer`])
  yield* producerLane.lane.takeOver
  const identity = producerLane.lane.identity(0)
  if (identity === undefined) return yield* Effect.die(new Error("a lane that was taken over has an identity"))

  const hooks: SessionHooks = {
    // The coordinator raises the epoch at every start under this name, so the order of incarnations is the order of
    // starts, whatever the clocks of the machines say. When the epochs of a producer id are used up, or the id expired
    // unused, a higher producer id follows; one from another coordinator's older block would be lower, and then the
    // group's own eviction of the earlier member decides.
    member: { replica, incarnation: (identity.producerId << 16n) | BigInt(identity.epoch) },
    laneKey,
    prepare: (runtime, partitions) =>
      Effect.suspend(() => {
        runtimes.add(runtime)
        return Effect.forEach(
          lanesOf(partitions),
          ({ lane }) => byPartition ? Effect.andThen(lane.idle, lane.takeOver) : lane.start,
          { concurrency: initsAtOnce, discard: true }
        )
      }),
    settle: (partitions) =>
      Effect.forEach(lanesOf(partitions), (entry) => {
        // Whoever waits for its turn behind a batch of these learns that it is stale.
        entry.lane.nudge()
        return entry.lane.until(() => openOn(entry, partitions).length === 0)
      }, { discard: true }),
    abandon: (partitions, reason, description) =>
      Effect.forEach(
        lanesOf(partitions).flatMap((entry) => {
          entry.lane.nudge()
          return openOn(entry, partitions)
        }),
        (transaction) => transaction.abandon(reason, description),
        { discard: true }
      ),
    left: (runtime) => {
      runtimes.delete(runtime)
    }
  }

  return {
    settings,
    driver,
    incarnation: hooks.member.incarnation,
    producerLane,
    laneOf,
    holdersOf: ({ key }) =>
      Array.from(runtimes, (runtime) => ({
        runtime,
        partitions: runtime.ownership.all().filter((tp) => laneKey(tp) === key)
      })).filter(({ partitions }) => partitions.length > 0),
    // Not random: a program that seeds its randomness would repeat the tokens of its last run, and read them back.
    makeToken: () => `eo:${hooks.member.incarnation.toString(16)}.${(++tokens).toString(36)}`,
    closed: () => closed,
    hooks,
    check: (group) => Budgets.checkTogether(budgets, group),
    now: Clock.currentTimeMillis
  }
})
