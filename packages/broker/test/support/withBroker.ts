import { Broker, type BrokerOptions, type BrokerShape } from "@exactly-once/broker"
import { Effect } from "effect"
import { assert } from "vitest"
import { Probe } from "./Probe.ts"

/** Runs a test against a broker of its own and a probe connected to it; afterwards nothing may have gone wrong inside the broker. */
export const withBroker = (
  options: BrokerOptions,
  test: (probe: Probe, broker: BrokerShape, run: <A, E>(effect: Effect.Effect<A, E>) => Promise<A>) => Promise<void>
): () => Promise<void> =>
() =>
  Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const broker = yield* Broker.make(options)
    const probe = yield* Effect.acquireRelease(
      Effect.promise(() => Probe.open(broker.addresses[0]!)),
      (it) => Effect.promise(() => it.close())
    )
    yield* Effect.promise(() => test(probe, broker, (effect) => Effect.runPromise(effect)))
    assert.deepStrictEqual(yield* broker.defects, [])
  })))
