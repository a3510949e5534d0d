/** Time from Effect's clock and chance from a seed: what makes a run of broker and client in one process repeatable. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Environment } from "./cluster/Options.ts"

/** A generator of bytes that is the same for the same seed (mulberry32). */
const seeded = (seed: number): () => Uint8Array => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) & 255
  }
  return () => Uint8Array.from({ length: 16 }, next)
}

/**
 * An environment on the clock of the calling fiber. Under `TestClock` nothing times out until the test says so. What is due at once runs
 * as a microtask, so bytes between client and broker flow without the clock being moved.
 */
export const environment = (seed: number): Effect.Effect<Environment> =>
  Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const run = Effect.runForkWith(yield* Effect.context<never>())
    return {
      // Kafka's times are whole milliseconds; a clock that someone slept half of one on is not.
      now: () => Math.floor(clock.currentTimeMillisUnsafe()),
      after: (millis, act) => {
        if (millis > 0) {
          const fiber = run(Effect.andThen(clock.sleep(Duration.millis(millis)), Effect.sync(act)))
          return () => fiber.interruptUnsafe()
        }
        let cancelled = false
        queueMicrotask(() => {
          if (!cancelled) act()
        })
        return () => {
          cancelled = true
        }
      },
      randomBytes: seeded(seed)
    }
  })
