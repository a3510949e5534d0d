/** R2, R3, R4, R5, R13, R15, R19: how a transaction ends, and what its end does to positions and results. */
import { Topic, Transaction, TransactionalSession, withTransaction } from "@exactly-once/core"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import assert from "node:assert/strict"
import type { Case } from "./Case.ts"
import { within } from "./EventLog.ts"
import { awaitSeen, commitApplied, commitSent, committing, field, saw, seenSince, transactional } from "./wire.ts"
import { idOf, layers, record, type Worker, type WorkerOptions, type World } from "./World.ts"

/** A worker that has committed its first batch of partition 0, so that what follows is its steady life. */
export const steady = (
  world: World,
  options: WorkerOptions = {}
): Effect.Effect<Worker & { readonly transactionalId: string }, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const worker = yield* world.worker(options)
    yield* world.fill(1, 0)
    const first = yield* worker.outcomes.next("the first batch commits")
    assert.equal(first._tag, "Committed", `the first transaction ended as ${JSON.stringify(first)}`)
    return { ...worker, transactionalId: first.transactionalId }
  })

export const outcomes: ReadonlyArray<Case> = [
  {
    rule: "R2",
    name: "the committed offset passes control records and aborted data at the end of the log",
    run: (world) =>
      Effect.gen(function*() {
        const foreign = yield* world.probe.transaction(`${world.prefix}-foreign`, 60_000)
        yield* foreign.produce(world.input, 0, ["a", "b", "c"].map((id) => record("key", id)))
        yield* foreign.end(true)
        yield* foreign.produce(world.input, 0, ["x", "y"].map((id) => record("key", id)))
        yield* foreign.end(false)
        const end = yield* world.probe.offset(world.input, 0, "end")
        assert.equal(end, 7n)
        const a = yield* world.worker()
        yield* a.outcomes.next("the batch commits")
        yield* world.exact
        assert.equal(yield* world.committed(0), end)
      })
  },
  {
    rule: "R3",
    name: "a refused record poisons its transaction, whatever the body makes of the failure",
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* steady(world, { body: (batch) => Effect.ignore(world.copy(batch)) })
        const mark = yield* a.proxy.mark
        const rule = yield* a.proxy.inject({ api: "Produce", when: "before", do: { error: 10 } })
        yield* world.fill(3, 0)
        yield* within("the record is refused", rule.fired)
        const ended = yield* a.outcomes.next("the poisoned transaction ends", undefined, 1)
        assert.equal(ended._tag, "Aborted")
        yield* a.failure
        assert.equal((yield* seenSince(a.proxy, commitSent, mark)).length, 0)
        // The next process under this name starts from the offset that never moved.
        yield* world.worker()
        yield* world.exact
      })
  },
  {
    rule: "R3",
    name: "a send whose answer is lost poisons its transaction; the batch is redone",
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* steady(world, { body: (batch) => Effect.ignore(world.copy(batch)) })
        const rule = yield* a.proxy.inject({ api: "Produce", when: "after", do: "cut" })
        yield* world.fill(3, 0)
        yield* within("the answer is lost", rule.fired)
        const ended = yield* a.outcomes.next("the poisoned transaction ends", undefined, 1)
        assert.equal(ended._tag, "Aborted")
        yield* world.exact
      })
  },
  {
    rule: "R4",
    name: "a commit that was applied and not answered is found to be committed, and not redone",
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* steady(world)
        const rule = yield* a.proxy.inject({ api: "EndTxn", where: committing, when: "after", do: "cut" })
        yield* world.fill(3, 0)
        yield* within("the answer is lost", rule.fired)
        const ended = yield* a.outcomes.next("the transaction ends", undefined, 1)
        assert.equal(ended._tag, "Committed")
        yield* world.exact
        assert.equal(a.bodies.all.filter((values) => values.includes(idOf(0, 1))).length, 1)
      })
  },
  {
    rule: "R4",
    name: "a commit that never arrived is aborted and redone",
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* steady(world)
        const rule = yield* a.proxy.inject({ api: "EndTxn", where: committing, when: "before", do: "cut" })
        yield* world.fill(3, 0)
        yield* within("the commit is cut", rule.fired)
        yield* world.exact
        // A driver that may send the same EndTxn again commits without a redo; no other may call it committed.
        const redone = a.bodies.all.filter((values) => values.includes(idOf(0, 1))).length
        assert.deepEqual(
          a.outcomes.all.slice(1).map(({ _tag }) => _tag),
          redone === 1 ? ["Committed"] : ["Aborted", "Committed"]
        )
      })
  },
  {
    rule: "R4",
    name: "a commit whose answer stays away on an open connection is resolved within the budget",
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* steady(world, { transactionTimeoutMs: 3_000 })
        const rule = yield* a.proxy.inject({ api: "EndTxn", where: committing, when: "after", do: "drop" })
        yield* world.fill(3, 0)
        yield* within("the answer is dropped", rule.fired)
        assert.equal((yield* a.outcomes.next("the transaction ends", undefined, 1))._tag, "Committed")
        yield* world.exact
      })
  },
  {
    rule: "R4",
    name: "an offset that somebody else reached does not prove our commit",
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* steady(world)
        const cut = yield* a.proxy.inject({ api: "EndTxn", where: committing, nth: "every", when: "before", do: "cut" })
        const init = yield* a.proxy.inject({ api: "InitProducerId", when: "before", do: "hold" })
        yield* world.fill(1, 0)
        yield* within("the commit is cut", cut.fired)
        yield* within("a new epoch is asked for", init.fired)
        const foreign = yield* world.probe.transaction(`${world.prefix}-foreign`, 60_000)
        yield* foreign.sendOffset(world.groupId, world.input, 0, 2n)
        yield* foreign.end(true)
        yield* cut.disarm
        yield* init.release
        const ended = yield* a.outcomes.next("the transaction ends", undefined, 1)
        assert.notEqual(ended._tag, "Committed", "its records were aborted")
        assert.equal((yield* world.visible).length, 1)
      })
  },
  {
    rule: "R5",
    name: "after an abort the partition goes on from the committed offset, without what was fetched ahead",
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* steady(world, { maxBytesPerPartition: 400 })
        const rule = yield* a.proxy.inject({ api: "Produce", nth: 2, when: "before", do: "cut" })
        for (let i = 0; i < 20; i++) yield* world.fill(5, 0)
        yield* within("a send is cut", rule.fired)
        yield* world.exact
        const aborted = a.outcomes.all.filter(({ _tag }) => _tag === "Aborted")
        assert.ok(aborted.length >= 1)
        const values = a.bodies.all.flat()
        assert.ok(values.length > new Set(values).size, "the aborted batch was delivered again")
      })
  },
  {
    rule: "R13",
    name: "neither records nor offsets: nothing is sent",
    run: (world) =>
      Effect.gen(function*() {
        const proxy = yield* world.proxy
        const ended: Array<string> = []
        yield* Effect.gen(function*() {
          const mark = yield* proxy.mark
          yield* withTransaction(Effect.void)
          assert.deepEqual(yield* seenSince(proxy, saw("received", transactional), mark), [])
        }).pipe(Effect.provide(layers(world, proxy.bootstrap, {}, ({ _tag }) => ended.push(_tag))))
        assert.deepEqual(ended, ["Empty"])
      })
  },
  {
    rule: "R13",
    name: "offsets alone commit",
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* world.worker({ body: () => Effect.void })
        yield* world.fill(3, 0)
        assert.equal((yield* a.outcomes.next("the batch commits"))._tag, "Committed")
        assert.equal(yield* world.committed(0), 3n)
        assert.deepEqual(yield* seenSince(a.proxy, saw("received", ["Produce"])), [])
        assert.equal((yield* seenSince(a.proxy, commitApplied)).length, 1)
      })
  },
  {
    rule: "R15",
    name: "a result comes out after its transaction committed, and not before",
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* steady(world)
        const rule = yield* a.proxy.inject({ api: "EndTxn", where: committing, when: "before", do: "hold" })
        yield* world.fill(1, 0)
        yield* within("the commit is on its way", rule.fired)
        // Two heartbeats later anything that did not wait for the commit has come out.
        yield* awaitSeen(
          "a heartbeat",
          a.proxy,
          saw("delivered", ["Heartbeat", "ConsumerGroupHeartbeat"]),
          yield* a.proxy.mark
        )
        assert.equal(a.results.all.length, 1)
        yield* rule.release
        yield* a.results.next("the result comes out", undefined, 1)
        yield* world.exact
      })
  },
  {
    rule: "R19",
    name: "an abort before anything was registered is harmless, and sends nothing",
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* world.worker({ body: () => Effect.fail("the body's own error") })
        yield* world.fill(1, 0)
        assert.equal(yield* a.failure, "the body's own error")
        assert.deepEqual(yield* seenSince(a.proxy, saw("received", transactional)), [])
        yield* world.worker()
        yield* world.exact
      })
  },
  {
    rule: "R4",
    name: "a producer's own transaction that was applied and not answered is found to be committed",
    run: (world) =>
      Effect.gen(function*() {
        const proxy = yield* world.proxy
        const ended: Array<string> = []
        const rule = yield* proxy.inject({ api: "EndTxn", where: committing, when: "after", do: "cut" })
        yield* withTransaction(Transaction.emit(Topic.string(world.output), [{ key: "k", value: "v", partition: 0 }]))
          .pipe(
            Effect.provide(layers(world, proxy.bootstrap, {}, ({ _tag }) => ended.push(_tag)))
          )
        yield* within("the answer is lost", rule.fired)
        assert.deepEqual(ended, ["Committed"])
        assert.equal((yield* world.visible).length, 1)
      })
  },
  {
    rule: "R11",
    name: "a transaction hidden inside another one's body is refused, and blocks nothing",
    run: (world) =>
      Effect.gen(function*() {
        const proxy = yield* world.proxy
        const inner = Transaction.emit(Topic.string(world.output), [{ key: "k", value: "inner", partition: 0 }])
        const error = yield* Effect.gen(function*() {
          const session = yield* TransactionalSession.TransactionalSession
          const hidden = Effect.provideService(
            withTransaction(inner),
            TransactionalSession.TransactionalSession,
            session
          )
          return yield* within("the nested transaction is refused", Effect.flip(withTransaction(hidden)))
        }).pipe(Effect.provide(layers(world, proxy.bootstrap)))
        assert.equal(field(error, "_tag"), "TransactionMisuse")
        assert.equal(field(error, "reason"), "Nested")
        assert.equal((yield* world.visible).length, 0)
      })
  }
]
