import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Semaphore } from "effect"
import { Driver, IdempotentProducer, KafkaError, Offset, Topic } from "../src/index.ts"

const Output = Topic.string("out")
const text = new TextDecoder()

/** A driver that holds each send until it is let go, and answers with what `refuse` says of its values. */
const setUp = (refuse: (values: ReadonlyArray<string>) => Partial<Driver.DriverError> | undefined) => {
  const gate = Semaphore.makeUnsafe(1)
  const sends: Array<ReadonlyArray<string>> = []
  const driver = Layer.mock(Driver.Driver, {
    capabilities: {
      name: "test",
      fencing: "partition",
      openTransactions: 1,
      ownEpochInit: false,
      stableFetch: false,
      holdsRevocation: true,
      transactionsV2: false,
      compression: ["none"]
    },
    admin: {
      partitions: () => Effect.die("unused"),
      committed: () => Effect.die("unused"),
      offsets: () => Effect.die("unused")
    },
    idempotentProducer: () =>
      Effect.succeed({
        send: (topic, records) =>
          gate.withPermits(1)(Effect.suspend(() => {
            const values = records.map(({ value }) => text.decode(value ?? undefined))
            sends.push(values)
            const refused = refuse(values)
            return refused === undefined
              ? Effect.succeed(records.map((_, i) => ({ topic, partition: 0, offset: Offset.Offset.make(BigInt(i)) })))
              : Effect.fail(
                new Driver.DriverError({ operation: "send", failure: "InvalidRecord", description: "no", ...refused })
              )
          }))
      })
  })
  return { gate, sends, layer: IdempotentProducer.layer().pipe(Layer.provide(driver)) }
}

const send = (value: string) => IdempotentProducer.send(Output, [{ key: "k", value }])

/** The first call is held while the others queue up behind it and go out as one. */
const sideBySide = (gate: Semaphore.Semaphore, values: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    yield* gate.take(1)
    const fibers: Array<Fiber.Fiber<unknown, IdempotentProducer.SendError>> = []
    for (const value of ["first", ...values]) {
      fibers.push(yield* Effect.forkChild(send(value)))
      yield* Effect.yieldNow
      yield* Effect.yieldNow
    }
    yield* gate.release(1)
    return yield* Effect.forEach(fibers.slice(1), (fiber) => Effect.result(Fiber.join(fiber)))
  })

describe("sends that go out together", () => {
  it.effect("a record that the client refuses fails its own call and no other", () =>
    Effect.gen(function*() {
      const { gate, layer, sends } = setUp((values) => values.includes("bad") ? {} : undefined)
      const [before, bad, after] = yield* sideBySide(gate, ["a", "bad", "b"]).pipe(Effect.provide(layer))
      assert.deepStrictEqual(sends[1], ["a", "bad", "b"])
      assert.deepStrictEqual([before?._tag, bad?._tag, after?._tag], ["Success", "Failure", "Success"])
      assert.instanceOf(bad?._tag === "Failure" ? bad.failure : undefined, KafkaError.InvalidRecord)
      assert.deepStrictEqual(sends.slice(2), [["a"], ["bad"], ["b"]])
    }))

  it.effect("what a broker refused may have been written in part, and is not sent again", () =>
    Effect.gen(function*() {
      const { gate, layer, sends } = setUp((values) => values.includes("bad") ? { code: 10 } : undefined)
      const results = yield* sideBySide(gate, ["a", "bad"]).pipe(Effect.provide(layer))
      assert.deepStrictEqual(results.map(({ _tag }) => _tag), ["Failure", "Failure"])
      assert.strictEqual(sends.length, 2)
    }))
})
