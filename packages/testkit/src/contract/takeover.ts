/** R16, R22: what a new owner does before it reads, and what becomes of the old one. */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import assert from "node:assert/strict"
import type { Case } from "./Case.ts"
import { within } from "./EventLog.ts"
import { steady } from "./outcomes.ts"
import { awaitSeen, committing, field, saw, under } from "./wire.ts"
import { idOf, type World } from "./World.ts"

/** A worker whose transaction is complete but for its EndTxn, and which then falls silent. */
const silentBeforeCommit = (world: World) =>
  Effect.gen(function*() {
    const a = yield* steady(world, { transactionTimeoutMs: 25_000 })
    const end = yield* a.proxy.inject({ api: "EndTxn", where: committing, when: "before", do: "hold" })
    yield* world.fill(2, 0)
    yield* within("the commit is on its way", end.fired)
    const { exchange } = yield* awaitSeen("the fault", a.proxy, saw("faulted", ["EndTxn"]))
    const { thaw } = yield* a.proxy.freeze()
    const late = awaitSeen(
      "the late commit is answered",
      a.proxy,
      (observation) => observation.exchange === exchange && observation.phase === "answered"
    )
    return { a, end, thaw, late }
  })

export const takeover: ReadonlyArray<Case> = [
  {
    rule: "R16",
    name: "of two live processes under one replica name the older stops, the newer carries on",
    run: (world) =>
      Effect.gen(function*() {
        const older = yield* steady(world)
        const newer = yield* world.worker()
        yield* world.fill(2)
        assert.equal(field(yield* older.failure, "_tag"), "ReplicaClash")
        yield* world.fill(2)
        yield* newer.outcomes.next("the newer one commits", ({ _tag }) => _tag === "Committed")
        yield* world.exact
        assert.equal(yield* newer.ended, undefined)
      })
  },
  {
    rule: "R16",
    name: "a restart after a crash takes over at once, long before the session times out",
    run: (world) =>
      Effect.gen(function*() {
        const sessionTimeoutMs = 25_000
        const crashed = yield* steady(world, { sessionTimeoutMs })
        yield* crashed.proxy.freeze()
        yield* world.fill(2, 0)
        const startedAt = Date.now()
        const restarted = yield* world.worker({ sessionTimeoutMs })
        yield* restarted.outcomes.next("the restarted one commits", ({ _tag }) => _tag === "Committed")
        const took = Date.now() - startedAt
        assert.ok(took < sessionTimeoutMs / 3, `it took ${took} ms`)
        yield* world.exact
      })
  },
  {
    rule: "R22",
    name: "a takeover while the predecessor's transaction is open: its late commit is refused",
    run: (world) =>
      Effect.gen(function*() {
        const { end, late, thaw } = yield* silentBeforeCommit(world)
        const b = yield* world.worker({ replica: "b", transactionTimeoutMs: 10_000 })
        if (world.target.capabilities.fencing === "group") {
          // Nothing fences the predecessor's id: the new owner waits for its pending offsets until they are decided.
          yield* joinedAndWaiting(b)
          yield* end.release
          yield* thaw
        } else {
          yield* b.outcomes.next("the new owner commits the batch", ({ _tag }) => _tag === "Committed")
          yield* end.release
          yield* thaw
          assert.notEqual(field((yield* late).response(), "errorCode"), 0)
        }
        yield* world.fill(2)
        yield* world.exact
      })
  },
  {
    rule: "R22",
    name: "a commit that lands in the middle of a takeover counts: the new owner starts behind it",
    run: (world) =>
      Effect.gen(function*() {
        const { a, end, thaw } = yield* silentBeforeCommit(world)
        const proxy = yield* world.proxy
        const fencing = world.target.capabilities.fencing === "partition"
        const init = yield* proxy.inject({
          api: fencing ? "InitProducerId" : "OffsetFetch",
          ...(fencing ? { where: under(a.transactionalId) } : {}),
          when: "before",
          do: "hold"
        })
        const b = yield* world.worker({ replica: "b", proxy, transactionTimeoutMs: 10_000 })
        yield* within("the new owner takes over", init.fired)
        yield* end.release
        yield* world.probe.committed(world.groupId, world.input, 0).pipe(
          Effect.repeat({ until: ({ offset }) => offset === 3n, schedule: Schedule.spaced("20 millis") }),
          (wait) => within("the predecessor's commit counts", wait)
        )
        yield* init.release
        yield* thaw
        yield* world.fill(2)
        yield* b.bodies.next("the new owner gets records")
        yield* world.exact
        assert.ok(!b.bodies.all.flat().includes(idOf(0, 1)), "the committed batch is not delivered again")
      })
  }
]

const joinedAndWaiting = (worker: { readonly proxy: Parameters<typeof awaitSeen>[1] }) =>
  awaitSeen("the new owner asks for the committed offsets", worker.proxy, saw("answered", ["OffsetFetch"]))
