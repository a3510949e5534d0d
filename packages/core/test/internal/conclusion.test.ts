import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Duration, Effect, Exit, Fiber, Layer, Random, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  CommittedConsumer,
  type Driver,
  KafkaError,
  Transaction,
  transactionally,
  TransactionError,
  withTransaction
} from "../../src/index.ts"
import { SessionKey, TransactionalSession } from "../../src/TransactionalSession.ts"
import { copied, idle, Input, Output, setUp, until } from "../support/program.ts"

const in0 = { topic: "in", partition: 0 }
const large = "x".repeat(1_100_000)

const pipeline = CommittedConsumer.batches(Input).pipe(
  transactionally((batch) => Transaction.emit(Output, copied(batch.records)))
)

for (const fencing of ["partition", "group"] as const) {
  const id = fencing === "partition" ? "app-in-0" : "app-app-0-lane-0"
  const one = { kafka: { fencing, partitions: 1 } }

  describe(`a fence (${fencing})`, () => {
    it.effect("by a hiccup is redone, also when a send met it", () =>
      Effect.gen(function*() {
        const { kafka, layer, outcomes } = setUp({ kafka: { fencing: "partition", partitions: 1 } })
        kafka.put("in", 0, ["a"])
        kafka.before(({ op }, nth) =>
          op === "send" && nth === 1 ? Effect.sync(() => kafka.fence("app-in-0")) : Effect.void
        )
        yield* CommittedConsumer.batches(Input).pipe(
          transactionally(() => Transaction.emit(Output, [{ key: "k", value: large, partition: 0 }])),
          Stream.take(1),
          Stream.runDrain,
          Effect.provide(layer)
        )
        assert.deepStrictEqual(outcomes.map((o) => o._tag === "Aborted" ? o.reason : o._tag), ["Fenced", "Committed"])
        assert.strictEqual(kafka.values("out").length, 1)
      }))

    it.effect("three in a row, with the partition confirmed as ours each time, stop the pipeline", () =>
      Effect.gen(function*() {
        const { kafka, layer, outcomes } = setUp({ kafka: { fencing: "partition", partitions: 1 } })
        kafka.put("in", 0, ["a"])
        kafka.before(({ op }) => op === "offsets" ? Effect.sync(() => kafka.fence("app-in-0")) : Effect.void)
        const error = yield* pipeline.pipe(Stream.runDrain, Effect.provide(layer), Effect.flip)
        assert.instanceOf(error, TransactionError.ProducerFenced)
        assert.strictEqual(error.transactionalId, "app-in-0")
        assert.deepStrictEqual(outcomes.map((o) => o._tag === "Aborted" ? o.reason : o._tag), [
          "Fenced",
          "Fenced",
          "Fenced"
        ])
        assert.isUndefined(kafka.offset("g", in0))
      }))

    it.effect("by a newer process under the same id is not answered with an init, however often the stream is run", () =>
      Effect.gen(function*() {
        const { kafka, layer } = setUp({ kafka: { fencing: "group", partitions: 1 } })
        kafka.put("in", 0, ["a"])
        kafka.before(({ op }, nth) =>
          op === "offsets" && nth === 1 ? Effect.sync(() => kafka.fence("app-app-0-lane-0")) : Effect.void
        )
        const program = Effect.gen(function*() {
          const first = yield* Effect.flip(Stream.runDrain(pipeline))
          const epoch = kafka.epoch("app-app-0-lane-0")
          const second = yield* Effect.flip(Stream.runDrain(pipeline))
          return { first, second, epoch }
        })
        const { epoch, first, second } = yield* Effect.provide(program, layer)
        assert.instanceOf(first, TransactionError.ProducerFenced)
        assert.strictEqual(first.by, "NewerInstance")
        assert.instanceOf(second, KafkaError.KafkaFailure)
        assert.strictEqual(kafka.epoch("app-app-0-lane-0"), epoch, "the newer process keeps its epoch")
      }))

    it.effect("after the transaction's own time is the coordinator's time-out", () =>
      Effect.gen(function*() {
        const { kafka, layer, outcomes } = setUp(one)
        kafka.put("in", 0, ["a"])
        kafka.after(({ op }) => op === "flush" ? Effect.sleep("2900 millis") : Effect.void)
        kafka.before(({ op }) =>
          op === "offsets"
            ? Effect.andThen(Effect.sleep("500 millis"), Effect.sync(() => kafka.fence(id)))
            : Effect.void
        )
        const fiber = yield* CommittedConsumer.batches(Input).pipe(
          transactionally((batch) =>
            Effect.andThen(Transaction.emit(Output, copied(batch.records)), Effect.sleep("6900 millis"))
          ),
          Stream.runDrain,
          Effect.provide(layer),
          Effect.flip,
          Effect.forkChild
        )
        yield* until(() => kafka.count("begin") === 1)
        yield* TestClock.adjust("10300 millis")
        const error = yield* Fiber.join(fiber)
        if (fencing === "group") {
          // Its own epoch is refused too, so that it cannot be told from a newer process.
          assert.instanceOf(error, TransactionError.ProducerFenced)
        } else {
          assert.instanceOf(error, TransactionError.TransactionTimedOut)
          assert.strictEqual(error.enforcedBy, "Coordinator")
          assert.strictEqual(error.phase, "Offsets")
          assert.strictEqual(Duration.toMillis(error.elapsed), 10_300)
          assert.strictEqual(Duration.toMillis(error.budget), 10_000)
        }
        assert.isTrue(outcomes[0]?._tag === "Aborted" && outcomes[0].reason === "TimedOut")
        assert.deepStrictEqual(kafka.values("out"), [])
      }))
  })

  describe(`an unanswered commit (${fencing})`, () => {
    it.effect("that recovery cannot resolve in its time is CommitOutcomeUnknown, and nothing moves", () =>
      Effect.gen(function*() {
        const { kafka, layer, outcomes } = setUp({ ...one, session: { recoveryTimeout: "5 seconds" } })
        kafka.put("in", 0, ["a"])
        let away = false
        kafka.after(({ op }) =>
          op === "commit"
            ? Effect.suspend(() => {
              away = true
              return kafka.fail("commit", "UnknownOutcome")
            })
            : Effect.void
        )
        kafka.before(({ op }) => away && op === "init" ? kafka.fail("init", "Unavailable") : Effect.void)
        const fiber = yield* pipeline.pipe(Stream.runDrain, Effect.provide(layer), Effect.flip, Effect.forkChild)
        yield* until(() => kafka.count("commit") === 1)
        yield* TestClock.adjust("4 seconds")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("4 seconds")
        const error = yield* Fiber.join(fiber)
        assert.instanceOf(error, TransactionError.CommitOutcomeUnknown)
        assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag), ["Unknown"])
        assert.strictEqual(kafka.count("commit"), 1)
      }))

    it.effect("is not called an abort when another member has committed since", () =>
      Effect.gen(function*() {
        const { kafka, layer, outcomes } = setUp(one)
        kafka.put("in", 0, ["a"])
        kafka.after(({ op }, nth) =>
          op === "commit" && nth === 1
            ? Effect.suspend(() => {
              kafka.commitAs("g", in0, 2n)
              return kafka.fail("commit", "UnknownOutcome")
            })
            : Effect.void
        )
        const fiber = yield* pipeline.pipe(Stream.runDrain, Effect.provide(layer), Effect.forkChild)
        yield* until(() => outcomes.length > 0)
        yield* idle
        kafka.put("in", 0, ["b", "c"])
        yield* until(() => kafka.offset("g", in0) === 3n)
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag), ["Unknown", "Committed"])
        assert.deepStrictEqual(kafka.values("out"), ["a", "c"])
      }))

    it.effect("that is interrupted while it is resolved leaves nothing behind in its lane", () =>
      Effect.gen(function*() {
        const { kafka, layer, outcomes } = setUp(one)
        kafka.put("in", 0, ["a"])
        let away = false
        kafka.after(({ op }, nth) =>
          op === "commit" && nth === 1
            ? Effect.suspend(() => {
              away = true
              return kafka.fail("commit", "UnknownOutcome")
            })
            : Effect.void
        )
        kafka.before(({ op }) => away && op === "init" ? kafka.fail("init", "Unavailable") : Effect.void)
        const program = Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(Stream.runDrain(pipeline))
          yield* until(() => away && kafka.count("init") > 2)
          yield* Fiber.interrupt(fiber)
          away = false
          yield* pipeline.pipe(
            Stream.runDrain,
            Effect.raceFirst(until(() => kafka.offset("g", in0) === 2n)),
            Effect.tap(() => Effect.void),
            Effect.forkChild
          )
          kafka.put("in", 0, ["b"])
          yield* until(() => kafka.offset("g", in0) === 2n)
          const { lane } = (yield* TransactionalSession)[SessionKey].laneOf(in0)
          return [lane.unresolved.size, lane.resolved.size]
        })
        assert.deepStrictEqual(yield* Effect.provide(program, layer), [0, 0])
        assert.deepStrictEqual(kafka.values("out"), ["a", "b"])
        assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag).slice(0, 2), ["Unknown", "Committed"])
      }))

    it.effect("is not mistaken for an earlier transaction's, even when the program's randomness repeats itself", () =>
      Effect.gen(function*() {
        const { kafka, layer } = setUp(one)
        kafka.put("in", 0, ["a"])
        const run = pipeline.pipe(
          Stream.take(1),
          Stream.runDrain,
          Effect.provide(Layer.fresh(layer)),
          Random.withSeed("always the same")
        )
        yield* run
        kafka.put("in", 0, ["b"])
        let lost = false
        kafka.before(({ op }) =>
          op === "commit" && !lost
            ? Effect.suspend(() => {
              lost = true
              return kafka.fail("commit", "UnknownOutcome")
            })
            : Effect.void
        )
        yield* run
        assert.deepStrictEqual(kafka.values("out"), ["a", "b"])
        assert.strictEqual(kafka.offset("g", in0), 2n)
      }))
  })

  describe(`work that fails again and again (${fencing})`, () => {
    it.effect("pauses longer each time, fails when its time is over, and starts afresh when it is run again", () =>
      Effect.gen(function*() {
        const { kafka, layer } = setUp({ ...one, session: { recoveryTimeout: "10 seconds" } })
        kafka.put("in", 0, ["a"])
        let failing = true
        kafka.before(({ op }) => failing && op === "offsets" ? kafka.fail("offsets", "Abortable", 120) : Effect.void)
        const program = Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(Effect.flip(Stream.runDrain(pipeline)))
          yield* until(() => kafka.count("offsets") >= 1)
          yield* idle
          const atOnce = kafka.count("offsets")
          yield* TestClock.adjust("1 second")
          const soon = kafka.count("offsets")
          yield* TestClock.adjust("15 seconds")
          const error = yield* Fiber.join(fiber)
          yield* TestClock.adjust("1 hour")
          const again = yield* Effect.forkChild(pipeline.pipe(Stream.take(1), Stream.runDrain))
          const before = kafka.count("offsets")
          yield* until(() => kafka.count("offsets") > before)
          failing = false
          yield* TestClock.adjust("10 seconds")
          yield* Fiber.join(again)
          return { atOnce, soon, error }
        })
        const { atOnce, error, soon } = yield* Effect.provide(program, layer)
        assert.isAtMost(atOnce, 2)
        assert.isAtMost(soon, 8)
        assert.instanceOf(error, TransactionError.TransactionAborted)
        assert.strictEqual(error.reason, "OffsetsFailed")
        assert.strictEqual(error.code, 120)
        assert.deepStrictEqual(kafka.values("out"), ["a"])
      }))

    it.effect("a lane that brokers do not let recover fails after recoveryTimeout, not after twice that", () =>
      Effect.gen(function*() {
        const { kafka, layer } = setUp({ ...one, session: { recoveryTimeout: "10 seconds" } })
        kafka.put("in", 0, ["a"])
        let away = false
        kafka.before(({ op }) =>
          Effect.suspend(() => {
            if (op === "begin") away = true
            return away && (op === "begin" || op === "init") ? kafka.fail(op, "Unavailable") : Effect.void
          })
        )
        const fiber = yield* pipeline.pipe(Stream.runDrain, Effect.provide(layer), Effect.flip, Effect.forkChild)
        yield* until(() => away)
        yield* TestClock.adjust("14 seconds")
        assert.isDefined(fiber.pollUnsafe())
        const error = yield* Fiber.join(fiber)
        assert.instanceOf(error, TransactionError.TransactionAborted)
        assert.strictEqual(error.reason, "Unavailable")
      }))
  })

  describe(`onOutcome (${fencing})`, () => {
    it.effect("that dies does not leave its transaction open", () =>
      Effect.gen(function*() {
        const { kafka, layer } = setUp({ ...one, session: { onOutcome: () => Effect.die("a bug") } })
        kafka.put("in", 0, ["a"])
        const exit = yield* CommittedConsumer.batches(Input).pipe(
          transactionally((batch) =>
            Effect.andThen(Transaction.emit(Output, copied(batch.records)), Effect.fail("no"))
          ),
          Stream.runDrain,
          Effect.provide(layer),
          Effect.exit
        )
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
        assert.isTrue(kafka.quiet())
      }), { timeout: 2_000 })
  })
}

describe("onOutcome tells how each transaction ended", () => {
  const outcomesOf = (
    fault: (kafka: ReturnType<typeof setUp>["kafka"]) => void,
    body: (nth: number) => Effect.Effect<unknown, unknown> = () => Effect.void
  ) =>
    Effect.gen(function*() {
      const { kafka, layer, outcomes } = setUp({ kafka: { partitions: 1 } })
      kafka.put("in", 0, ["a"])
      fault(kafka)
      let bodies = 0
      const fiber = yield* CommittedConsumer.batches(Input).pipe(
        transactionally((batch) =>
          Effect.andThen(Transaction.emit(Output, copied(batch.records)), Effect.suspend(() => body(++bodies)))
        ),
        Stream.take(1),
        Stream.runDrain,
        Effect.provide(layer),
        Effect.exit,
        Effect.forkChild
      )
      yield* until(() => outcomes.length > 0 || kafka.count("begin") > 0)
      yield* idle
      yield* TestClock.adjust("8 seconds")
      yield* Fiber.interrupt(fiber)
      return outcomes
    })

  const failing =
    (op: string, failure: Driver.FailureClass, code?: number) => (kafka: ReturnType<typeof setUp>["kafka"]) =>
      kafka.before((request, nth) => request.op === op && nth === 1 ? kafka.fail(op, failure, code) : Effect.void)

  it.effect.each(
    [
      ["SendFailed", failing("send", "Abortable", 45)],
      ["SendFailed", failing("flush", "UnknownOutcome")],
      ["OffsetsFailed", failing("offsets", "UnknownOutcome")],
      ["CommitRefused", failing("commit", "Abortable", 120)],
      ["Rebalanced", failing("offsets", "Rebalanced", 22)],
      ["Unavailable", failing("send", "Unavailable", 14)],
      ["Fenced", failing("commit", "Fenced", 47)]
    ] as const
  )("%s, and the redo", ([reason, fault]) =>
    Effect.gen(function*() {
      const [aborted, redone] = yield* outcomesOf(fault)
      assert.isTrue(aborted?._tag === "Aborted")
      assert.strictEqual(aborted?._tag === "Aborted" ? aborted.reason : undefined, reason)
      assert.strictEqual(redone?._tag, "Committed")
      assert.deepStrictEqual(redone?.partitions, [in0])
      assert.strictEqual(redone?.emitted, 1)
      assert.strictEqual(redone?.transactionalId, "app-in-0")
    }))

  it.effect.each(
    [
      ["BodyFailed", () => Effect.fail("no")],
      ["BodyFailed", () => Effect.die("a bug")],
      ["TimedOut", () => Effect.never],
      ["Interrupted", () => Effect.interrupt]
    ] as const
  )("%s", ([reason, body]) =>
    Effect.gen(function*() {
      const outcomes = yield* outcomesOf(() => {}, body)
      assert.deepStrictEqual(outcomes.map((o) => o._tag === "Aborted" ? o.reason : o._tag), [reason])
    }))

  it.effect("Empty, when a transaction has neither records nor offsets", () =>
    Effect.gen(function*() {
      const { layer, outcomes } = setUp()
      yield* Effect.provide(withTransaction(Effect.void), layer)
      assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag), ["Empty"])
    }))

  it.effect("PredecessorAborted, for what was open behind one that failed", () =>
    Effect.gen(function*() {
      const { kafka, layer, outcomes } = setUp({
        kafka: { fencing: "group", openTransactions: 2, partitions: 1 },
        consumer: { maxRecords: 1 }
      })
      kafka.put("in", 0, ["a", "b"])
      const gate = kafka.deferred()
      kafka.before(({ op }, nth) =>
        op === "commit" && nth === 1
          ? Effect.andThen(Deferred.await(gate), kafka.fail("commit", "Abortable", 120))
          : Effect.void
      )
      const fiber = yield* pipeline.pipe(Stream.take(2), Stream.runDrain, Effect.provide(layer), Effect.forkChild)
      yield* until(() => kafka.count("offsets") === 2)
      yield* Deferred.succeed(gate, undefined)
      yield* idle
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      const ends = outcomes.map((o) => o._tag === "Aborted" ? o.reason : o._tag)
      assert.deepStrictEqual(ends.toSorted(), ["CommitRefused", "Committed", "Committed", "PredecessorAborted"])
    }))
})
