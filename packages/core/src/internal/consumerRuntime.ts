/**
 * One run of a consumer: its membership, its partitions, the batches it has out. Made when a stream of batches starts,
 * gone when the stream ends.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { CommittedOffset, DriverError, FetchedBatch, GroupConsumer, GroupMember } from "../Driver.ts"
import { type Driver, DriverError as DriverErrorClass } from "../Driver.ts"
import type { Offset } from "../Offset.ts"
import { format, type TopicPartition } from "../TopicPartition.ts"
import { type AbortReason, ReplicaClash } from "../TransactionError.ts"
import * as Ownership from "./ownership.ts"
import * as Slices from "./slices.ts"

/** What a session does for the consumer whose batches it commits. */
export interface SessionHooks {
  readonly member: { readonly replica: string; readonly incarnation: bigint }
  /** Which lane's transactions a partition belongs to: batches of one lane may share a transaction. */
  readonly laneKey: (tp: TopicPartition) => string
  /** Before positions are fetched: fences and waits out whoever had the partitions (H9, R22). */
  readonly prepare: (
    runtime: ConsumerRuntime,
    partitions: ReadonlyArray<TopicPartition>
  ) => Effect.Effect<void, DriverError>
  /** Every open transaction of these partitions has ended (R7). */
  readonly settle: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void>
  /** Gives up every open transaction of these partitions, without waiting (R6). */
  readonly abandon: (
    partitions: ReadonlyArray<TopicPartition>,
    reason: AbortReason,
    description: string
  ) => Effect.Effect<void>
  /** The consumer has ended. */
  readonly left: (runtime: ConsumerRuntime) => void
}

export interface ConsumerRuntime {
  readonly groupId: string
  readonly session: SessionHooks | undefined
  readonly ownership: Ownership.Ownership
  /** Back to `offset`: what was fetched behind it is stale (R5). */
  readonly rewind: (tp: TopicPartition, offset: Offset) => Effect.Effect<void>
  readonly release: (batch: FetchedBatch) => Effect.Effect<void>
  /** Gives back a batch that does not join where its partition stands, and has the driver go on from there. */
  readonly refuse: (batch: FetchedBatch) => Effect.Effect<void>
  readonly confirm: Effect.Effect<void, DriverError>
  /** A live member of our replica name with a higher incarnation (R16). */
  readonly clash: Effect.Effect<ReplicaClash | undefined>
  readonly committed: (
    partitions: ReadonlyArray<TopicPartition>
  ) => Effect.Effect<ReadonlyMap<string, CommittedOffset>, DriverError>
  /** Where partitions begin: the committed offset, else what `startFrom` says. */
  readonly startPositions: (
    partitions: ReadonlyArray<TopicPartition>,
    committed: ReadonlyMap<string, CommittedOffset>
  ) => Effect.Effect<ReadonlyArray<TopicPartition & { readonly offset: Offset }>, DriverError>
  /** Suspends until there is something to hand out. */
  readonly poll: Effect.Effect<ReadonlyArray<FetchedBatch>, DriverError | ReplicaClash>
  /** Fetched since the partition was last assigned, rewound or sought: what was fetched before belongs to nobody. */
  readonly isFresh: (batch: FetchedBatch) => boolean
  /** A batch went out to the program. */
  readonly lend: (batch: FetchedBatch) => void
}

export interface RuntimeOptions {
  readonly groupId: string
  readonly topics: ReadonlyArray<string>
  readonly startFrom: "earliest" | "latest" | "fail"
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly heartbeatIntervalMs: number
  readonly maxBytesPerPartition: number
  readonly maxWaitMs: number
  readonly maxRecords: number
}

/** The newer member of our own replica name, if there is one. */
const newerOf = (hooks: SessionHooks, members: ReadonlyArray<GroupMember>): ReplicaClash | undefined => {
  let newer = hooks.member.incarnation
  for (const member of members) {
    if (member.replica === hooks.member.replica && member.incarnation !== undefined && member.incarnation > newer) {
      newer = member.incarnation
    }
  }
  return newer > hooks.member.incarnation ? new ReplicaClash({ ...hooks.member, newer }) : undefined
}

const briefly = Schedule.max([Schedule.exponential("20 millis"), Schedule.recurs(5)])

export const make = Effect.fnUntraced(function*(
  driver: Driver["Service"],
  options: RuntimeOptions,
  session: SessionHooks | undefined
): Effect.fn.Return<ConsumerRuntime, DriverError, Scope.Scope> {
  const { groupId } = options
  const ownership = Ownership.make()
  const slices = Slices.make(options.maxRecords, driver.capabilities.openTransactions)
  const ready = yield* Queue.unbounded<FetchedBatch, DriverError | ReplicaClash>()
  const lent = new Map<string, Set<FetchedBatch>>()
  const scope = yield* Effect.scope
  // A partition that comes back, or goes back, may begin exactly where an old batch does: its place alone does not tell.
  const eras = new Map<string, number>()
  const fetchedIn = new WeakMap<FetchedBatch, number>()
  const eraOf = (tp: TopicPartition): number => eras.get(format(tp)) ?? 0
  const outdate = (tp: TopicPartition) => {
    eras.set(format(tp), eraOf(tp) + 1)
    slices.drop(tp)
  }
  const admit = (batch: FetchedBatch): ReadonlyArray<FetchedBatch> => {
    const admitted = slices.admit(batch)
    for (const slice of admitted) fetchedIn.set(slice, eraOf(batch))
    return admitted
  }

  // The driver calls back before it has returned its consumer: the callbacks that need it run after that.
  const joined = yield* Deferred.make<GroupConsumer>()

  const committed: ConsumerRuntime["committed"] = (partitions) => driver.admin.committed(groupId, partitions)

  const startPositions: ConsumerRuntime["startPositions"] = Effect.fnUntraced(function*(partitions, found) {
    const missing = partitions.filter((tp) => !found.has(format(tp)))
    const { startFrom } = options
    if (missing.length > 0 && startFrom === "fail") {
      return yield* new DriverErrorClass({
        operation: "start position",
        failure: "OffsetOutOfRange",
        topic: missing[0]?.topic ?? "",
        partition: missing[0]?.partition ?? -1,
        description: `group ${groupId} has no committed offset for ${
          missing.map(format).join(", ")
        } and startFrom is "fail"`
      })
    }
    const starts = missing.length === 0 || startFrom === "fail"
      ? new Map<string, Offset>()
      : yield* driver.admin.offsets(missing, startFrom)
    const positions: Array<TopicPartition & { readonly offset: Offset }> = []
    for (const { topic, partition } of partitions) {
      const key = format({ topic, partition })
      const offset = found.get(key)?.offset ?? starts.get(key)
      if (offset !== undefined) positions.push({ topic, partition, offset })
    }
    return positions
  })

  const clash: ConsumerRuntime["clash"] = session === undefined
    ? Effect.succeed(undefined)
    : Deferred.await(joined).pipe(
      Effect.flatMap((consumer) => consumer.members),
      Effect.retry(briefly),
      Effect.map((members) => newerOf(session, members)),
      Effect.catch((error) =>
        Effect.as(Effect.logDebug("the group's members could not be listed", error.description), undefined)
      )
    )

  const fail = (error: DriverError | ReplicaClash) => Effect.asVoid(Queue.fail(ready, error))
  const watchForClash = Effect.forkIn(
    Effect.flatMap(clash, (error) => error === undefined ? Effect.void : fail(error)),
    scope
  )

  const giveOneBack = (batch: FetchedBatch) =>
    Effect.suspend(() => {
      const { next, whole } = slices.giveBack(batch)
      if (next !== undefined) {
        fetchedIn.set(next, fetchedIn.get(batch) ?? eraOf(batch))
        return Queue.offer(ready, next)
      }
      return whole === undefined
        ? Effect.void
        : Effect.flatMap(Deferred.await(joined), (consumer) => consumer.release(whole))
    })

  const giveBack = (partitions: ReadonlyArray<TopicPartition>) =>
    Effect.gen(function*() {
      const gone: Array<FetchedBatch> = []
      for (const tp of partitions) {
        ownership.drop(tp)
        const batches = lent.get(format(tp))
        if (batches !== undefined) gone.push(...batches)
        lent.delete(format(tp))
      }
      for (const tp of partitions) outdate(tp)
      for (const batch of gone) yield* giveOneBack(batch)
    })

  const onAssigned = Effect.fnUntraced(function*(partitions: ReadonlyArray<TopicPartition>) {
    if (session !== undefined) yield* session.prepare(runtime, partitions)
    const positions = yield* startPositions(partitions, yield* committed(partitions))
    for (const tp of positions) ownership.assign(tp, tp.offset)
    yield* Effect.logInfo("assigned", { groupId, partitions: positions.map((tp) => `${format(tp)}@${tp.offset}`) })
    if (session !== undefined) yield* watchForClash
    return positions
  })

  const abandon = (partitions: ReadonlyArray<TopicPartition>) =>
    Effect.suspend(() => {
      for (const tp of partitions) ownership.drop(tp)
      return session === undefined
        ? Effect.void
        : session.abandon(partitions, "Rebalanced", "its partition is not ours any more")
    })

  const onRevoking = Effect.fnUntraced(function*(partitions: ReadonlyArray<TopicPartition>) {
    for (const tp of partitions) ownership.revoking(tp)
    yield* Effect.logInfo("giving partitions back", { groupId, partitions: partitions.map(format) })
    // A driver that stops waiting has lost them: an open transaction must find its partitions gone.
    const settled = session === undefined
      ? Effect.void
      : Effect.onInterrupt(session.settle(partitions), () => abandon(partitions))
    yield* Effect.ensuring(settled, giveBack(partitions))
  })

  const onLost = Effect.fnUntraced(function*(partitions: ReadonlyArray<TopicPartition>) {
    yield* Effect.logWarning("lost partitions: whatever is open on them aborts", {
      groupId,
      partitions: partitions.map(format)
    })
    yield* abandon(partitions)
    yield* giveBack(partitions)
    if (session !== undefined) yield* watchForClash
  })

  const consumerOf = Deferred.await(joined)
  const runtime: ConsumerRuntime = {
    groupId,
    session,
    ownership,
    rewind: (tp, offset) =>
      Effect.suspend(() => {
        ownership.rewind(tp, offset)
        outdate(tp)
        return ownership.owns(tp)
          ? Effect.flatMap(consumerOf, (consumer) => consumer.seek(tp, offset))
          : Effect.void
      }),
    release: (batch) =>
      Effect.suspend(() => {
        const known = lent.get(format(batch))?.delete(batch) === true
        return known ? giveOneBack(batch) : Effect.void
      }),
    refuse: (batch) =>
      Effect.gen(function*() {
        const position = ownership.position(batch)
        if (position !== undefined && runtime.isFresh(batch)) {
          // A driver that skips, or brings what it fetched before a seek, is set back instead of losing records.
          outdate(batch)
          const consumer = yield* consumerOf
          yield* consumer.seek({ topic: batch.topic, partition: batch.partition }, position)
        }
        yield* runtime.release(batch)
      }),
    confirm: Effect.flatMap(consumerOf, (consumer) => consumer.confirm),
    clash,
    committed,
    startPositions,
    poll: Queue.takeAll(ready),
    isFresh: (batch) => fetchedIn.get(batch) === eraOf(batch),
    lend: (batch) => {
      const key = format(batch)
      const batches = lent.get(key)
      if (batches === undefined) lent.set(key, new Set([batch]))
      else batches.add(batch)
    }
  }

  const consumer = yield* driver.consumer({
    ...options,
    unreleasedPerPartition: driver.capabilities.openTransactions,
    member: session?.member,
    onAssigned,
    onRevoking,
    onLost
  })
  yield* Deferred.succeed(joined, consumer)
  if (session !== undefined) {
    // The stream ends: bodies are cut off, commits that are under way come to their end, and only then the group is left.
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        const held = ownership.all()
        for (const tp of held) ownership.revoking(tp)
        return session.abandon(held, "Interrupted", "the stream of its batches has ended").pipe(
          Effect.andThen(session.settle(held)),
          Effect.ensuring(Effect.sync(() => session.left(runtime)))
        )
      })
    )
  }
  // A fiber of its own, so that a slice that becomes ready never has to race a poll, which could lose what was polled.
  yield* Effect.forkScoped(
    Effect.forever(
      Effect.flatMap(consumer.poll, (fetched) => Queue.offerAll(ready, fetched.flatMap(admit)))
    ).pipe(Effect.catchCause((cause) => Queue.failCause(ready, cause)))
  )
  return runtime
})
