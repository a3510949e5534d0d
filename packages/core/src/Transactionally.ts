/**
 * The bracket that joins the three pieces: outputs and input offsets commit together, or not at all.
 */
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Stream from "effect/Stream"
import type { Batch } from "./Batch.ts"
import { CommittedConsumer } from "./CommittedConsumer.ts"
import { TokenKey } from "./internal/batch.ts"
import * as Bracket from "./internal/bracket.ts"
import type { Transaction } from "./Transaction.ts"
import { SessionKey, TransactionalSession } from "./TransactionalSession.ts"

/** What a transaction adds to the errors of its body. */
export type TransactionFailure = Bracket.Failure

/**
 * Services that act outside of Kafka. A package that provides one adds it here by declaration merging, and a body that
 * asks for it does not compile: a transaction that aborts cannot take its effect back.
 */
// oxlint-disable-next-line typescript/no-empty-interface
export interface ExternalServices {}

type External = ExternalServices[keyof ExternalServices]

/** Intersected with a body's type, so that the compiler prints the reason as the name of a missing property. */
export type Check<R> =
  & (Extract<R, TransactionalSession> extends never ? unknown
    : { readonly "transactionally cannot be nested": never })
  & (Extract<R, External> extends never ? unknown : {
    readonly "the body needs a service that Kafka's transaction does not cover: use SqlSink, Outbox, Inbox, or External.atLeastOnce":
      never
  })

/**
 * Runs `body` for each batch in a transaction of its own: begin, body, flush, the batch's offsets, commit. Batches of
 * different partitions run side by side, those of one partition in order.
 *
 * A transaction that aborts for a reason that passes (a rebalance, a broker away) is rewound and its records are delivered
 * again; the stream fails when the body fails, or when nothing but a person or a restart can help. Results come out
 * after the commit, at most once: a crash or an interrupt just after it loses the result, never the records.
 */
export const transactionally: {
  <A, B, E2, R2>(
    body: (batch: Batch<A>) => Effect.Effect<B, E2, R2> & Check<R2>
  ): <E, R>(
    self: Stream.Stream<Batch<A>, E, R>
  ) => Stream.Stream<
    B,
    E | E2 | TransactionFailure,
    R | Exclude<R2, Transaction> | TransactionalSession | CommittedConsumer
  >
  <A, E, R, B, E2, R2>(
    self: Stream.Stream<Batch<A>, E, R>,
    body: (batch: Batch<A>) => Effect.Effect<B, E2, R2> & Check<R2>
  ): Stream.Stream<
    B,
    E | E2 | TransactionFailure,
    R | Exclude<R2, Transaction> | TransactionalSession | CommittedConsumer
  >
} = dual(
  2,
  <A, E, R, B, E2, R2>(
    self: Stream.Stream<Batch<A>, E, R>,
    body: (batch: Batch<A>) => Effect.Effect<B, E2, R2> & Check<R2>
  ): Stream.Stream<
    B,
    E | E2 | TransactionFailure,
    R | Exclude<R2, Transaction> | TransactionalSession | CommittedConsumer
  > =>
    Stream.unwrap(Effect.gen(function*() {
      const session = (yield* TransactionalSession)[SessionKey]
      yield* CommittedConsumer
      return self.pipe(
        Stream.mapEffect(
          (batch) => Bracket.run(session, batch[TokenKey], Effect.suspend(() => body(batch))),
          { concurrency: session.settings.parallelism, unordered: true }
        ),
        Stream.filter((result) => result._tag === "Done"),
        Stream.map((result) => result.value)
      )
    }))
)

/**
 * Runs one effect in a transaction: a producer's own, or with batches that the body enlists by `Transaction.consumed`.
 * An abort fails; whoever calls decides about another attempt, with a batch that is delivered again.
 */
export const withTransaction = <B, E, R>(
  body: Effect.Effect<B, E, R> & Check<R>
): Effect.Effect<B, E | TransactionFailure, Exclude<R, Transaction> | TransactionalSession> =>
  Effect.flatMap(TransactionalSession, (session) =>
    Effect.flatMap(
      Bracket.run(session[SessionKey], undefined, body),
      (result): Effect.Effect<B, TransactionFailure> =>
        result._tag === "Done"
          ? Effect.succeed(result.value)
          : result._tag === "Again"
          ? Effect.fail(result.error)
          : Effect.die(new Error("a transaction without a batch cannot be stale"))
    ))
