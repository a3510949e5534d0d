/**
 * Metrics and logs of a transaction: one update each per transaction, never per record.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type { Outcome } from "../Outcome.ts"
import { format } from "../TopicPartition.ts"

const transactions = Metric.counter("exactly_once_transactions_total", {
  description: "transactions by outcome",
  incremental: true
})
const records = Metric.counter("exactly_once_records_committed_total", {
  description: "records written by committed transactions",
  incremental: true
})
const duration = Metric.timer("exactly_once_transaction_duration", { description: "begin to end of a transaction" })

const byOutcome = {
  Committed: Metric.withAttributes(transactions, { outcome: "committed" }),
  Aborted: Metric.withAttributes(transactions, { outcome: "aborted" }),
  Unknown: Metric.withAttributes(transactions, { outcome: "unknown" }),
  Empty: Metric.withAttributes(transactions, { outcome: "empty" })
} as const

/** Counts, logs what is not routine, and tells `onOutcome`. */
export const record = Effect.fnUntraced(function*(
  outcome: Outcome,
  onOutcome: ((outcome: Outcome) => Effect.Effect<void>) | undefined
) {
  yield* Metric.update(byOutcome[outcome._tag], 1)
  yield* Metric.update(duration, Duration.millis(outcome.elapsedMs))
  if (outcome._tag === "Committed") yield* Metric.update(records, outcome.emitted)
  else if (outcome._tag !== "Empty") {
    yield* Effect.logWarning(`transaction ${outcome._tag.toLowerCase()}`, {
      transactionalId: outcome.transactionalId,
      partitions: outcome.partitions.map(format),
      reason: outcome._tag === "Aborted" ? outcome.reason : "no answer to EndTxn",
      description: outcome.description,
      elapsedMs: outcome.elapsedMs
    })
  }
  yield* Effect.annotateCurrentSpan({ "messaging.kafka.transaction.outcome": outcome._tag })
  if (onOutcome !== undefined) yield* onOutcome(outcome)
})
