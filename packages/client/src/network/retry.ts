/**
 * Asking again. CONCURRENT_TRANSACTIONS is asked every few milliseconds, since markers take that long (R12); anything
 * else at growing, jittered distances.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { type Failure, isConcurrentTransactions } from "./failure.ts"

/** Whole milliseconds before attempt `n + 1`; `random` in [0, 1). */
export const pause = (failure: Failure, n: number, random: number): number =>
  Math.ceil(
    isConcurrentTransactions(failure)
      ? Math.min(1 + n * 0.25, 20) * (1 + random)
      : Math.min(20 * 2 ** n, 500) * (0.5 + random)
  )

/** Repeats `attempt` while its failure is one of `again`, for at most `budget` milliseconds; then fails with the last. */
export const retry = <A>(
  attempt: Effect.Effect<A, Failure>,
  budget: number,
  again: (failure: Failure) => boolean
): Effect.Effect<A, Failure> =>
  Effect.catch(attempt, (first) =>
    !again(first) ? Effect.fail(first) : Effect.gen(function*() {
      const deadline = (yield* Clock.currentTimeMillis) + budget
      let failure = first
      for (let n = 0; (yield* Clock.currentTimeMillis) < deadline; n++) {
        yield* Effect.sleep(pause(failure, n, yield* Random.next))
        const result = yield* Effect.result(attempt)
        if (result._tag === "Success") return result.success
        failure = result.failure
        if (!again(failure)) break
      }
      return yield* Effect.fail(failure)
    }))
