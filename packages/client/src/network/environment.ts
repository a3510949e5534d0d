/**
 * Time, chance and background work of one client, taken from the fiber that makes it: under `TestClock` and a seeded
 * `Random` a run is repeatable.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"

export interface Environment {
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Runs once, later; answers how to call it off. */
  readonly after: (millis: number, run: () => void) => () => void
  /** The next number in [0, 1). */
  readonly random: () => number
  /** Runs until it ends or the client is closed. */
  readonly fork: (effect: Effect.Effect<void>) => void
}

export const makeEnvironment: Effect.Effect<Environment, never, Scope.Scope> = Effect.gen(function*() {
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const run = Effect.runForkWith(yield* Effect.context<never>())
  const fibers = new Set<Fiber.Fiber<void>>()
  let closed = false
  yield* Effect.addFinalizer(() => {
    closed = true
    return Fiber.interruptAll(fibers)
  })
  const start = (effect: Effect.Effect<void>) => {
    if (closed) return undefined
    const fiber = run(effect)
    if (fiber.pollUnsafe() !== undefined) return fiber
    fibers.add(fiber)
    fiber.addObserver(() => {
      fibers.delete(fiber)
    })
    return fiber
  }
  return {
    // A clock that a test moves may stand between two milliseconds; timestamps on the wire may not.
    now: () => Math.floor(clock.currentTimeMillisUnsafe()),
    after: (millis, act) => {
      const fiber = start(Effect.andThen(clock.sleep(Duration.millis(millis)), Effect.sync(act)))
      return () => fiber?.interruptUnsafe()
    },
    random: () => random.nextDoubleUnsafe(),
    fork: (effect) => {
      start(effect)
    }
  }
})
