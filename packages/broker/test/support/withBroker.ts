import { Broker, type BrokerOptions, type BrokerShape } from "@exactly-once/broker"
import { Effect } from "effect"
import { assert } from "vitest"
import { Probe } from "./Probe.ts"

type Run = <A, E>(effect: Effect.Effect<A, E>) => Promise<A>

/** Runs a test against a broker of its own; afterwards nothing may have gone wrong inside the broker. */
export const withListeners = (
  options: BrokerOptions,
  test: (broker: BrokerShape, run: Run) => Promise<void>
): () => Promise<void> =>
() =>
  Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const broker = yield* Broker.make(options)
    yield* Effect.promise(() => test(broker, (effect) => Effect.runPromise(effect)))
    assert.deepStrictEqual(yield* broker.defects, [])
  })))

/** The same with a probe connected to its first node. */
export const withBroker = (
  options: BrokerOptions,
  test: (probe: Probe, broker: BrokerShape, run: Run) => Promise<void>
): () => Promise<void> =>
  withListeners(options, async (broker, run) => {
    const probe = await Probe.open(broker.addresses[0]!)
    try {
      await test(probe, broker, run)
    } finally {
      await probe.close()
    }
  })
