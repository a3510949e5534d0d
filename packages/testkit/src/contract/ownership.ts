/** R1, R6, R7, R8: what a rebalance may and may not do to a transaction. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import assert from "node:assert/strict"
import type { Case } from "./Case.ts"
import { within } from "./EventLog.ts"
import { commitSent, heartbeats, joined, seenSince } from "./wire.ts"
import { type Body, idOf, type World } from "./World.ts"

/** A body that waits at a gate the first time it sees a record. */
export const gated = (world: World, id: string) =>
  Effect.gen(function*() {
    const reached = yield* Deferred.make<void>()
    const gate = yield* Deferred.make<void, unknown>()
    const interrupted = yield* Deferred.make<void>()
    let waited = false
    const body: Body = (batch) =>
      Effect.gen(function*() {
        yield* world.copy(batch)
        if (waited || !batch.records.some(({ value }) => value === id)) return
        waited = true
        yield* Deferred.succeed(reached, undefined)
        yield* Deferred.await(gate).pipe(Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined)))
      })
    return {
      body,
      reached: within(`the body of ${id} begins`, Deferred.await(reached)),
      open: Deferred.succeed(gate, undefined),
      fail: (error: unknown) => Deferred.fail(gate, error),
      /** Soon, and long before the body's own time is over. */
      interrupted: within(`the body of ${id} is interrupted`, Deferred.await(interrupted), 6_000)
    }
  })

const timesRun = (
  id: string,
  ...workers: ReadonlyArray<{ readonly bodies: { readonly all: ReadonlyArray<ReadonlyArray<string>> } }>
) => workers.flatMap(({ bodies }) => bodies.all).filter((values) => values.includes(id)).length

export const ownership: ReadonlyArray<Case> = [
  {
    rule: "R1",
    name: "a batch delivered before a rebalance commits once, whoever has its partition afterwards",
    run: (world) =>
      Effect.gen(function*() {
        const id = idOf(0, 1)
        const gate = yield* gated(world, id)
        const a = yield* world.worker({ body: gate.body })
        yield* world.fill(1)
        yield* world.exact
        yield* world.fill(1, 0)
        yield* gate.reached
        const b = yield* world.worker({ replica: "b" })
        yield* joined(b.proxy)
        yield* heartbeats(a.proxy)
        yield* gate.open
        yield* a.outcomes.next("the batch commits", ({ _tag }) => _tag === "Committed", 2)
        yield* world.fill(3)
        yield* b.bodies.next("the second member gets records")
        yield* world.exact
        assert.equal(timesRun(id, a, b), 1)
      })
  },
  {
    rule: "R1",
    name: "a partition lost and processed elsewhere meanwhile is not committed by its old owner",
    run: (world) =>
      Effect.gen(function*() {
        const id = idOf(0, 0)
        const gate = yield* gated(world, id)
        const a = yield* world.worker({ body: gate.body, transactionTimeoutMs: 15_000 })
        yield* world.fill(1, 0)
        yield* gate.reached
        const { thaw } = yield* a.proxy.freeze()
        const b = yield* world.worker({ replica: "b" })
        yield* b.outcomes.next("the new owner commits the batch", ({ _tag }) => _tag === "Committed")
        yield* gate.open
        yield* thaw
        yield* a.outcomes.next("the old owner's transaction ends")
        assert.notEqual(a.outcomes.all[0]?._tag, "Committed")
        yield* world.fill(2)
        yield* world.exact
      })
  },
  {
    rule: "R6",
    name: "on lost nothing is committed and nothing waits for the body",
    run: (world) =>
      Effect.gen(function*() {
        const gate = yield* gated(world, idOf(0, 0))
        const a = yield* world.worker({ body: gate.body, transactionTimeoutMs: 25_000 })
        yield* world.fill(1, 0)
        yield* gate.reached
        const { thaw } = yield* a.proxy.freeze()
        const b = yield* world.worker({ replica: "b" })
        yield* b.outcomes.next("the new owner commits the batch", ({ _tag }) => _tag === "Committed")
        const mark = yield* a.proxy.mark
        yield* thaw
        yield* gate.interrupted
        const [first] = a.outcomes.all
        assert.ok(first === undefined || first._tag === "Aborted", "the lost batch did not commit")
        assert.equal((yield* seenSince(a.proxy, commitSent, mark)).length, 0)
        yield* world.fill(2)
        yield* world.exact
      })
  },
  {
    rule: "R7",
    name: "on revoke the open transaction commits before its partition moves",
    inapplicable: ({ capabilities }) =>
      capabilities.holdsRevocation ? undefined : "the driver cannot hold a rebalance; it aborts instead",
    run: (world) =>
      Effect.gen(function*() {
        const gates = yield* Effect.forEach([idOf(0, 0), idOf(1, 0)], (id) => gated(world, id))
        const [zero, one] = gates
        assert.ok(zero !== undefined && one !== undefined)
        const a = yield* world.worker({
          body: (batch) => batch.partitions[0]?.partition === 0 ? zero.body(batch) : one.body(batch),
          transactionTimeoutMs: 10_000
        })
        yield* world.fill(1)
        // A driver fenced by group has one transaction for all partitions, and stops at the first gate.
        yield* Effect.raceFirst(zero.reached, one.reached)
        const b = yield* world.worker({ replica: "b" })
        yield* joined(b.proxy)
        yield* heartbeats(a.proxy)
        assert.equal(b.bodies.all.length, 0, "nothing moves while a transaction is open")
        yield* zero.open
        yield* one.open
        yield* a.outcomes.next("the open transaction ends")
        assert.deepEqual(a.outcomes.all.map(({ _tag }) => _tag).filter((tag) => tag !== "Committed"), [])
        yield* world.fill(2)
        yield* b.bodies.next("the second member gets records")
        yield* world.exact
        assert.equal(timesRun(idOf(0, 0), a, b), 1)
        assert.equal(timesRun(idOf(1, 0), a, b), 1)
      })
  },
  {
    rule: "R7",
    name: "a revocation does not wait for a body that failed",
    run: (world) =>
      Effect.gen(function*() {
        const gate = yield* gated(world, idOf(0, 0))
        const a = yield* world.worker({ body: gate.body, transactionTimeoutMs: 15_000 })
        yield* world.fill(1, 0)
        yield* gate.reached
        const b = yield* world.worker({ replica: "b" })
        yield* joined(b.proxy)
        yield* heartbeats(a.proxy)
        yield* gate.fail("the body's own error")
        assert.equal(yield* a.failure, "the body's own error")
        yield* b.outcomes.next("the new owner commits the batch", ({ _tag }) => _tag === "Committed")
        yield* world.exact
      })
  },
  {
    rule: "R8",
    name: "members that come and go while transactions run block nobody",
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* world.worker()
        yield* world.fill(1)
        yield* a.bodies.next("the first member gets records")
        for (const replica of ["b", "c", "d"]) {
          const b = yield* world.worker({ replica })
          yield* world.fill(2)
          yield* joined(b.proxy)
          yield* world.fill(2)
          yield* Effect.raceFirst(
            b.bodies.next("the second member gets records"),
            Effect.forever(Effect.andThen(world.fill(1), Effect.sleep("300 millis")))
          )
          yield* b.stop
          yield* world.fill(1)
        }
        yield* world.exact
        assert.equal(yield* a.ended, undefined)
      })
  }
]
