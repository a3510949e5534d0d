/** Alone in a process with --expose-gc: a thousand brokers are started, used and stopped. What is still there? */
import { Broker, type BrokerShape } from "@exactly-once/broker"
import { Probe } from "@exactly-once/testkit"
import { Effect } from "effect"
import { setImmediate } from "node:timers/promises"

const held: Array<WeakRef<BrokerShape>> = []
const utf8 = new TextEncoder()

const cycle = Effect.scoped(Effect.gen(function*() {
  const broker = yield* Broker.make({ topics: { t: 1 } })
  const probe = yield* Probe.make(broker.addresses)
  const transaction = yield* probe.transaction("id", 60_000)
  yield* transaction.produce("t", 0, [{ key: null, value: utf8.encode("v"), headers: [] }])
  yield* transaction.end(true)
  held.push(new WeakRef(broker))
}))

const collect = async () => {
  for (let i = 0; i < 5; i++) {
    await setImmediate()
    globalThis.gc?.()
  }
}

const measure = async () => {
  await collect()
  return { heap: process.memoryUsage().heapUsed, resources: process.getActiveResourcesInfo().length }
}

// What is loaded and compiled by the first ones stays, rightly.
for (let i = 0; i < 50; i++) await Effect.runPromise(cycle)
held.length = 0
const before = await measure()
for (let i = 0; i < 1_000; i++) await Effect.runPromise(cycle)
const after = await measure()
console.log(JSON.stringify({
  alive: held.filter((ref) => ref.deref() !== undefined).length,
  heapMegabytes: Math.max(0, after.heap - before.heap) / 1e6,
  resources: Math.max(0, after.resources - before.resources)
}))
