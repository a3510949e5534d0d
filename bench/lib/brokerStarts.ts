/** Alone in a process: how long a broker takes from nothing to accepting connections, in ms, over a hundred of them. */
import { Broker } from "@exactly-once/broker"
import { Effect } from "effect"

const start = Effect.scoped(Effect.gen(function*() {
  const began = performance.now()
  yield* Broker.make({ topics: { t: 4 } })
  return performance.now() - began
}))

const times = await Effect.runPromise(Effect.replicateEffect(start, 100))
const [first = NaN, ...later] = times
later.sort((a, b) => a - b)
console.log(JSON.stringify({ first, median: later[Math.floor(later.length / 2)], slowest: Math.max(...times) }))
