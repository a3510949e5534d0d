/**
 * The transaction that a body runs in. Only `transactionally` and `withTransaction` provide it.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { Batch } from "./Batch.ts"
import type { EncodeError, InvalidRecord, KafkaError } from "./KafkaError.ts"
import type { Offset } from "./Offset.ts"
import type { OutRecord, Topic } from "./Topic.ts"
import type { TransactionError, TransactionMisuse } from "./TransactionError.ts"

/**
 * Why records were not taken. After an `EncodeError`, which took nothing of its call, the body may emit something else
 * instead. After any other the transaction cannot commit any more, whatever the body does with it (R3).
 */
export type EmitError = EncodeError | InvalidRecord | KafkaError | TransactionError | TransactionMisuse

interface Shape {
  readonly transactionalId: string
  readonly emit: <K, V>(
    topic: Topic<string, K, V>,
    records: ReadonlyArray<OutRecord<K, V>>
  ) => Effect.Effect<void, EmitError>
  readonly flush: Effect.Effect<void, EmitError>
  readonly consumed: (batch: Batch<unknown>) => Effect.Effect<void, EmitError>
  readonly remaining: Effect.Effect<Duration.Duration>
  /** Milliseconds since the epoch. */
  readonly deadline: number
}

/** The service that a body runs with. A program cannot make one: `transactionally` and `withTransaction` provide it. */
export class Transaction extends Context.Service<Transaction, Shape>()("@exactly-once/core/Transaction") {}

/**
 * Writes records as part of the transaction. All of a call are encoded before any is sent. Answers when they are
 * queued in order, or sent when much waits; the commit waits for all of them. Concurrent calls lose nothing (R10).
 */
export const emit = <K, V>(
  topic: Topic<string, K, V>,
  records: ReadonlyArray<OutRecord<NoInfer<K>, NoInfer<V>>>
): Effect.Effect<void, EmitError, Transaction> => Transaction.use((transaction) => transaction.emit(topic, records))

/**
 * Sends what was emitted so far and waits until the brokers have it, still invisible: so that nothing is left that they
 * could refuse before a body acts on the world outside. The commit does this in any case.
 */
export const flush: Effect.Effect<void, EmitError, Transaction> = Transaction.use((transaction) => transaction.flush)

/** Enlists a batch by hand: its offsets commit with this transaction. Once; `transactionally` does it for you. */
export const consumed = (batch: Batch<unknown>): Effect.Effect<void, EmitError, Transaction> =>
  Transaction.use((transaction) => transaction.consumed(batch))

/** Time left for the body. Hand it to downstream calls as their time-out. */
export const remaining: Effect.Effect<Duration.Duration, never, Transaction> = Transaction.use((transaction) =>
  transaction.remaining
)

/** When the body's time is over, in milliseconds since the epoch. */
export const deadline: Effect.Effect<number, never, Transaction> = Transaction.useSync((transaction) =>
  transaction.deadline
)

/** A key for a record that stays the same however often it is processed: topic-partition-offset. */
export const key = (
  record: { readonly topic: string; readonly partition: number; readonly offset: Offset }
): string => `${record.topic}-${record.partition}-${record.offset}`
