import { it as effectIt } from "@effect/vitest"
import { Broker } from "@exactly-once/broker"
import { Apis, Frame } from "@exactly-once/protocol"
import { Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { assert, describe, it } from "vitest"
import { Runtime } from "../../src/Runtime.ts"
import { environment } from "../../src/simulated.ts"

/** A clock that stands still until it is told to move. */
class Clock {
  time = 1_000_000
  private timers: Array<{ readonly at: number; readonly run: () => void }> = []
  private seed = 1

  readonly environment = {
    now: () => this.time,
    after: (millis: number, run: () => void) => {
      const timer = { at: this.time + millis, run }
      this.timers.push(timer)
      return () => {
        this.timers = this.timers.filter((it) => it !== timer)
      }
    },
    randomBytes: () => Uint8Array.from({ length: 16 }, () => (this.seed = (this.seed * 75 + 74) % 65_537) & 255)
  }

  move(millis: number): void {
    const until = this.time + millis
    for (;;) {
      const next = this.timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.timers = this.timers.filter((it) => it !== next)
      this.time = next.at
      next.run()
    }
    this.time = until
  }
}

const open = (clock: Clock) => {
  const runtime = new Runtime({ listen: false, topics: { t: 1 }, environment: clock.environment })
  const splitter = new Frame.FrameSplitter()
  const answers: Array<Uint8Array> = []
  const channel = runtime.connect({
    onData: (bytes) => answers.push(...splitter.push(bytes)),
    onClose: () => answers.push(new Uint8Array(0))
  })
  return { runtime, channel, answers }
}

const fetch = (maxWaitMs: number) =>
  Frame.encodeRequest(Apis.Fetch, {
    replicaId: -1,
    maxWaitMs,
    minBytes: 1,
    isolationLevel: 1,
    topics: [{ topic: "t", partitions: [{ partition: 0, fetchOffset: 0n, partitionMaxBytes: 1000 }] }]
  }, { version: 11, correlationId: 1, clientId: "simulated" })

describe("a broker without sockets", () => {
  it("keeps to the clock it was given, long polls included", async () => {
    const clock = new Clock()
    const { answers, channel, runtime } = open(clock)
    await runtime.start()
    channel.write(fetch(500))
    assert.lengthOf(answers, 0)
    clock.move(499)
    assert.lengthOf(answers, 0)
    clock.move(1)
    assert.lengthOf(answers, 1)
    await runtime.stop()
    clock.move(0)
    assert.lengthOf(answers, 2)
  })

  it("runs the same way twice from the same clock and chance", async () => {
    const run = async () => {
      const clock = new Clock()
      const { answers, channel, runtime } = open(clock)
      for (const [correlationId, name] of ["a", "b"].entries()) {
        const body = { topics: [{ name }], allowAutoTopicCreation: true }
        channel.write(
          Frame.encodeRequest(Apis.Metadata, body, { version: 12, correlationId, clientId: "simulated" })
        )
        clock.move(1)
      }
      await runtime.stop()
      return answers.map((it) => Buffer.from(it).toString("hex"))
    }
    assert.deepStrictEqual(await run(), await run())
  })

  it("lets a transaction time out when its clock says so", async () => {
    const clock = new Clock()
    const { answers, channel, runtime } = open(clock)
    const send = <I>(api: Parameters<typeof Frame.encodeRequest<I>>[0], version: number, body: I) => {
      channel.write(Frame.encodeRequest(api, body, { version, correlationId: 1, clientId: "simulated" }))
      clock.move(1)
      return answers.at(-1)!
    }
    send(Apis.FindCoordinator, 4, { keyType: 1, coordinatorKeys: ["id"] })
    const init = Frame.decodeResponse(
      Apis.InitProducerId,
      4,
      send(Apis.InitProducerId, 4, { transactionalId: "id", transactionTimeoutMs: 5_000 })
    ).body
    send(Apis.AddPartitionsToTxn, 3, {
      v3AndBelowTransactionalId: "id",
      v3AndBelowProducerId: init.producerId,
      v3AndBelowProducerEpoch: init.producerEpoch,
      v3AndBelowTopics: [{ name: "t", partitions: [0] }]
    })
    clock.move(4_998)
    assert.strictEqual(runtime.cluster.transactions.get("id")?.state, "Ongoing")
    clock.move(1)
    assert.strictEqual(runtime.cluster.transactions.get("id")?.state, "CompleteAbort")
    await runtime.stop()
  })
})

describe("a simulated broker", () => {
  effectIt.effect("lives on the test's clock", () =>
    Effect.gen(function*() {
      const broker = yield* Broker.makeSimulated({ topics: { t: 1 } })
      const splitter = new Frame.FrameSplitter()
      const answers: Array<Uint8Array> = []
      const channel = broker.connect({ onData: (bytes) => answers.push(...splitter.push(bytes)), onClose: () => {} })
      channel.write(fetch(30_000))
      yield* Effect.yieldNow
      yield* TestClock.adjust("29 seconds")
      assert.lengthOf(answers, 0)
      yield* TestClock.adjust("1 seconds")
      yield* Effect.yieldNow
      assert.lengthOf(answers, 1)
      assert.deepStrictEqual(yield* broker.defects, [])
    }))

  effectIt.effect("counts whole milliseconds, whatever its clock does", () =>
    Effect.gen(function*() {
      const { now } = yield* environment(1)
      yield* TestClock.adjust(Duration.millis(20.75))
      assert.strictEqual(now(), 20)
    }))

  effectIt.effect("gives the same topic ids for the same seed, and others for another", () =>
    Effect.gen(function*() {
      const id = (seed: number) =>
        Effect.scoped(Effect.gen(function*() {
          const broker = yield* Broker.makeSimulated({ seed, topics: { t: 1 } })
          return (yield* broker.snapshot).topics[0]!.id
        }))
      assert.strictEqual(yield* id(7), yield* id(7))
      assert.notStrictEqual(yield* id(7), yield* id(8))
    }))
})
