/**
 * Budgets of time, resolved and checked before anything runs (R14). A transaction has to end by our own clock before the
 * coordinator ends it by its own, and before the group takes its partitions away.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Misconfigured } from "../KafkaError.ts"

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

const refuse = (setting: string, description: string) => Effect.fail(new Misconfigured({ setting, description }))

export const resolve = (requested: Requested): Effect.Effect<Budgets, Misconfigured> => {
  const transactionTimeoutMs = requested.transactionTimeout === undefined
    ? defaultTransactionTimeoutMs
    : Duration.toMillis(Duration.fromInputUnsafe(requested.transactionTimeout))
  const marginMs = requested.commitMargin === undefined
    ? Math.round(transactionTimeoutMs * 0.25)
    : Duration.toMillis(Duration.fromInputUnsafe(requested.commitMargin))
  const bodyMs = requested.bodyTimeout === undefined
    ? Math.round(transactionTimeoutMs * 0.7)
    : Duration.toMillis(Duration.fromInputUnsafe(requested.bodyTimeout))
  if (!Number.isFinite(transactionTimeoutMs) || transactionTimeoutMs < 100 || transactionTimeoutMs > 2_147_483_647) {
    return refuse("transactionTimeout", `${transactionTimeoutMs} ms is not a time from 100 ms to 2,147,483,647 ms`)
  }
  if (!(bodyMs > 0)) return refuse("bodyTimeout", `${bodyMs} ms leaves a body no time`)
  if (!(marginMs > 0)) return refuse("commitMargin", `${marginMs} ms leaves flush, offsets and commit no time`)
  if (bodyMs + marginMs >= transactionTimeoutMs) {
    return refuse(
      "bodyTimeout",
      `bodyTimeout ${bodyMs} ms + commitMargin ${marginMs} ms must be below transactionTimeout ${transactionTimeoutMs} ms, ` +
        `or the coordinator aborts before the session does`
    )
  }
  return Effect.succeed({ transactionTimeoutMs, bodyMs, marginMs })
}

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
