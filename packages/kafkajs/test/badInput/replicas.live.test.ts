import { assert, it } from "@effect/vitest"
import { TransactionError } from "@exactly-once/core"
import { Effect, Fiber } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { describeLive, liveBootstrap } from "../../../../scripts/vitest/live.ts"
import { committedValues } from "../support/kafka.ts"
import { until, world } from "./support.ts"

const root = join(import.meta.dirname, "../../../..")

/** The example worker as a process; killed with the test's scope. */
const worker = (env: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(process.execPath, [join(root, "examples/worker.ts")], {
        env: { ...process.env, KAFKA_BOOTSTRAP: liveBootstrap().join(","), ...env },
        stdio: ["ignore", "pipe", "pipe"]
      })
      let output = ""
      child.stdout.on("data", (chunk: Buffer) => output += chunk.toString())
      child.stderr.on("data", (chunk: Buffer) => output += chunk.toString())
      const exited = once(child, "exit").then(([code]: ReadonlyArray<unknown>) => code)
      return { child, exited, output: () => output }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

describeLive("two live processes under one replica name", () => {
  it.live("the older stops with ReplicaClash, the newer carries on, nothing is lost or doubled", () =>
    Effect.gen(function*() {
      const { copy, name, probe, put } = yield* world({ in: 2, out: 1 })
      yield* put("in", ["a"], 0)
      yield* put("in", ["b"], 1)
      const both = Effect.map(committedValues(probe, name("out")), (values) => values.length >= 2)
      const older = yield* Effect.forkChild(Effect.flip(copy(1_000)))
      yield* until(both)
      const newer = yield* Effect.forkChild(copy(2))
      const error = yield* Fiber.join(older)
      assert.instanceOf(error, TransactionError.ReplicaClash)
      if (error._tag === "ReplicaClash") {
        assert.strictEqual(error.replica, "app-0")
        assert.isTrue(error.newer > error.incarnation)
      }
      assert.include(error.message, "its own name")
      yield* put("in", ["c"], 0)
      yield* put("in", ["d"], 1)
      yield* Fiber.join(newer)
      assert.deepStrictEqual((yield* committedValues(probe, name("out"))).toSorted(), ["a", "b", "c", "d"])
    }))

  it.live("a worker process that was replaced under its name exits with 4, and its successor with 0 at SIGTERM", () =>
    Effect.gen(function*() {
      const { committed, name, probe, put } = yield* world({ in: 1, out: 1 })
      yield* put("in", ["a"])
      const env = {
        IN_TOPIC: name("in"),
        OUT_TOPIC: name("out"),
        GROUP_ID: name("group"),
        TXN_ID_PREFIX: name("app"),
        WORKER_INDEX: "7",
        SESSION_TIMEOUT_MS: "6000"
      }
      const older = yield* worker(env)
      yield* until(Effect.map(committed(), (offset) => offset === 1n))
      const newer = yield* worker(env)
      assert.strictEqual(yield* Effect.promise(() => older.exited), 4, older.output())
      assert.include(older.output(), "worker-7")
      yield* put("in", ["b"])
      yield* until(Effect.map(committed(), (offset) => offset === 2n))
      newer.child.kill("SIGTERM")
      assert.strictEqual(yield* Effect.promise(() => newer.exited), 0, newer.output())
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), ["a", "b"])
    }))

  it.live("a worker with a setting that the cluster refuses exits with 2, and says which", () =>
    Effect.gen(function*() {
      const { name } = yield* world({ in: 1, out: 1 })
      const env = { IN_TOPIC: name("in"), OUT_TOPIC: name("out"), GROUP_ID: name("group"), TXN_ID_PREFIX: name("app") }
      const slow = yield* worker({ ...env, TXN_TIMEOUT_MS: "3600000" })
      assert.strictEqual(yield* Effect.promise(() => slow.exited), 2, slow.output())
      assert.include(slow.output(), "transactionTimeout")
      const lost = yield* worker({ ...env, IN_TOPIC: name("nowhere") })
      assert.strictEqual(yield* Effect.promise(() => lost.exited), 2, lost.output())
      assert.include(lost.output(), name("nowhere"))
      const nameless = yield* worker({ ...env, GROUP_ID: "" })
      assert.strictEqual(yield* Effect.promise(() => nameless.exited), 2, nameless.output())
      assert.include(nameless.output(), "GROUP_ID")
      const unreachable = yield* worker({ ...env, KAFKA_BOOTSTRAP: "not an address" })
      assert.strictEqual(yield* Effect.promise(() => unreachable.exited), 2, unreachable.output())
      assert.include(unreachable.output(), "not an address")
    }))
})
