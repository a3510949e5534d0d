import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { CommittedConsumer, Transaction, transactionally, TransactionError, withTransaction } from "../../src/index.ts"
import { copied, idle, Input, Output, setUp, until } from "../support/program.ts"

const in1 = { topic: "in", partition: 1 }

const pipeline = CommittedConsumer.batches(Input).pipe(
  transactionally((batch) => Transaction.emit(Output, copied(batch.records)))
)

const emit = (value: string) => Transaction.emit(Output, [{ key: "k", value, partition: 0 }])

describe("a rebalance", () => {
  it.effect("R7: waits for the transactions of the partitions that go, not for the work of those that stay", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp({ kafka: { fencing: "group", openTransactions: 2, partitions: 2 } })
      const gate = kafka.deferred()
      kafka.put("in", 0, ["a"])
      kafka.before(({ op }) => op === "commit" ? Deferred.await(gate) : Effect.void)
      const fiber = yield* Effect.forkChild(Effect.provide(Stream.runDrain(pipeline), layer))
      yield* until(() => kafka.count("commit") === 1)
      const revoking = yield* Effect.forkChild(kafka.revoke(kafka.member(), [in1]), { startImmediately: true })
      yield* idle
      assert.isDefined(revoking.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      yield* until(() => kafka.offset("g", { topic: "in", partition: 0 }) === 1n)
      yield* Fiber.interrupt(fiber)
    }))

  it.effect("that does not wait for us any more takes the partitions all the same: nothing of theirs commits", () =>
    Effect.gen(function*() {
      const { kafka, layer, outcomes } = setUp({ kafka: { fencing: "group", partitions: 1 } })
      const started = kafka.deferred()
      const gate = kafka.deferred()
      kafka.put("in", 0, ["a"])
      const fiber = yield* CommittedConsumer.batches(Input).pipe(
        transactionally((batch) =>
          Transaction.emit(Output, copied(batch.records)).pipe(
            Effect.andThen(Deferred.succeed(started, undefined)),
            Effect.andThen(Effect.uninterruptible(Deferred.await(gate)))
          )
        ),
        Stream.runDrain,
        Effect.provide(layer),
        Effect.forkChild
      )
      yield* Deferred.await(started)
      const revoking = yield* Effect.forkChild(kafka.member().options.onRevoking([{ topic: "in", partition: 0 }]), {
        startImmediately: true
      })
      yield* Fiber.interrupt(revoking)
      yield* Deferred.succeed(gate, undefined)
      yield* until(() => outcomes.length > 0)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(outcomes[0]?._tag === "Aborted" && outcomes[0].reason === "Rebalanced")
      assert.strictEqual(kafka.count("commit"), 0)
      assert.isUndefined(kafka.offset("g", { topic: "in", partition: 0 }))
    }))

  it.effect("R6: partitions that are lost do not cut off the transaction of others", () =>
    Effect.gen(function*() {
      const { kafka, layer, outcomes } = setUp({ kafka: { fencing: "group", partitions: 2 } })
      const gate = kafka.deferred()
      const started = kafka.deferred()
      kafka.put("in", 0, ["a"])
      const fiber = yield* CommittedConsumer.batches(Input).pipe(
        transactionally((batch) =>
          Transaction.emit(Output, copied(batch.records)).pipe(
            Effect.andThen(Deferred.succeed(started, undefined)),
            Effect.andThen(Deferred.await(gate))
          )
        ),
        Stream.runDrain,
        Effect.provide(layer),
        Effect.forkChild
      )
      yield* Deferred.await(started)
      yield* kafka.lose(kafka.member(), [in1])
      yield* Deferred.succeed(gate, undefined)
      yield* until(() => outcomes.length > 0)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag), ["Committed"])
    }))

  it.effect("a partition that is lost while its transaction is repaired is left to its new owner", () =>
    Effect.gen(function*() {
      const { kafka, layer, outcomes } = setUp({ kafka: { partitions: 1 } })
      kafka.put("in", 0, ["a"])
      kafka.before(({ op }, nth) => op === "offsets" && nth === 1 ? kafka.fail("offsets", "Abortable") : Effect.void)
      const confirming = kafka.deferred()
      const gate = kafka.deferred()
      kafka.after(({ op }, nth) =>
        op === "confirm" && nth === 1
          ? Effect.andThen(Deferred.succeed(confirming, undefined), Deferred.await(gate))
          : Effect.void
      )
      const fiber = yield* Effect.forkChild(Effect.provide(Stream.runDrain(pipeline), layer))
      yield* Deferred.await(confirming)
      const before = kafka.count("init")
      yield* kafka.lose(kafka.member(), [{ topic: "in", partition: 0 }])
      yield* Deferred.succeed(gate, undefined)
      yield* idle
      assert.strictEqual(kafka.count("init"), before, "an init would fence the new owner")
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag), ["Aborted"])
    }))
})

describe("a session that is closed", () => {
  it.effect("ends what is open before its producers go, and begins nothing more", () =>
    Effect.gen(function*() {
      const { kafka, outcomes, session } = setUp()
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(session.pipe(Layer.provide(kafka.layer)), scope)
      const started = kafka.deferred()
      const open = yield* Effect.forkDetach(
        withTransaction(
          Effect.andThen(emit("open"), Effect.andThen(Transaction.flush, Deferred.succeed(started, undefined))).pipe(
            Effect.andThen(Effect.never)
          )
        ).pipe(Effect.provide(context), Effect.flip)
      )
      yield* Deferred.await(started)
      const waiting = yield* Effect.forkDetach(
        withTransaction(emit("waiting")).pipe(Effect.provide(context), Effect.flip),
        { startImmediately: true }
      )
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(kafka.quiet())
      const errors = yield* Effect.forEach([open, waiting], Fiber.join)
      assert.deepStrictEqual(errors.map((error) => error._tag === "TransactionAborted" && error.description), [
        "the session was closed",
        "the session is closed"
      ])
      assert.deepStrictEqual(kafka.values("out"), [])
      assert.deepStrictEqual(outcomes.map((o) => o._tag === "Aborted" && o.reason).toSorted(), [
        "Interrupted",
        "Unavailable"
      ])
    }), { timeout: 2_000 })

  it.effect("lets a commit that is under way come to its end", () =>
    Effect.gen(function*() {
      const { kafka, session } = setUp()
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(session.pipe(Layer.provide(kafka.layer)), scope)
      const gate = kafka.deferred()
      kafka.before(({ op }) => op === "commit" ? Deferred.await(gate) : Effect.void)
      const fiber = yield* Effect.forkDetach(Effect.provide(withTransaction(emit("a")), context))
      yield* until(() => kafka.count("commit") === 1)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* idle
      assert.isUndefined(closing.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(closing)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(kafka.values("out"), ["a"])
    }))
})

describe("transactional ids", () => {
  it.effect("of a replica and of a partition are never the same", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp({ session: { replica: "in-0" } })
      kafka.put("in", 0, ["a"])
      const program = Effect.andThen(
        pipeline.pipe(Stream.take(1), Stream.runDrain),
        withTransaction(emit("b"))
      )
      yield* Effect.provide(program, layer)
      assert.deepStrictEqual(kafka.values("out").toSorted(), ["a", "b"])
    }))
})

describe("R16: two processes of one replica name", () => {
  it.effect("the older one stops as ReplicaClash, and says who is newer", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp()
      kafka.strangers([{ memberId: "newer", replica: "app-0", incarnation: 1n << 60n }])
      const error = yield* pipeline.pipe(Stream.runDrain, Effect.provide(layer), Effect.flip)
      assert.instanceOf(error, TransactionError.ReplicaClash)
      assert.strictEqual(error.replica, "app-0")
      assert.strictEqual(error.newer, 1n << 60n)
      assert.isBelow(Number(error.incarnation), Number(error.newer))
    }))

  it.effect("an older member of the same name, and members of other names, do not matter", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp()
      kafka.put("in", 0, ["a"])
      kafka.strangers([
        { memberId: "older", replica: "app-0", incarnation: 0n },
        { memberId: "other", replica: "app-1", incarnation: 1n << 60n },
        { memberId: "foreign", replica: undefined, incarnation: undefined }
      ])
      yield* pipeline.pipe(Stream.take(1), Stream.runDrain, Effect.provide(layer))
      assert.deepStrictEqual(kafka.values("out"), ["a"])
    }))

  it.effect("a fence tells who it was when the group knows", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp({ kafka: { partitions: 1 } })
      kafka.put("in", 0, ["a"])
      kafka.before(({ op }) =>
        op === "commit"
          ? Effect.sync(() => {
            kafka.strangers([{ memberId: "newer", replica: "app-0", incarnation: 1n << 60n }])
            kafka.fence("app-in-0")
          })
          : Effect.void
      )
      const error = yield* pipeline.pipe(Stream.runDrain, Effect.provide(layer), Effect.flip)
      assert.instanceOf(error, TransactionError.ReplicaClash)
    }))
})
