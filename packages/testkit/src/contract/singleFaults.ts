/**
 * Every single fault: the pipeline runs once and its requests are counted; then it runs again for each of them, with the
 * connection cut before the broker saw that request, and after the broker applied it.
 */
import * as Effect from "effect/Effect"
import assert from "node:assert/strict"
import type { ApiName } from "../Api.ts"
import type { Case } from "./Case.ts"
import { seenSince } from "./wire.ts"
import { make, type World } from "./World.ts"

interface Fault {
  readonly api: ApiName
  readonly nth: number
  readonly when: "before" | "after"
}

const watched: ReadonlyArray<ApiName> = [
  "Metadata",
  "FindCoordinator",
  "JoinGroup",
  "SyncGroup",
  "Heartbeat",
  "OffsetFetch",
  "ListOffsets",
  "Fetch",
  "InitProducerId",
  "AddPartitionsToTxn",
  "Produce",
  "AddOffsetsToTxn",
  "TxnOffsetCommit",
  "EndTxn"
]

/** Of each API so many requests are faulted: the later ones meet what the earlier ones met. */
const perApi = 3

const work = (world: World) =>
  Effect.gen(function*() {
    yield* world.fill(3, 0)
    yield* world.fill(2, 1)
    yield* world.exact
    yield* world.fill(2)
    yield* world.exact
  })

/** A worker that a supervisor starts again, as one does after a typed failure. */
const supervised = (world: World, proxy: Parameters<typeof seenSince>[0]) =>
  Effect.forever(
    Effect.scoped(Effect.flatMap(world.worker({ proxy }), ({ exit }) => exit))
  ).pipe(Effect.forkScoped({ startImmediately: true }))

const survives = (world: World, fault: Fault) =>
  Effect.scoped(Effect.gen(function*() {
    const own = yield* make(world.target)
    const proxy = yield* own.proxy
    const rule = yield* proxy.inject({ ...fault, do: "cut" })
    yield* supervised(own, proxy)
    yield* work(own)
    return yield* rule.count
  })).pipe(
    Effect.catchCause((cause) =>
      Effect.die(new Error(`cut ${fault.when} the broker, ${fault.api} number ${fault.nth}`, { cause }))
    )
  )

export const singleFaults: ReadonlyArray<Case> = [
  {
    rule: "Port",
    name: "whichever single request is cut, before or after the broker, each record arrives once",
    run: (world) =>
      Effect.gen(function*() {
        const proxy = yield* world.proxy
        const counted = yield* Effect.scoped(Effect.gen(function*() {
          yield* supervised(world, proxy)
          yield* work(world)
          return yield* seenSince(proxy, ({ phase }) => phase === "received")
        }))
        const faults = watched.flatMap((api): Array<Fault> => {
          const seen = Math.min(perApi, counted.filter((observation) => observation.api === api).length)
          return Array.from({ length: seen }, (_, index) => index + 1).flatMap((nth): Array<Fault> => [
            { api, nth, when: "before" },
            { api, nth, when: "after" }
          ])
        })
        const fired = yield* Effect.forEach(faults, (fault) => survives(world, fault), { concurrency: 8 })
        const hit = fired.filter((count) => count === 1).length
        assert.ok(faults.length > 30, `${faults.length} faults are too few to say anything`)
        assert.ok(hit > 0.8 * faults.length, `${hit} of ${faults.length} faults fired`)
      })
  }
]
