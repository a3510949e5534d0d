/**
 * Budgets of time, resolved and checked before anything runs (R14). A transaction has to end by our own clock before the
 * coordinator ends it by its own, and before the group takes its partitions away.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Misconfigured } from "../KafkaError.ts"
import { brokerTime, refuse } from "./settings.ts"

/** All in milliseconds. */
export interface Budgets {
  readonly transactionTimeoutMs: number
  /** What a body may take, from its begin. */
  readonly bodyMs: number
  /** What flush, offsets and commit may take after the body. */
  readonly marginMs: number
}

export interface Requested {
  readonly transactionTimeout: Duration.Input | undefined
  readonly bodyTimeout: Duration.Input | undefined
  readonly commitMargin: Duration.Input | undefined
}

const defaultTransactionTimeoutMs = 10_000

export const resolve = Effect.fnUntraced(function*(requested: Requested): Effect.fn.Return<Budgets, Misconfigured> {
  const transactionTimeoutMs = requested.transactionTimeout === undefined
    ? defaultTransactionTimeoutMs
    : Duration.toMillis(Duration.fromInputUnsafe(requested.transactionTimeout))
  const marginMs = requested.commitMargin === undefined
    ? Math.round(transactionTimeoutMs * 0.25)
    : Duration.toMillis(Duration.fromInputUnsafe(requested.commitMargin))
  const bodyMs = requested.bodyTimeout === undefined
    ? Math.round(transactionTimeoutMs * 0.7)
    : Duration.toMillis(Duration.fromInputUnsafe(requested.bodyTimeout))
  yield* brokerTime("transactionTimeout", transactionTimeoutMs, 100)
  if (!(bodyMs > 0)) yield* refuse("bodyTimeout", `${bodyMs} ms leaves a body no time`)
  if (!(marginMs > 0)) yield* refuse("commitMargin", `${marginMs} ms leaves flush, offsets and commit no time`)
  if (bodyMs + marginMs >= transactionTimeoutMs) {
    yield* refuse(
      "bodyTimeout",
      `bodyTimeout ${bodyMs} ms + commitMargin ${marginMs} ms must be below transactionTimeout ${transactionTimeoutMs} ms, ` +
        `or the coordinator aborts before the session does`
    )
  }
  return { transactionTimeoutMs, bodyMs, marginMs }
})

export interface GroupTimes {
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
}

/** Session and consumer together: known only when the two meet, before the first record is read. */
export const checkTogether = (budgets: Budgets, group: GroupTimes): Effect.Effect<void, Misconfigured> => {
  if (budgets.bodyMs + budgets.marginMs >= group.rebalanceTimeoutMs) {
    return refuse(
      "rebalanceTimeout",
      `bodyTimeout ${budgets.bodyMs} ms + commitMargin ${budgets.marginMs} ms must be below rebalanceTimeout ` +
        `${group.rebalanceTimeoutMs} ms, or the group moves on while a transaction is still finishing`
    )
  }
  return budgets.transactionTimeoutMs > group.sessionTimeoutMs
    ? Effect.logWarning(
      `transactionTimeout ${budgets.transactionTimeoutMs} ms is longer than sessionTimeout ${group.sessionTimeoutMs} ms: ` +
        `after a crash the next owner waits for the pending offsets until the transaction times out`
    )
    : Effect.void
}
