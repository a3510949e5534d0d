/**
 * The ends of a transaction: commit, a clean abort, and the repair after a request that failed.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { DriverError } from "../Driver.ts"
import type { InvalidRecord, KafkaError } from "../KafkaError.ts"
import type { Outcome } from "../Outcome.ts"
import { CommitOutcomeUnknown, type ReplicaClash, type TransactionError } from "../TransactionError.ts"
import { admit } from "./admission.ts"
import * as Failures from "./failures.ts"
import * as Machine from "./laneMachine.ts"
import { type Begun, type Driven, type Phase, predecessorAborted } from "./openTransaction.ts"
import type { LaneEntry, SessionRuntime } from "./sessionRuntime.ts"
import * as Telemetry from "./telemetry.ts"
import { lookUp, sendOffsets, tokenPlace } from "./transactionOffsets.ts"

export type Failure = TransactionError | ReplicaClash | KafkaError | InvalidRecord

/** `Again`: aborted, nothing lost, and another delivery may succeed. */
export type Ended =
  | { readonly _tag: "Committed" }
  | { readonly _tag: "Empty" }
  | { readonly _tag: "Again"; readonly error: Failure }

const committed: Ended = { _tag: "Committed" }
const empty: Ended = { _tag: "Empty" }
const again = (error: Failure): Ended => ({ _tag: "Again", error })

/** Fences in a row, with the assignment confirmed each time, before a lane stops: two owners would fence each other for ever. */
const fencesInARow = 3

const report = (
  session: SessionRuntime,
  transaction: Driven,
  tell: (common: {
    readonly transactionalId: string
    readonly partitions: ReadonlyArray<{ readonly topic: string; readonly partition: number }>
    readonly emitted: number
    readonly elapsedMs: number
  }) => Outcome
) =>
  Effect.flatMap(transaction.context("Commit"), ({ elapsedMs, transactionalId }) => {
    transaction.told = true
    return Telemetry.record(
      tell({
        transactionalId,
        partitions: transaction.shares.map(({ fetched: { partition, topic } }) => ({ topic, partition })),
        emitted: transaction.buffer.count(),
        elapsedMs
      }),
      session.settings.onOutcome
    )
  })

const release = (transaction: Driven) =>
  Effect.forEach(transaction.shares, ({ fetched }) => transaction.runtime?.release(fetched) ?? Effect.void, {
    discard: true
  })

/**
 * Back to where the batches began; the offsets of the group stand there, since nothing of this transaction committed.
 * Once: a partition that was rewound since, by whoever repaired the lane, is left alone.
 */
const rewind = (session: SessionRuntime, { runtime, shares }: Driven) =>
  Effect.forEach(
    shares,
    ({ fetched, ownership, start }) => {
      if (runtime?.ownership.holds(fetched, ownership) !== true) return Effect.void
      const { partition, topic } = fetched
      return Effect.map(runtime.rewind({ topic, partition }, runtime.ownership.resume(fetched, start)), () =>
        session.laneOf(fetched).lane.nudge())
    },
    { discard: true }
  )

const stepFailed = (phase: Phase) => (error: DriverError) => ({ error, phase })

const notHeld = new DriverError({
  operation: "send offsets",
  failure: "Rebalanced",
  description: "the group gave the partition away since the batch was delivered"
})

/** A batch's ownership, asked again at each step: a current generation is not ownership (R1). */
const stillHeld = (transaction: Driven) =>
  Effect.suspend(() =>
    transaction.shares.every(({ fetched, ownership }) =>
        transaction.runtime?.ownership.holds(fetched, ownership) === true
      )
      ? Effect.void
      : Effect.fail(notHeld)
  )

const leaveFor = (begun: Begun, step: "Offer" | "End") =>
  Effect.flatMap(
    begun.entry.lane.leave((lane) => Machine.may(lane, begun.seq, step)),
    (leave) => leave === "Now" ? Effect.void : Effect.fail(predecessorAborted)
  )

const commitSteps = (session: SessionRuntime, transaction: Driven) =>
  Effect.gen(function*() {
    const begun = yield* Effect.mapError(admit(session, transaction), stepFailed("Body"))
    const { handle, seq } = begun
    const { lane } = begun.entry
    lane.dispatch({ _tag: "BodyDone", seq })
    yield* transaction.drain.pipe(
      Effect.andThen(transaction.bounded("flush", handle.flush)),
      Effect.mapError(stepFailed("Send"))
    )
    lane.dispatch({ _tag: "Flushed", seq })
    yield* leaveFor(begun, "Offer").pipe(
      Effect.andThen(stillHeld(transaction)),
      Effect.andThen(Effect.sync(() => lane.dispatch({ _tag: "Touched", seq }))),
      Effect.andThen(transaction.bounded("send offsets", sendOffsets(session, transaction, begun))),
      Effect.mapError(stepFailed("Offsets"))
    )
    lane.dispatch({ _tag: "Offered", seq })
    yield* leaveFor(begun, "End").pipe(
      Effect.andThen(stillHeld(transaction)),
      Effect.mapError(stepFailed("Offsets"))
    )
    lane.dispatch({ _tag: "Ending", seq })
    yield* Effect.mapError(transaction.bounded("commit", handle.commit), stepFailed("Commit"))
    return begun
  })

/** After a body that succeeded. */
export const commit = (session: SessionRuntime, transaction: Driven): Effect.Effect<Ended, Failure> =>
  Effect.gen(function*() {
    if (transaction.poison !== undefined) {
      return yield* failed(session, transaction, transaction.poison.error, transaction.poison.phase)
    }
    if (transaction.shares.length === 0 && transaction.buffer.count() === 0) {
      yield* report(session, transaction, (common) => ({ ...common, _tag: "Empty" }))
      return empty
    }
    const steps = yield* Effect.result(commitSteps(session, transaction))
    if (steps._tag === "Failure") {
      return yield* failed(session, transaction, steps.failure.error, steps.failure.phase)
    }
    const { entry, seq } = steps.success
    finish(transaction, entry, { _tag: "Ended", seq, end: "Committed" })
    entry.lane.trouble.failures = 0
    entry.lane.trouble.fences = 0
    entry.lane.trouble.since = undefined
    yield* release(transaction)
    yield* report(session, transaction, (common) => ({ ...common, _tag: "Committed", resolved: false }))
    return committed
  })

/** Its batch was not ours any more when it was to begin: what is still ours of it is read again. */
export const refuse = (session: SessionRuntime, transaction: Driven): Effect.Effect<void> =>
  Effect.andThen(rewind(session, transaction), release(transaction))

/** Interrupted where no request was under way: before it began, or while it waited for the lane to be repaired. */
export const cutOff = (session: SessionRuntime, transaction: Driven): Effect.Effect<void> =>
  Effect.gen(function*() {
    transaction.over = true
    yield* refuse(session, transaction)
    if (transaction.told) return
    yield* report(session, transaction, (common) => ({
      ...common,
      _tag: "Aborted",
      reason: "Interrupted",
      description: "interrupted before it began"
    }))
  })

/** Nothing may follow the abort, so whatever a fiber that outlived the body does is waited out. */
const abort = (transaction: Driven, { handle }: Begun) =>
  Effect.exit(transaction.alone(transaction.bounded("abort", handle.abort)))

const finish = (transaction: Driven, entry: LaneEntry, event: Machine.Event) => {
  entry.open.delete(transaction)
  entry.lane.dispatch(event)
}

/** After a body that failed, was cut off, or ran out of time. Answers an error when another delivery may succeed. */
export const giveUp = (
  session: SessionRuntime,
  transaction: Driven,
  why: "BodyFailed" | "Interrupted" | "TimedOut",
  description: string
): Effect.Effect<Failure | undefined, Failure> =>
  Effect.gen(function*() {
    const { poison } = transaction
    const mendable = poison !== undefined && (Failures.isTransient(poison.error) || poison.error.failure === "Fenced")
    if (mendable && why === "BodyFailed") {
      const ended = yield* failed(session, transaction, poison.error, poison.phase)
      return ended._tag === "Again" ? ended.error : undefined
    }
    const { abandoned } = transaction
    transaction.over = true
    const begun = yield* transaction.alone(Effect.sync(() => transaction.begun))
    if (begun !== undefined) {
      const { entry, seq } = begun
      const clean = Exit.isSuccess(yield* abort(transaction, begun)) && poison === undefined
      finish(transaction, entry, { _tag: "Ended", seq, end: clean ? "AbortedCleanly" : "Failed" })
    }
    yield* report(session, transaction, (common) => ({
      ...common,
      _tag: "Aborted",
      reason: abandoned?.reason ?? why,
      description: abandoned?.description ?? description
    }))
    if (begun !== undefined && begun.entry.lane.state().status !== "Ready" && why !== "Interrupted") {
      yield* Effect.ignore(settle(session, transaction, begun.entry))
    }
    yield* refuse(session, transaction)
    return abandoned
  })

/** The lane is ready again, or its partitions are somebody else's. Whoever comes last repairs it. */
const settle = (
  session: SessionRuntime,
  transaction: Driven,
  entry: LaneEntry
): Effect.Effect<"Recovered" | "NotOwner", DriverError> =>
  Effect.gen(function*() {
    const { lane } = entry
    const leave = yield* lane.leave((state) =>
      state.status === "Ready" || state.status === "Stopped" ? "Now" : state.open.length === 0 ? "Recover" : "Wait"
    )
    if (leave !== "Recover") return "Recovered"
    return yield* lane.recover(transaction.runtime, () => session.holdersOf(entry))
  }).pipe(transaction.restore)

/** Worth another delivery, until the lane has failed for too long. */
const recoverable = (session: SessionRuntime, entry: LaneEntry, error: Failure) =>
  Effect.gen(function*() {
    const { trouble } = entry.lane
    const now = yield* session.now
    trouble.since ??= now
    trouble.failures += 1
    if (now - trouble.since <= session.settings.recoveryTimeoutMs) return again(error)
    // Whoever runs the pipeline again begins to count again.
    trouble.since = undefined
    trouble.failures = 0
    return yield* Effect.fail(error)
  })

/** After a request that failed: abort what can be aborted, take new epochs, read back what is in doubt, rewind. */
export const failed = (
  session: SessionRuntime,
  transaction: Driven,
  error: DriverError,
  phase: Phase
): Effect.Effect<Ended, Failure> =>
  Effect.gen(function*() {
    const context = yield* transaction.context(phase)
    const { begun, runtime } = transaction
    const [first] = transaction.shares
    const entry = begun?.entry ?? (first === undefined ? session.producerLane : session.laneOf(first.fetched))
    const { lane } = entry
    const fence = error.failure === "Fenced"
    const timedOut = Failures.isCoordinatorTimeout(error, context)
    const place = begun === undefined ? undefined : tokenPlace(session, transaction, begun)
    const inDoubt = phase === "Commit" && error.failure === "UnknownOutcome" && place !== undefined
    const unknown = (description: string) =>
      Effect.as(
        report(session, transaction, (common) => ({ ...common, _tag: "Unknown", description })),
        new CommitOutcomeUnknown({
          transactionalId: context.transactionalId,
          elapsed: Duration.millis(context.elapsedMs),
          description
        })
      )
    transaction.over = true
    if (begun !== undefined) {
      if (inDoubt) lane.unresolved.set(transaction.token, place)
      else if (!fence) yield* abort(transaction, begun)
      finish(transaction, entry, { _tag: "Ended", seq: begun.seq, end: "Failed" })
    }
    if (!inDoubt) {
      yield* report(session, transaction, (common) => ({
        ...common,
        _tag: "Aborted",
        reason: timedOut ? "TimedOut" : fence ? "Fenced" : Failures.abortReason(error, phase),
        description: error.description
      }))
    }
    // A producer's lane has no assignment to ask: an init would fence the newer owner, so the lane stops (R9).
    if (fence && !timedOut && runtime === undefined) {
      lane.dispatch({ _tag: "Stopped" })
      return yield* Failures.fenced(context.transactionalId, "NewerInstance", error)
    }
    const repair = Effect.andThen(transaction.restore(lane.pause), settle(session, transaction, entry))
    const settled = yield* Effect.result(transaction.unmended ? Effect.fail(error) : repair).pipe(
      Effect.onInterrupt(() => inDoubt ? unknown("interrupted before it could be resolved") : Effect.void)
    )
    const resolved = lane.resolved.get(transaction.token)
    yield* refuse(session, transaction)
    const clash = fence || error.failure === "Rebalanced" ? yield* runtime?.clash ?? Effect.undefined : undefined
    if (clash !== undefined) return yield* clash

    if (settled._tag === "Failure") {
      const reason = settled.failure
      if (inDoubt) return yield* Effect.flatMap(unknown(reason.description), Effect.fail)
      if (reason.failure === "Fenced") {
        lane.dispatch({ _tag: "Stopped" })
        return yield* Failures.fenced(context.transactionalId, "NewerInstance", reason)
      }
      return yield* Failures.isTransient(reason) ? Failures.toAborted(error, context) : Failures.toKafkaError(reason)
    }

    if (inDoubt) {
      const resolution = resolved ?? (yield* lookUp(session, place).pipe(Effect.catch(() => Effect.undefined)))
      if (resolution === "Committed") {
        yield* report(session, transaction, (common) => ({ ...common, _tag: "Committed", resolved: true }))
        return committed
      }
      if (resolution !== "NotCommitted") {
        return again(yield* unknown("the partition went to another member before the token could be read back"))
      }
      yield* report(session, transaction, (common) => ({
        ...common,
        _tag: "Aborted",
        reason: "CommitRefused",
        description: "EndTxn was not answered, and its token is not among the committed offsets"
      }))
      return yield* recoverable(session, entry, Failures.toAborted(error, context))
    }
    if (timedOut) return yield* Failures.coordinatorTimedOut(context)
    if (fence) {
      if (settled.success === "NotOwner") return again(Failures.fenced(context.transactionalId, "GroupMember", error))
      lane.trouble.fences += 1
      if (lane.trouble.fences >= fencesInARow) {
        lane.dispatch({ _tag: "Stopped" })
        return yield* Failures.fenced(context.transactionalId, "Unknown", error)
      }
      return again(Failures.fenced(context.transactionalId, "Unknown", error))
    }
    const aborted = Failures.toAborted(error, context)
    if (!Failures.isTransient(error)) return yield* Effect.fail(aborted)
    const follows = error.failure === "Rebalanced" || error === predecessorAborted
    return follows ? again(aborted) : yield* recoverable(session, entry, aborted)
  }).pipe(Effect.ensuring(Effect.sync(() => forget(transaction))))

/** Nobody asks any more how it ended. */
const forget = ({ begun, token }: Driven) => {
  begun?.entry.lane.unresolved.delete(token)
  begun?.entry.lane.resolved.delete(token)
}
