/**
 * Asking again what certainly had no effect: CONCURRENT_TRANSACTIONS every few milliseconds (R12), a coordinator that is
 * loading or elsewhere a little slower.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { type Failure, isConcurrentTransactions } from "./classify.ts"

export interface PollOptions {
  readonly budget: number
  readonly again: (failure: Failure) => boolean
}

const pause = (failure: Failure, attempt: number): Effect.Effect<void> =>
  Effect.flatMap(Random.next, (random) => {
    const base = isConcurrentTransactions(failure)
      ? Math.min(1 + attempt * 0.25, 20)
      : Math.min(10 * 1.5 ** attempt, 250)
    return Effect.sleep(base * (1 + random * (isConcurrentTransactions(failure) ? 4 : 1)))
  })

/** Repeats `attempt` while its failure is one of `again`, for at most `budget` milliseconds; then fails with the last. */
export const poll = <A>(attempt: Effect.Effect<A, Failure>, options: PollOptions): Effect.Effect<A, Failure> =>
  Effect.catch(attempt, (first) =>
    !options.again(first) ? Effect.fail(first) : Effect.gen(function*() {
      const deadline = (yield* Clock.currentTimeMillis) + options.budget
      let failure = first
      for (let n = 0; (yield* Clock.currentTimeMillis) < deadline; n++) {
        yield* pause(failure, n)
        const result = yield* Effect.result(attempt)
        if (result._tag === "Success") return result.success
        failure = result.failure
        if (!options.again(failure)) break
      }
      return yield* Effect.fail(failure)
    }))
