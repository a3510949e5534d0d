/**
 * The bracket: begin; body; flush; offsets; end. Only the body can be interrupted. The end of a transaction is recorded
 * here, inside the mask, because the exit of a fiber that was interrupted during a commit says Interrupt.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { Misconfigured } from "../KafkaError.ts"
import { Transaction } from "../Transaction.ts"
import { type TransactionError, TransactionMisuse, TransactionTimedOut } from "../TransactionError.ts"
import { admit } from "./admission.ts"
import type { Token } from "./batch.ts"
import * as Conclusion from "./conclusion.ts"
import * as OpenTransaction from "./openTransaction.ts"
import type { SessionRuntime } from "./sessionRuntime.ts"

/** What the bracket adds to a body's own errors. */
export type Failure = Conclusion.Failure | TransactionError | TransactionMisuse | Misconfigured

/** `Again`: aborted, rewound, and worth another delivery; `error` says why, for those who cannot have one. */
export type Result<B> =
  | { readonly _tag: "Done"; readonly value: B }
  | { readonly _tag: "Again"; readonly error: Conclusion.Failure }
  | { readonly _tag: "Stale" }

const again = (error: Conclusion.Failure): Result<never> => ({ _tag: "Again", error })
const stale: Result<never> = { _tag: "Stale" }

const resultOf = (ended: Conclusion.Ended): Result<never> => ended._tag === "Again" ? again(ended.error) : stale

const nested = new TransactionMisuse({
  reason: "Nested",
  description: "a transaction cannot be opened inside another one's body; emit into the outer one, or run it after"
})

const unattached = new Misconfigured({
  setting: "transactionally",
  description:
    "the batches come from a consumer that was started without this session. Provide CommittedConsumer and " +
    "TransactionalSession to the same program, so that partitions are fenced before they are read"
})

/** What went wrong in a line; the stack goes with the error itself. */
const describe = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}

/** Runs `body` in a transaction; with `token` its offsets are part of it and its place in the lane is kept. */
export const run = <B, E, R>(
  session: SessionRuntime,
  token: Token | undefined,
  body: Effect.Effect<B, E, R>
): Effect.Effect<Result<B>, E | Failure, Exclude<R, Transaction>> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const around = yield* Effect.serviceOption(Transaction)
      const outer = Option.isSome(around) ? OpenTransaction.openBehind(around.value) : undefined
      if (outer !== undefined) {
        outer.misuse ??= nested
        return yield* nested
      }
      const transaction = OpenTransaction.make(session, {
        token: session.makeToken(),
        restore,
        begin: (self) => admit(session, self)
      })
      return yield* Effect.onInterrupt(
        Effect.gen(function*() {
          if (token !== undefined) {
            if (token.runtime.session !== session.hooks) return yield* unattached
            yield* transaction.enlist(token)
            const placed = yield* Effect.result(admit(session, transaction))
            if (placed._tag === "Failure") {
              if (!transaction.stale) {
                return resultOf(yield* Conclusion.failed(session, transaction, placed.failure, "Body"))
              }
              yield* Conclusion.refuse(session, transaction)
              return stale
            }
          }
          const { bodyMs } = session.settings.budgets
          const startedAt = transaction.begun?.startedAt ?? (yield* session.now)
          let late = false
          const overdue = Effect.flatMap(session.now, (now) => {
            late = true
            return Effect.fail(
              new TransactionTimedOut({
                transactionalId: transaction.begun?.transactionalId ?? session.settings.transactionalIdPrefix,
                phase: "Body",
                enforcedBy: "Session",
                budget: Duration.millis(bodyMs),
                elapsed: Duration.millis(now - startedAt)
              })
            )
          })
          const service = OpenTransaction.service(session, transaction, startedAt + bodyMs)
          const exit = yield* Effect.provideService(body, Transaction, service).pipe(
            Effect.timeoutOrElse({ duration: bodyMs, orElse: () => overdue }),
            Effect.raceFirst(Deferred.await(transaction.cancelled)),
            restore,
            Effect.exit
          )
          transaction.open = false
          if (Exit.isSuccess(exit) && transaction.misuse === undefined) {
            const ended = yield* Conclusion.commit(session, transaction)
            const done: Result<B> = { _tag: "Done", value: exit.value }
            return ended._tag === "Again" ? again(ended.error) : done
          }
          const cause: Cause.Cause<E | Failure> = Exit.isFailure(exit)
            ? exit.cause
            : Cause.fail(transaction.misuse ?? nested)
          const why = late ? "TimedOut" : Cause.hasInterruptsOnly(cause) ? "Interrupted" : "BodyFailed"
          const redelivery = yield* Conclusion.giveUp(session, transaction, why, describe(cause))
          return redelivery === undefined ? yield* Effect.failCause(cause) : again(redelivery)
        }),
        () => Conclusion.cutOff(session, transaction)
      )
    })
  ).pipe(Effect.withSpan("transaction", {
    attributes: {
      "messaging.system": "kafka",
      "messaging.kafka.transactional_id_prefix": session.settings.transactionalIdPrefix
    }
  }, { captureStackTrace: false }))
