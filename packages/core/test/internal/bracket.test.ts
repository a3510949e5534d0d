import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Stream } from "effect"
import { CommittedConsumer, Transaction, transactionally, TransactionError, withTransaction } from "../../src/index.ts"
import { copied, idle, Input, Output, setUp, until } from "../support/program.ts"

const in0 = { topic: "in", partition: 0 }
const in1 = { topic: "in", partition: 1 }

describe("a batch that went stale before it began", () => {
  it.effect("records of the partitions that stay ours are read again", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp({ kafka: { fencing: "group", partitions: 3 } })
      kafka.put("in", 0, ["a"])
      const body = kafka.deferred()
      const poll = kafka.deferred()
      let bodies = 0
      kafka.before(({ op }, nth) => op === "poll" && nth === 2 ? Deferred.await(poll) : Effect.void)
      const fiber = yield* CommittedConsumer.batches(Input).pipe(
        transactionally((batch) =>
          Effect.andThen(
            Transaction.emit(Output, copied(batch.records)),
            Effect.suspend(() => ++bodies === 1 ? Deferred.await(body) : Effect.void)
          )
        ),
        Stream.runDrain,
        Effect.provide(layer),
        Effect.forkChild
      )
      yield* until(() => bodies === 1 && kafka.count("poll") === 2)
      kafka.put("in", 1, ["x"])
      kafka.put("in", 2, ["y"])
      yield* Deferred.succeed(poll, undefined)
      yield* idle
      const revoking = yield* Effect.forkChild(kafka.revoke(kafka.member(), [in1]), { startImmediately: true })
      yield* Deferred.succeed(body, undefined)
      yield* Fiber.join(revoking)
      kafka.put("in", 2, ["z"])
      yield* until(() => kafka.offset("g", { topic: "in", partition: 2 }) === 2n)
      yield* idle
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(kafka.values("out"), ["a", "y", "z"])
    }))

  it.effect("the same for batches that a body enlists by hand", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp({ kafka: { fencing: "group", partitions: 2 } })
      const poll = kafka.deferred()
      kafka.before(({ op }, nth) => op === "poll" && nth === 1 ? Deferred.await(poll) : Effect.void)
      kafka.put("in", 0, ["x"])
      kafka.put("in", 1, ["y"])
      let bodies = 0
      const fiber = yield* CommittedConsumer.batches(Input).pipe(
        Stream.mapEffect((batch) =>
          Effect.ignore(withTransaction(Effect.gen(function*() {
            yield* Transaction.consumed(batch)
            yield* Transaction.emit(Output, copied(batch.records))
            // Not begun yet, since little was emitted: the revocation does not wait for it.
            if (++bodies === 1) yield* Effect.orDie(kafka.revoke(kafka.member(), [in0]))
          })))
        ),
        Stream.runDrain,
        Effect.provide(layer),
        Effect.forkChild
      )
      yield* Deferred.succeed(poll, undefined)
      yield* until(() => kafka.offset("g", in1) === 1n || bodies > 3)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(kafka.values("out"), ["y"])
      assert.isUndefined(kafka.offset("g", in0))
    }), { timeout: 2_000 })
})

describe("batches that must not share a transaction", () => {
  it.effect("batches of two consumers are refused, and neither group moves", () =>
    Effect.gen(function*() {
      const { consumer, kafka, session } = setUp({ kafka: { fencing: "group", partitions: 1 } })
      kafka.put("in", 0, ["a"])
      const other = CommittedConsumer.layer({ groupId: "other" }).pipe(Layer.provide(kafka.layer))
      const program = Effect.gen(function*() {
        const [first, second] = yield* Effect.all([
          Stream.toPull(CommittedConsumer.batches(Input)),
          Stream.toPull(Stream.provide(CommittedConsumer.batches(Input), other))
        ])
        const [mine] = yield* first
        const [theirs] = yield* second
        return yield* Effect.flip(
          withTransaction(Effect.andThen(Transaction.consumed(mine), Transaction.consumed(theirs)))
        )
      })
      const error = yield* Effect.scoped(program).pipe(
        Effect.provide(Layer.mergeAll(session, consumer).pipe(Layer.provide(kafka.layer)))
      )
      assert.instanceOf(error, TransactionError.TransactionMisuse)
      assert.strictEqual(error.reason, "ForeignBatch")
      assert.isUndefined(kafka.offset("g", in0))
      assert.isUndefined(kafka.offset("other", in0))
    }))

  it.effect("batches of two lanes are refused, whichever came first", () =>
    Effect.gen(function*() {
      const { kafka, layer } = setUp({ kafka: { fencing: "group", partitions: 2 }, session: { lanes: 2 } })
      kafka.put("in", 0, ["a"])
      kafka.put("in", 1, ["x"])
      const error = yield* CommittedConsumer.batches(Input).pipe(
        Stream.take(2),
        Stream.runCollect,
        Effect.flatMap((batches) => Effect.flip(withTransaction(Effect.forEach(batches, Transaction.consumed)))),
        Effect.provide(layer)
      )
      assert.instanceOf(error, TransactionError.TransactionMisuse)
      assert.strictEqual(error.reason, "SecondPartition")
    }))
})

describe("R11: nesting hidden behind provide", () => {
  it.effect("that a body swallows aborts the outer transaction", () =>
    Effect.gen(function*() {
      const { kafka, session } = setUp()
      const layer = session.pipe(Layer.provide(kafka.layer))
      const emit = (value: string) => Transaction.emit(Output, [{ key: "k", value, partition: 0 }])
      const program = withTransaction(
        Effect.andThen(emit("outer"), Effect.ignore(Effect.provide(withTransaction(emit("inner")), layer)))
      )
      const error = yield* Effect.flip(Effect.provide(program, layer))
      assert.instanceOf(error, TransactionError.TransactionMisuse)
      assert.strictEqual(error.reason, "Nested")
      assert.deepStrictEqual(kafka.values("out"), [])
    }))

  it.effect("a fiber whose body has ended may run a transaction of its own", () =>
    Effect.gen(function*() {
      const { kafka, session } = setUp()
      const layer = session.pipe(Layer.provide(kafka.layer))
      const gate = kafka.deferred()
      const own = Effect.provide(
        withTransaction(Transaction.emit(Output, [{ key: "k", value: "own", partition: 0 }])),
        layer
      )
      const program = Effect.gen(function*() {
        const fiber = yield* withTransaction(Effect.forkDetach(Effect.andThen(Deferred.await(gate), own)))
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(fiber)
      })
      yield* Effect.provide(program, layer)
      assert.deepStrictEqual(kafka.values("out"), ["own"])
    }))
})

describe("a fiber that outlives its body", () => {
  it.effect("does not begin a transaction that nobody ends", () =>
    Effect.gen(function*() {
      const { kafka, session } = setUp()
      const begun = kafka.deferred()
      const gate = kafka.deferred()
      kafka.before(({ op }, nth) =>
        op === "begin" && nth === 1
          ? Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(gate))
          : Effect.void
      )
      const large = "x".repeat(1_100_000)
      const program = Effect.gen(function*() {
        const orphan = yield* withTransaction(Effect.gen(function*() {
          const late = Effect.exit(Transaction.emit(Output, [{ key: "k", value: large, partition: 0 }]))
          const fiber = yield* Effect.forkDetach(late, { startImmediately: true })
          yield* Deferred.await(begun)
          yield* Effect.forkDetach(Effect.andThen(idle, Deferred.succeed(gate, undefined)))
          return yield* Effect.fail(fiber)
        })).pipe(Effect.flip)
        if (!Fiber.isFiber(orphan)) return yield* Effect.die(orphan)
        yield* Fiber.join(orphan)
        yield* withTransaction(Transaction.emit(Output, [{ key: "k", value: "next", partition: 0 }]))
      })
      yield* Effect.provide(program, session.pipe(Layer.provide(kafka.layer)))
      assert.deepStrictEqual(kafka.values("out"), ["next"])
      assert.deepStrictEqual(kafka.overlaps, [])
      assert.isTrue(kafka.quiet())
    }), { timeout: 2_000 })

  it.effect("its send that is under way is answered before the abort goes out", () =>
    Effect.gen(function*() {
      const { kafka, session } = setUp()
      const sending = kafka.deferred()
      const gate = kafka.deferred()
      kafka.before(({ op }, nth) =>
        op === "send" && nth === 1
          ? Effect.andThen(Deferred.succeed(sending, undefined), Deferred.await(gate))
          : Effect.void
      )
      const large = "x".repeat(1_100_000)
      const program = withTransaction(Effect.gen(function*() {
        yield* Effect.forkDetach(Effect.exit(Transaction.emit(Output, [{ key: "k", value: large, partition: 0 }])))
        yield* Deferred.await(sending)
        yield* Effect.forkDetach(Effect.andThen(idle, Deferred.succeed(gate, undefined)))
        return yield* Effect.fail("no" as const)
      }))
      const error = yield* Effect.flip(Effect.provide(program, session.pipe(Layer.provide(kafka.layer))))
      assert.strictEqual(error, "no")
      assert.deepStrictEqual(kafka.overlaps, [])
      assert.deepStrictEqual(kafka.values("out"), [])
    }))

  it.effect("R10: emits and flushes side by side reach the driver one at a time", () =>
    Effect.gen(function*() {
      const { kafka, session } = setUp()
      kafka.after(({ op }) =>
        op === "send" || op === "flush" ? Effect.repeat(Effect.yieldNow, { times: 3 }) : Effect.void
      )
      const large = "x".repeat(1_100_000)
      const values = Array.from({ length: 8 }, (_, i) => `${i}${large}`)
      yield* withTransaction(
        Effect.forEach(
          values,
          (value) => Effect.andThen(Transaction.emit(Output, [{ key: "k", value, partition: 0 }]), Transaction.flush),
          { concurrency: "unbounded", discard: true }
        )
      ).pipe(Effect.provide(session.pipe(Layer.provide(kafka.layer))))
      assert.deepStrictEqual(kafka.overlaps, [])
      assert.deepStrictEqual(kafka.values("out").map((value) => value?.[0]), values.map((value) => value[0]))
    }))
})

describe("an interrupt", () => {
  for (const place of ["behind another transaction", "behind a transaction that waits"] as const) {
    it.effect(
      `${place} is heard at once, the batch is read again, and the outcome is told`,
      () =>
        Effect.gen(function*() {
          const { kafka, layer, outcomes } = setUp({ kafka: { fencing: "group", partitions: 3 } })
          const release = kafka.deferred()
          const all = ["a", "b", "c"]
          let deliveries = 0
          const blocked: Array<Fiber.Fiber<unknown, unknown>> = []
          const stream = CommittedConsumer.batches(Input).pipe(
            Stream.mapEffect((batch) =>
              Effect.gen(function*() {
                const nth = ++deliveries
                const work = withTransaction(Effect.gen(function*() {
                  yield* Transaction.consumed(batch)
                  yield* Transaction.emit(Output, copied(batch.records))
                  yield* Transaction.flush
                  if (nth === 1) yield* Deferred.await(release)
                }))
                const fiber = yield* Effect.forkDetach(Effect.exit(work), { startImmediately: true })
                blocked.push(fiber)
              })
            ),
            Stream.runDrain
          )
          const fiber = yield* Effect.forkChild(Effect.provide(stream, layer))
          for (const [partition, value] of all.entries()) {
            yield* until(() => kafka.count("poll") >= 1)
            kafka.put("in", partition, [value])
            yield* until(() => deliveries === partition + 1)
            yield* idle
          }
          const victim = blocked[place === "behind another transaction" ? 1 : 2]
          if (victim === undefined) return assert.fail("no transaction waits")
          yield* Fiber.interrupt(victim)
          assert.strictEqual(kafka.count("commit"), 0, "the first one still runs")
          assert.isTrue(outcomes[0]?._tag === "Aborted" && outcomes[0].reason === "Interrupted")
          yield* Deferred.succeed(release, undefined)
          yield* until(() => kafka.values("out").length === 3)
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(kafka.values("out").toSorted(), all)
          assert.isTrue(kafka.quiet())
        }),
      { timeout: 2_000 }
    )
  }
})

describe("batches of one partition that a program enlists side by side", () => {
  const byHand = (body: (value: string) => Effect.Effect<void, string>) =>
    Effect.gen(function*() {
      const { kafka, layer, outcomes } = setUp({
        kafka: { fencing: "group", openTransactions: 2, partitions: 1 },
        consumer: { maxRecords: 1 }
      })
      kafka.put("in", 0, ["a", "b", "c"])
      const fiber = yield* CommittedConsumer.batches(Input).pipe(
        Stream.mapEffect(
          (batch) =>
            Transaction.consumed(batch).pipe(
              Effect.andThen(body(batch.records[0]?.value ?? "")),
              Effect.andThen(Transaction.emit(Output, copied(batch.records))),
              withTransaction,
              Effect.ignore
            ),
          { concurrency: 4, unordered: true }
        ),
        Stream.runDrain,
        Effect.provide(layer),
        Effect.forkChild
      )
      yield* until(() => kafka.offset("g", in0) === 3n)
      yield* Fiber.interrupt(fiber)
      return { values: kafka.values("out"), outcomes }
    })

  it.effect("begin in the order of the batches, whichever body is done first", () =>
    Effect.gen(function*() {
      let slow = true
      const { values } = yield* byHand((value) =>
        Effect.suspend(() =>
          value === "a" && slow ? Effect.andThen(Effect.sync(() => (slow = false)), idle) : Effect.void
        )
      )
      assert.deepStrictEqual(values, ["a", "b", "c"])
    }), { timeout: 2_000 })

  it.effect("are all read again when the first one fails, and when the second one does", () =>
    Effect.gen(function*() {
      for (const bad of ["a", "b"]) {
        let failed = false
        const { values } = yield* byHand((value) =>
          Effect.suspend(() => {
            if (value !== bad || failed) return value === "a" ? idle : Effect.void
            failed = true
            return Effect.fail("no")
          })
        )
        assert.deepStrictEqual(values, ["a", "b", "c"])
      }
    }), { timeout: 2_000 })
})
