import { it } from "@effect/vitest"
import { Broker } from "@exactly-once/broker"
import { Effect, Exit, Layer } from "effect"
import { assert, describe } from "vitest"
import { parseTopic } from "../src/command.ts"
import { Runtime } from "../src/Runtime.ts"
import { NO_PID, Probe } from "./support/Probe.ts"

describe("Broker.layer", () => {
  it.live("starts on a free port in no time, and is gone with its scope", () =>
    Effect.gen(function*() {
      const started = performance.now()
      const address = yield* Effect.gen(function*() {
        const broker = yield* Broker
        assert.isBelow(performance.now() - started, 500)
        yield* broker.createTopic("t", 2)
        yield* broker.createTopic("t", 5)
        assert.deepStrictEqual(yield* broker.topics, [{ name: "t", partitions: 2 }])
        const probe = yield* Effect.promise(() => Probe.open(broker.bootstrap))
        assert.strictEqual((yield* Effect.promise(() => probe.produce(9, NO_PID))).error, 0)
        const [record] = yield* broker.records("t", 0)
        assert.strictEqual(Buffer.from(record!.value!).toString(), "v")
        assert.strictEqual((yield* broker.partition("t", 0)).highWatermark, 1n)
        return broker.bootstrap
      }).pipe(Effect.provide(Broker.layer({ host: "127.0.0.1" })))
      const refused = yield* Effect.exit(Effect.tryPromise(() => Probe.open(address)))
      assert.isTrue(Exit.isFailure(refused))
    }))

  it.live("says why it could not start", () =>
    Effect.gen(function*() {
      const broker = yield* Broker
      const port = Number(broker.bootstrap.split(":")[1])
      const error = yield* Effect.flip(Effect.scoped(Broker.make({ port })))
      assert.strictEqual(error._tag, "BrokerStartError")
      assert.include(error.message, "EADDRINUSE")
      assert.include((yield* Effect.flip(Effect.scoped(Broker.make({ nodes: 0 })))).message, "nodes")
      assert.strictEqual((yield* Effect.flip(broker.records("t", 0)))._tag, "UnknownPartition")
    }).pipe(Effect.provide(Broker.layer())))

  it.live("two of them are two clusters", () =>
    Effect.gen(function*() {
      const one = yield* Broker.make()
      const two = yield* Broker.make()
      assert.notStrictEqual(one.bootstrap, two.bootstrap)
      yield* one.createTopic("t")
      assert.deepStrictEqual(yield* two.topics, [])
    }))

  it.live("is a layer like any other", () =>
    Effect.gen(function*() {
      const bootstrap = yield* Broker.useSync((broker) => broker.bootstrap)
      assert.match(bootstrap, /^127\.0\.0\.1:\d+$/)
    }).pipe(Effect.provide(Layer.fresh(Broker.layer()))))
})

describe("a thousand brokers, one after another", () => {
  it.live("leave nothing behind, used or not", () =>
    Effect.promise(async () => {
      const cycle = async () => {
        const runtime = new Runtime({ topics: { t: 1 } })
        await runtime.start()
        const probe = await Probe.open(runtime.addresses[0]!)
        await probe.produce(9, NO_PID)
        void probe.fetch({ from: 1n, maxWaitMs: 60_000 }).catch(() => {})
        await runtime.stop()
        await probe.client.closed
      }
      for (let i = 0; i < 50; i++) await cycle()
      const resources = () => process.getActiveResourcesInfo().length
      const before = resources()
      const heap = process.memoryUsage().heapUsed
      for (let i = 0; i < 950; i++) await cycle()
      assert.isAtMost(resources(), before + 2)
      // What is not collected yet counts too, so the bound is generous: 950 brokers that stayed would hold far more.
      assert.isBelow(process.memoryUsage().heapUsed - heap, 60_000_000)
    }), 60_000)
})

describe("the command line", () => {
  it("reads topics as name or name:partitions", () => {
    assert.deepStrictEqual(parseTopic("orders", 3), ["orders", 3])
    assert.deepStrictEqual(parseTopic("orders:6", 3), ["orders", 6])
    assert.deepStrictEqual(parseTopic("odd:name", 3), ["odd:name", 3])
  })
})
