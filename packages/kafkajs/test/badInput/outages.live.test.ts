import { assert, it } from "@effect/vitest"
import { KafkaError } from "@exactly-once/core"
import { Proxy } from "@exactly-once/testkit"
import { Effect, Fiber } from "effect"
import { describeLive, liveBootstrap } from "../../../../scripts/vitest/live.ts"
import { committedValues } from "../support/kafka.ts"
import { until, world } from "./support.ts"

describeLive("brokers that are away", () => {
  it.live.each(["refuses connections", "accepts and says nothing"])(
    "a pipeline whose cluster %s for too long says so in bounded time, and its successor loses nothing",
    (kind) =>
      Effect.gen(function*() {
        const { committed, copy, name, probe, put } = yield* world({ in: 1, out: 1 })
        const proxy = yield* Proxy.make({ bootstrap: liveBootstrap() })
        yield* put("in", ["a"])
        const running = yield* Effect.forkChild(Effect.flip(copy(1_000, {
          session: { recoveryTimeout: "2 seconds", transactionTimeout: "5 seconds" },
          consumer: { sessionTimeout: "2 seconds" },
          driver: {
            bootstrap: proxy.bootstrap,
            connectionTimeout: 500,
            requestTimeout: 1_000,
            reconnectTimeout: 2_000
          }
        })))
        yield* until(Effect.map(committed(), (offset) => offset === 1n))
        yield* kind === "refuses connections" ? proxy.down : proxy.freeze()
        yield* put("in", ["b"])
        const started = performance.now()
        const error = yield* Fiber.join(running)
        assert.instanceOf(error, KafkaError.KafkaUnavailable)
        assert.isBelow(performance.now() - started, 20_000)
        yield* copy(1)
        assert.deepStrictEqual(yield* committedValues(probe, name("out")), ["a", "b"])
        assert.strictEqual(yield* committed(), 2n)
      })
  )

  it.live("a program that starts while no broker answers fails before it reads, by the brokers' names", () =>
    Effect.gen(function*() {
      const { copy } = yield* world({ in: 1, out: 1 })
      const proxy = yield* Proxy.make({ bootstrap: liveBootstrap() })
      yield* proxy.down
      const error = yield* Effect.flip(copy(1, { driver: { bootstrap: proxy.bootstrap } }))
      assert.instanceOf(error, KafkaError.KafkaUnavailable)
      assert.include(error.message, proxy.bootstrap[0]?.split(":")[1] ?? "a port")
    }))
})
