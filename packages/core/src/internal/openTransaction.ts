/**
 * One transaction from begin to its end: what was emitted, which batches were enlisted, what went wrong.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Semaphore from "effect/Semaphore"
import type { Batch } from "../Batch.ts"
import { DriverError, type TransactionHandle } from "../Driver.ts"
import type * as Topic from "../Topic.ts"
import type { EmitError } from "../Transaction.ts"
import { type AbortReason, TransactionAborted, TransactionMisuse } from "../TransactionError.ts"
import { type Share, type Token, TokenKey } from "./batch.ts"
import type { ConsumerRuntime } from "./consumerRuntime.ts"
import * as EmitBuffer from "./emitBuffer.ts"
import * as Failures from "./failures.ts"
import * as Machine from "./laneMachine.ts"
import type { LaneEntry, SessionRuntime } from "./sessionRuntime.ts"

export type Phase = "Body" | "Send" | "Offsets" | "Commit"

/** An emit waits for the brokers when this much is queued. */
const flushBytes = 1_048_576

/** Where the transaction stands with its coordinator, once it has a lane. */
export interface Begun {
  readonly entry: LaneEntry
  readonly seq: number
  readonly transactionalId: string
  readonly handle: TransactionHandle
  readonly startedAt: number
}

export interface OpenTransaction {
  readonly shares: ReadonlyArray<Share>
  /** Ends the body, which may then only abort. */
  readonly abandon: (reason: AbortReason, description: string) => Effect.Effect<void>
}

/** The insides that the bracket drives. */
export interface Driven extends OpenTransaction {
  readonly token: string
  /** Interruptible again, as the bracket's caller was. */
  readonly restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly buffer: EmitBuffer.EmitBuffer
  readonly shares: Array<Share>
  /** The consumer whose batches are in it. */
  runtime: ConsumerRuntime | undefined
  begun: Begun | undefined
  /** The first failed request: nothing may commit after it (R3). */
  poison: { readonly error: DriverError; readonly phase: Phase } | undefined
  /** Refused by the program's own mistake: nothing may commit after it. */
  misuse: TransactionMisuse | undefined
  /** Its batch was not ours any more when it was to begin. */
  stale: boolean
  /** Its lane could not be repaired before it was to begin, for as long as that is tried. */
  unmended: boolean
  /** Its body runs. */
  open: boolean
  /** Given up: a fiber that outlived the body neither begins nor sends any more. */
  over: boolean
  /** Its outcome was told. */
  told: boolean
  readonly enlist: (token: Token) => Effect.Effect<void, TransactionMisuse>
  readonly cancelled: Deferred.Deferred<never, TransactionAborted>
  /** Why it was abandoned. */
  abandoned: TransactionAborted | undefined
  readonly emit: (
    add: (buffer: EmitBuffer.EmitBuffer) => ReturnType<EmitBuffer.EmitBuffer["add"]>
  ) => Effect.Effect<void, EmitError>
  readonly flush: Effect.Effect<void, EmitError>
  readonly consumed: (batch: Batch<unknown>) => Effect.Effect<void, EmitError>
  /** Hands what waits to the driver, in order. */
  readonly drain: Effect.Effect<void, DriverError>
  /** Its driver takes one call at a time, whatever fibers a body has. */
  readonly alone: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly context: (phase: Phase) => Effect.Effect<Failures.TransactionContext>
  /** Bounds a request by what is left of the transaction timeout; no answer by then is an unknown outcome. */
  readonly bounded: <A>(operation: string, effect: Effect.Effect<A, DriverError>) => Effect.Effect<A, DriverError>
}

/** With two open, the younger one's offsets would skip the records of the older one. */
export const predecessorAborted = new DriverError({
  operation: Failures.predecessor,
  failure: "Abortable",
  description: "the transaction before it in its lane was aborted"
})

const ended = () =>
  new TransactionMisuse({
    reason: "Ended",
    description: "the transaction's body has ended; a fiber that emits must be joined inside the body"
  })

export const make = (
  session: SessionRuntime,
  options: {
    /** Unique to this transaction, and what its committed offsets carry as metadata. */
    readonly token: string
    readonly restore: Driven["restore"]
    /** Finds a lane and begins, when that has not happened yet. */
    readonly begin: (transaction: Driven) => Effect.Effect<Begun, DriverError>
  }
): Driven => {
  const { transactionTimeoutMs } = session.settings.budgets
  const lock = Semaphore.makeUnsafe(1)
  const cancelled = Deferred.makeUnsafe<never, TransactionAborted>()
  const byPartition = session.driver.capabilities.fencing === "partition"

  const context: Driven["context"] = (phase) =>
    Effect.map(session.now, (now) => ({
      transactionalId: self.begun?.transactionalId ?? session.settings.transactionalIdPrefix,
      phase,
      transactionTimeoutMs,
      elapsedMs: self.begun === undefined ? 0 : now - self.begun.startedAt
    }))

  const poisoned = (phase: Phase) => (error: DriverError) =>
    Effect.sync(() => {
      self.poison ??= { error, phase }
    })

  const bounded: Driven["bounded"] = (operation, effect) =>
    Effect.flatMap(session.now, (now) => {
      const startedAt = self.begun?.startedAt ?? now
      // Never less than a second: a request that was sent deserves the chance to be answered.
      const left = Math.max(1_000, startedAt + transactionTimeoutMs - now)
      return Effect.timeoutOrElse(effect, {
        duration: left,
        orElse: () =>
          Effect.fail(
            new DriverError({
              operation,
              failure: "UnknownOutcome",
              description: `no answer within ${left} ms, the rest of the transaction timeout`
            })
          )
      })
    })

  const alone: Driven["alone"] = lock.withPermits(1)

  const send = ({ entry, handle, seq }: Begun) =>
    // A send that was cut off could land behind the abort, in the next transaction of the same epoch.
    Effect.uninterruptible(Effect.suspend(() => {
      entry.lane.dispatch({ _tag: "Touched", seq })
      return Effect.forEach(self.buffer.take(), ({ records, topic }) => bounded("send", handle.send(topic, records)), {
        discard: true
      })
    }))

  const drain: Driven["drain"] = alone(Effect.suspend(() => {
    const { begun } = self
    if (begun === undefined || self.over || self.buffer.waiting() === 0) return Effect.void
    return begun.entry.lane.leave((lane) => Machine.may(lane, begun.seq, "Send")).pipe(
      Effect.flatMap((leave) => leave === "Now" ? send(begun) : Effect.fail(predecessorAborted)),
      Effect.tapError(poisoned("Send"))
    )
  }))

  const beginning = Effect.suspend(() => options.begin(self)).pipe(
    Effect.tapError((error) => self.over ? Effect.void : poisoned("Body")(error))
  )

  const asEmitError = (phase: Phase) => (error: DriverError): Effect.Effect<never, EmitError> =>
    Effect.flatMap(
      context(phase),
      (at) => Effect.fail(self.over ? ended() : Failures.toEmitError(error, at))
    )

  const emit: Driven["emit"] = (add) =>
    Effect.suspend((): Effect.Effect<void, EmitError> => {
      if (!self.open) return Effect.fail(ended())
      if (self.poison !== undefined) return asEmitError(self.poison.phase)(self.poison.error)
      const added = add(self.buffer)
      if (Result.isFailure(added)) return Effect.fail(added.failure)
      if (added.success < flushBytes) return Effect.void
      return Effect.catch(Effect.andThen(beginning, drain), asEmitError("Send"))
    })

  const flush: Driven["flush"] = Effect.suspend((): Effect.Effect<void, EmitError> => {
    if (!self.open) return Effect.fail(ended())
    if (self.poison !== undefined) return asEmitError(self.poison.phase)(self.poison.error)
    if (self.buffer.count() === 0) return Effect.void
    return beginning.pipe(
      Effect.tap(() => drain),
      Effect.flatMap(({ handle }) =>
        alone(Effect.suspend(() =>
          self.open
            ? Effect.uninterruptible(Effect.tapError(bounded("flush", handle.flush), poisoned("Send")))
            : Effect.void
        ))
      ),
      Effect.catch(asEmitError("Send"))
    )
  })

  const refuse = (reason: TransactionMisuse["reason"], description: string) =>
    Effect.suspend(() => {
      const misuse = new TransactionMisuse({ reason, description })
      self.misuse ??= misuse
      return Effect.fail(misuse)
    })

  const enlist = (token: Token): Effect.Effect<void, TransactionMisuse> => {
    if (token.spent) return refuse("TokenSpent", "the batch was enlisted before; its offsets can be committed once")
    if (token.runtime.session !== session.hooks) {
      return refuse("ForeignBatch", "the batch comes from a consumer that was started without this session beside it")
    }
    if (self.runtime !== undefined && self.runtime !== token.runtime) {
      return refuse("ForeignBatch", "a transaction holds the offsets of one consumer, and those of another are in it")
    }
    // A lane keeps the order of its partitions' offsets, so a transaction is of one lane.
    const [first] = self.shares.length > 0 ? self.shares : token.shares
    const home = first === undefined ? undefined : session.laneOf(first.fetched)
    if (token.shares.some(({ fetched }) => session.laneOf(fetched) !== home)) {
      return refuse(
        "SecondPartition",
        byPartition
          ? "this driver fences by partition: a transaction holds the offsets of one input partition"
          : "its partitions belong to another lane; a transaction holds the offsets of one"
      )
    }
    if (self.begun !== undefined && home !== self.begun.entry) {
      return refuse("ConsumedAfterEmit", "enlist the batch before the transaction sends records")
    }
    token.spent = true
    self.shares.push(...token.shares)
    self.runtime = token.runtime
    return Effect.void
  }

  const self: Driven = {
    token: options.token,
    restore: options.restore,
    stale: false,
    unmended: false,
    enlist,
    buffer: EmitBuffer.make(),
    shares: [],
    runtime: undefined,
    begun: undefined,
    poison: undefined,
    misuse: undefined,
    open: true,
    over: false,
    told: false,
    alone,
    cancelled,
    abandoned: undefined,
    emit,
    flush,
    consumed: (batch) =>
      Effect.suspend(() => {
        if (!self.open) return Effect.fail(ended())
        return enlist(batch[TokenKey])
      }),
    drain,
    context,
    bounded,
    abandon: (reason, description) =>
      Effect.flatMap(context("Body"), ({ transactionalId }) => {
        self.abandoned ??= new TransactionAborted({ transactionalId, reason, description })
        return Effect.asVoid(Deferred.fail(cancelled, self.abandoned))
      })
  }
  return self
}

/** Which transaction a service speaks for, without showing it to the body. */
const behind = new WeakMap<object, Driven>()

/** The transaction whose body runs with this service, while it runs. */
export const openBehind = (service: object): Driven | undefined => {
  const found = behind.get(service)
  return found?.open === true ? found : undefined
}

const shapeOf = (session: SessionRuntime, transaction: Driven, deadline: number) => ({
  transactionalId: transaction.begun?.transactionalId ?? session.settings.transactionalIdPrefix,
  emit: <K, V>(
    topic: Topic.Topic<string, K, V>,
    records: ReadonlyArray<Topic.OutRecord<K, V>>
  ) => transaction.emit((buffer) => buffer.add(topic, records)),
  flush: transaction.flush,
  consumed: transaction.consumed,
  remaining: Effect.map(session.now, (now) => Duration.millis(Math.max(0, deadline - now))),
  deadline
})

/** What the body sees. */
export const service = (session: SessionRuntime, transaction: Driven, deadline: number) => {
  const shape = shapeOf(session, transaction, deadline)
  behind.set(shape, transaction)
  return shape
}
