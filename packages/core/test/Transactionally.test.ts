import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  CommittedConsumer,
  type Outcome,
  Topic,
  Transaction,
  transactionally,
  TransactionalSession,
  TransactionError,
  withTransaction
} from "../src/index.ts"
import * as MemoryKafka from "./support/MemoryKafka.ts"

const Input = Topic.string("in")
const Output = Topic.string("out")

const setUp = (options: MemoryKafka.Options = {}, session: Partial<TransactionalSession.Options> = {}) => {
  const kafka = MemoryKafka.make(options)
  kafka.createTopic("in")
  kafka.createTopic("out")
  const outcomes: Array<Outcome.Outcome> = []
  const layer = Layer.mergeAll(
    TransactionalSession.layer({
      transactionalIdPrefix: "app",
      replica: "app-0",
      onOutcome: (outcome) => Effect.sync(() => outcomes.push(outcome)),
      ...session
    }),
    CommittedConsumer.layer({ groupId: "g", maxBytesPerPartition: 2 })
  ).pipe(Layer.provide(kafka.layer))
  return { kafka, layer, outcomes }
}

const copy = transactionally((batch: { readonly records: ReadonlyArray<Topic.RecordOf<typeof Input>> }) =>
  Effect.as(
    Transaction.emit(Output, batch.records.map(({ key, value }) => ({ key, value: `${value}!`, partition: 0 }))),
    batch.records.length
  )
)

const pipeline = CommittedConsumer.batches(Input).pipe(copy)

const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => condition() ? Effect.void : Effect.andThen(Effect.yieldNow, until(condition)))

for (
  const options of [{ fencing: "partition" }, { fencing: "group" }, { fencing: "group", openTransactions: 2 }] as const
) {
  const name = `${options.fencing}${"openTransactions" in options ? ", two open transactions" : ""}`

  describe(`transactionally (${name})`, () => {
    it.effect("copies each record once and commits the offsets with it", () =>
      Effect.gen(function*() {
        const { kafka, layer, outcomes } = setUp(options)
        kafka.put("in", 0, ["a", "b", "c"])
        kafka.put("in", 1, ["x", "y"])
        const results = yield* pipeline.pipe(
          Stream.take(options.fencing === "group" ? 2 : 3),
          Stream.runCollect,
          Effect.provide(layer)
        )
        assert.strictEqual(results.reduce((sum, n) => sum + n, 0), 5)
        assert.deepStrictEqual(kafka.values("out").toSorted(), ["a!", "b!", "c!", "x!", "y!"])
        assert.strictEqual(kafka.offset("g", { topic: "in", partition: 0 }), 3n)
        assert.strictEqual(kafka.offset("g", { topic: "in", partition: 1 }), 2n)
        assert.isTrue(kafka.quiet())
        assert.isTrue(outcomes.every(({ _tag }) => _tag === "Committed"))
      }))

    it.effect("a failing body aborts, rewinds, and fails the stream with its own error", () =>
      Effect.gen(function*() {
        const { kafka, layer } = setUp(options)
        kafka.put("in", 0, ["a"])
        let attempts = 0
        const failing = CommittedConsumer.batches(Input).pipe(
          transactionally((batch) =>
            Effect.andThen(
              Transaction.emit(Output, batch.records.map(({ key, value }) => ({ key, value, partition: 0 }))),
              Effect.suspend(() => ++attempts === 1 ? Effect.fail("no" as const) : Effect.void)
            )
          )
        )
        const result = yield* failing.pipe(
          Stream.catch((error) => error === "no" ? failing : Stream.fail(error)),
          Stream.take(1),
          Stream.runDrain,
          Effect.provide(layer)
        )
        assert.isUndefined(result)
        assert.strictEqual(attempts, 2)
        assert.deepStrictEqual(kafka.values("out"), ["a"])
        assert.strictEqual(kafka.offset("g", { topic: "in", partition: 0 }), 1n)
      }))

    it.effect("R3: a failed send poisons the transaction, even when the body swallows it", () =>
      Effect.gen(function*() {
        const { kafka, layer, outcomes } = setUp(options)
        kafka.put("in", 0, ["a"])
        kafka.after(({ op }, nth) => op === "send" && nth === 1 ? kafka.fail("send", "UnknownOutcome") : Effect.void)
        const big = "x".repeat(1_100_000)
        const fiber = yield* CommittedConsumer.batches(Input).pipe(
          transactionally(() => Effect.ignore(Transaction.emit(Output, [{ key: "k", value: big, partition: 0 }]))),
          Stream.take(1),
          Stream.runDrain,
          Effect.provide(layer),
          Effect.forkChild
        )
        yield* until(() => outcomes.length >= 1)
        yield* TestClock.adjust("5 seconds")
        yield* Fiber.join(fiber)
        assert.strictEqual(outcomes[0]?._tag, "Aborted")
        assert.strictEqual(outcomes[1]?._tag, "Committed")
        assert.strictEqual(kafka.values("out").length, 1)
        assert.strictEqual(kafka.offset("g", { topic: "in", partition: 0 }), 1n)
      }))

    it.effect("R4: a commit whose answer is lost is found by its token, and not repeated", () =>
      Effect.gen(function*() {
        const { kafka, layer, outcomes } = setUp(options)
        kafka.put("in", 0, ["a"])
        kafka.after(({ op }, nth) =>
          op === "commit" && nth === 1 ? kafka.fail("commit", "UnknownOutcome") : Effect.void
        )
        const results = yield* pipeline.pipe(Stream.take(1), Stream.runCollect, Effect.provide(layer))
        assert.deepStrictEqual(results, [1])
        assert.deepStrictEqual(kafka.values("out"), ["a!"])
        assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag), ["Committed"])
        assert.isTrue(outcomes[0]?._tag === "Committed" && outcomes[0].resolved)
      }))

    it.effect("R4: a commit that never arrived is redone", () =>
      Effect.gen(function*() {
        const { kafka, layer, outcomes } = setUp(options)
        kafka.put("in", 0, ["a"])
        kafka.before(({ op }, nth) =>
          op === "commit" && nth === 1 ? kafka.fail("commit", "UnknownOutcome") : Effect.void
        )
        const results = yield* pipeline.pipe(Stream.take(1), Stream.runCollect, Effect.provide(layer))
        assert.deepStrictEqual(results, [1])
        assert.deepStrictEqual(kafka.values("out"), ["a!"])
        assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag), ["Aborted", "Committed"])
      }))

    it.effect("R15: a result comes out only after its transaction committed", () =>
      Effect.gen(function*() {
        const { kafka, layer } = setUp(options)
        kafka.put("in", 0, ["a"])
        const gate = kafka.deferred()
        kafka.before(({ op }) => op === "commit" ? Deferred.await(gate) : Effect.void)
        const seen: Array<number> = []
        const fiber = yield* pipeline.pipe(
          Stream.take(1),
          Stream.runForEach((n) => Effect.sync(() => seen.push(n))),
          Effect.provide(layer),
          Effect.forkChild
        )
        yield* until(() => kafka.count("commit") === 1)
        assert.deepStrictEqual(seen, [])
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(seen, [1])
      }))

    it.effect("an interrupt during the body aborts; one during the commit leaves it committed, and onOutcome says so", () =>
      Effect.gen(function*() {
        const { kafka, layer, outcomes } = setUp(options)
        kafka.put("in", 0, ["a"])
        const gate = kafka.deferred()
        kafka.before(({ op }) => op === "commit" ? Deferred.await(gate) : Effect.void)
        const fiber = yield* pipeline.pipe(Stream.runDrain, Effect.provide(layer), Effect.forkChild)
        yield* until(() => kafka.count("commit") === 1)
        const stopping = yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(stopping)
        const exit = yield* Fiber.await(fiber)
        assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
        assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag), ["Committed"])
        assert.deepStrictEqual(kafka.values("out"), ["a!"])
        assert.isTrue(kafka.quiet())
      }))

    it.live("a stream that ends early aborts what is open before it leaves the group", () =>
      Effect.gen(function*() {
        const { kafka, layer } = setUp({ ...options, partitions: 4 })
        const Wide = Topic.string("wide")
        kafka.createTopic("wide", 4)
        for (let partition = 0; partition < 4; partition++) kafka.put("wide", partition, ["a", "b", "c", "d"])
        let bodies = 0
        kafka.before(({ op }) => op === "abort" ? Effect.sleep("20 millis") : Effect.void)
        yield* CommittedConsumer.batches(Wide).pipe(
          transactionally((batch) =>
            Effect.andThen(
              Transaction.emit(Output, batch.records.map(({ key, value }) => ({ key, value, partition: 0 }))),
              Effect.suspend(() => ++bodies > 1 ? Effect.andThen(Transaction.flush, Effect.never) : Effect.void)
            )
          ),
          Stream.take(1),
          Stream.runDrain,
          Effect.provide(layer)
        )
        assert.isTrue(kafka.quiet())
        const leave = kafka.requests.findIndex(({ op }) => op === "leave")
        assert.isTrue(kafka.requests.slice(leave).every(({ op }) => op === "leave"))
      }))

    it.effect("a body beyond its budget is aborted by the session, not by the coordinator", () =>
      Effect.gen(function*() {
        const { kafka, layer } = setUp(options)
        kafka.put("in", 0, ["a"])
        const fiber = yield* CommittedConsumer.batches(Input).pipe(
          transactionally((batch) =>
            Effect.andThen(
              Transaction.emit(Output, batch.records.map(({ key, value }) => ({ key, value, partition: 0 }))),
              Effect.never
            )
          ),
          Stream.runDrain,
          Effect.provide(layer),
          Effect.flip,
          Effect.forkChild
        )
        yield* until(() => kafka.count("begin") === 1)
        yield* TestClock.adjust("7 seconds")
        const error = yield* Fiber.join(fiber)
        assert.instanceOf(error, TransactionError.TransactionTimedOut)
        assert.strictEqual(error.phase, "Body")
        assert.strictEqual(error.enforcedBy, "Session")
        assert.deepStrictEqual(kafka.values("out"), [])
        assert.isTrue(kafka.quiet())
      }))

    it.effect("R7: a revocation waits until the open transaction has committed", () =>
      Effect.gen(function*() {
        const { kafka, layer } = setUp(options)
        kafka.put("in", 0, ["a"])
        const gate = kafka.deferred()
        kafka.before(({ op }) => op === "commit" ? Deferred.await(gate) : Effect.void)
        const fiber = yield* pipeline.pipe(Stream.runDrain, Effect.provide(layer), Effect.forkChild)
        yield* until(() => kafka.count("commit") === 1)
        const revoking = yield* Effect.forkChild(
          kafka.revoke(kafka.member(), [{ topic: "in", partition: 0 }]),
          { startImmediately: true }
        )
        yield* Effect.yieldNow
        assert.isUndefined(revoking.pollUnsafe())
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(revoking)
        assert.strictEqual(kafka.offset("g", { topic: "in", partition: 0 }), 1n)
        yield* Fiber.interrupt(fiber)
      }))

    it.effect("R6: on lost partitions nothing is committed and nothing waits", () =>
      Effect.gen(function*() {
        const { kafka, layer, outcomes } = setUp(options)
        kafka.put("in", 0, ["a"])
        const started = kafka.deferred()
        const fiber = yield* CommittedConsumer.batches(Input).pipe(
          transactionally((batch) =>
            Transaction.emit(Output, batch.records.map(({ key, value }) => ({ key, value, partition: 0 }))).pipe(
              Effect.andThen(Deferred.succeed(started, undefined)),
              Effect.andThen(Effect.never)
            )
          ),
          Stream.runDrain,
          Effect.provide(layer),
          Effect.forkChild
        )
        yield* Deferred.await(started)
        const before = kafka.requests.length
        yield* kafka.lose(kafka.member(), [{ topic: "in", partition: 0 }])
        yield* until(() => outcomes.length === 1)
        assert.isTrue(outcomes[0]?._tag === "Aborted" && outcomes[0].reason === "Rebalanced")
        assert.strictEqual(kafka.count("commit"), 0)
        assert.isUndefined(kafka.offset("g", { topic: "in", partition: 0 }))
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(kafka.requests.slice(before).filter(({ op }) => op === "init"), [])
      }))

    it.effect("R9: a zombie that is fenced on a partition it lost does not fence the owner with an init", () =>
      Effect.gen(function*() {
        const { kafka, layer, outcomes } = setUp(options)
        kafka.put("in", 0, ["a"])
        const sending = kafka.deferred()
        const gate = kafka.deferred()
        kafka.before(({ op }, nth) =>
          op === "send" && nth === 1
            ? Effect.andThen(Deferred.succeed(sending, undefined), Deferred.await(gate))
            : Effect.void
        )
        const fiber = yield* pipeline.pipe(Stream.runDrain, Effect.provide(layer), Effect.forkChild)
        yield* Deferred.await(sending)
        const id = kafka.requests.findLast(({ op }) => op === "send")?.id ?? ""
        yield* kafka.lose(kafka.member(), [{ topic: "in", partition: 0 }, { topic: "in", partition: 1 }])
        kafka.fence(id)
        const before = kafka.requests.length
        yield* Deferred.succeed(gate, undefined)
        yield* until(() => outcomes.length === 1)
        for (let i = 0; i < 50; i++) yield* Effect.yieldNow
        assert.deepStrictEqual(kafka.requests.slice(before).filter(({ op }) => op === "init"), [])
        assert.deepStrictEqual(kafka.values("out"), [])
        yield* Fiber.interrupt(fiber)
      }))

    it.effect("R1: offsets of a partition that went away and came back are not committed by the old batch", () =>
      Effect.gen(function*() {
        const { kafka, layer, outcomes } = setUp(options)
        kafka.put("in", 0, ["a"])
        let bodies = 0
        const started = kafka.deferred()
        const gate = kafka.deferred()
        const fiber = yield* CommittedConsumer.batches(Input).pipe(
          transactionally((batch) =>
            Transaction.emit(Output, batch.records.map(({ key, value }) => ({ key, value, partition: 0 }))).pipe(
              Effect.andThen(Effect.suspend(() =>
                ++bodies === 1
                  ? Effect.uninterruptible(Effect.andThen(Deferred.succeed(started, undefined), Deferred.await(gate)))
                  : Effect.void
              ))
            )
          ),
          Stream.take(1),
          Stream.runDrain,
          Effect.provide(layer),
          Effect.forkChild
        )
        yield* Deferred.await(started)
        const member = kafka.member()
        yield* kafka.lose(member, [{ topic: "in", partition: 0 }])
        const assigning = yield* Effect.forkChild(kafka.assign(member, [{ topic: "in", partition: 0 }]), {
          startImmediately: true
        })
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(assigning)
        yield* Fiber.join(fiber)
        assert.strictEqual(bodies, 2)
        assert.deepStrictEqual(kafka.values("out"), ["a"])
        assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag), ["Aborted", "Committed"])
      }))
  })
}

describe("withTransaction", () => {
  it.effect("R13: neither records nor offsets: nothing is sent", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp()
      yield* Effect.provide(withTransaction(Effect.succeed(1)), layer)
      assert.strictEqual(kafka.count("begin"), 0)
      assert.strictEqual(kafka.count("commit"), 0)
    }))

  it.effect("commits what a producer alone emits", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp()
      yield* Effect.provide(withTransaction(Transaction.emit(Output, [{ key: "k", value: "v", partition: 1 }])), layer)
      assert.deepStrictEqual(kafka.committed("out"), [{ key: "k", value: "v", partition: 1 }])
    }))

  it.effect("resolves a producer's own lost commit by its marker offset", () =>
    Effect.gen(function*() {
      const { kafka, layer, outcomes } = setUp()
      kafka.after(({ op }, nth) => op === "commit" && nth === 1 ? kafka.fail("commit", "UnknownOutcome") : Effect.void)
      yield* Effect.provide(withTransaction(Transaction.emit(Output, [{ key: "k", value: "v", partition: 1 }])), layer)
      assert.strictEqual(kafka.values("out").length, 1)
      assert.isTrue(outcomes[0]?._tag === "Committed" && outcomes[0].resolved)
    }))

  it.effect("R11: nesting hidden behind provide is a typed failure, not a deadlock", () =>
    Effect.gen(function*() {
      const { layer } = setUp()
      const hidden = Effect.gen(function*() {
        const inner = withTransaction(Transaction.emit(Output, [{ key: "k", value: "v", partition: 0 }]))
        return yield* withTransaction(Effect.provide(inner, layer))
      })
      const error = yield* Effect.flip(Effect.provide(hidden, layer))
      assert.instanceOf(error, TransactionError.TransactionMisuse)
      assert.strictEqual(error.reason, "Nested")
    }))

  it.effect("an emit from a fiber that outlives its body is refused", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp()
      const gate = kafka.deferred()
      const program = Effect.gen(function*() {
        const fiber = yield* withTransaction(
          Effect.forkDetach(
            Effect.andThen(Deferred.await(gate), Transaction.emit(Output, [{ key: "k", value: "late", partition: 0 }]))
          )
        )
        yield* Deferred.succeed(gate, undefined)
        return yield* Effect.flip(Fiber.join(fiber))
      })
      const error = yield* Effect.provide(program, layer)
      assert.instanceOf(error, TransactionError.TransactionMisuse)
      assert.strictEqual(error.reason, "Ended")
      assert.deepStrictEqual(kafka.values("out"), [])
    }))

  it.effect("a batch is enlisted by hand, once", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp()
      kafka.put("in", 0, ["a"])
      const error = yield* CommittedConsumer.batches(Input).pipe(
        Stream.mapEffect((batch) =>
          Effect.andThen(
            withTransaction(Effect.andThen(
              Transaction.consumed(batch),
              Transaction.emit(Output, [{ key: "k", value: "v", partition: 0 }])
            )),
            Effect.flip(withTransaction(Transaction.consumed(batch)))
          )
        ),
        Stream.take(1),
        Stream.runHead,
        Effect.provide(layer)
      )
      assert.isTrue(error._tag === "Some" && error.value instanceof TransactionError.TransactionMisuse)
      assert.strictEqual(kafka.offset("g", { topic: "in", partition: 0 }), 1n)
      assert.deepStrictEqual(kafka.values("out"), ["v"])
    }))

  it.effect("R9: a producer whose id was taken over stops, and does not fence the newer owner", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp()
      const emit = withTransaction(Transaction.emit(Output, [{ key: "k", value: "v", partition: 0 }]))
      const program = Effect.gen(function*() {
        yield* emit
        kafka.fence("app-app-0-producer")
        const inits = kafka.count("init")
        const error = yield* Effect.flip(emit)
        const later = yield* Effect.flip(emit)
        return { error, later, inits: kafka.count("init") - inits }
      })
      const { error, inits, later } = yield* Effect.provide(program, layer)
      assert.instanceOf(error, TransactionError.ProducerFenced)
      assert.instanceOf(later, TransactionError.ProducerFenced)
      assert.strictEqual(inits, 0)
      assert.strictEqual(kafka.values("out").length, 1)
    }))
})

describe("maxRecords", () => {
  for (const openTransactions of [1, 2]) {
    it.effect(`cuts what was fetched into transactions of that size (${openTransactions} open)`, () =>
      Effect.gen(function*() {
        const { kafka, outcomes } = setUp({ fencing: "group", openTransactions, partitions: 1 })
        kafka.createTopic("in", 1)
        const values = Array.from({ length: 7 }, (_, i) => `r${i}`)
        kafka.put("in", 0, values)
        const layer = Layer.mergeAll(
          TransactionalSession.layer({
            transactionalIdPrefix: "app",
            replica: "app-0",
            onOutcome: (outcome) => Effect.sync(() => outcomes.push(outcome))
          }),
          CommittedConsumer.layer({ groupId: "g", maxRecords: 3 })
        ).pipe(Layer.provide(kafka.layer))
        kafka.before(({ op }, nth) => op === "commit" && nth === 2 ? kafka.fail("commit", "Abortable") : Effect.void)
        const fiber = yield* pipeline.pipe(
          Stream.take(3),
          Stream.runCollect,
          Effect.provide(layer),
          Effect.forkChild
        )
        const sizes = yield* Fiber.join(fiber)
        assert.deepStrictEqual(kafka.values("out"), values.map((value) => `${value}!`))
        assert.isTrue(sizes.every((size) => size <= 3))
        assert.strictEqual(kafka.offset("g", { topic: "in", partition: 0 }), 7n)
        assert.strictEqual(kafka.count("poll") > 0, true)
      }))
  }
})
