/** R25: two open transactions in one lane, in the order that keeps them right. */
import * as Effect from "effect/Effect"
import assert from "node:assert/strict"
import type { Case } from "./Case.ts"
import { within } from "./EventLog.ts"
import { steady } from "./outcomes.ts"
import { awaitSeen, committing, saw, seenSince } from "./wire.ts"
import type { Target } from "./World.ts"

const overlapping = ({ capabilities }: Target) =>
  capabilities.openTransactions > 1 ? undefined : "the driver has one open transaction at a time"

const small = { maxBytesPerPartition: 1 }

export const pipelining: ReadonlyArray<Case> = [
  {
    rule: "R25",
    name: "the next transaction's offsets are sent only after the last one's were answered",
    inapplicable: overlapping,
    partitions: 1,
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* steady(world, small)
        const rule = yield* a.proxy.inject({ api: "TxnOffsetCommit", when: "before", do: "hold", blocks: false })
        const mark = yield* a.proxy.mark
        yield* world.fill(1)
        yield* world.fill(1)
        yield* within("the first offsets are held", rule.fired)
        // The next transaction is under way: its records went out.
        yield* awaitSeen("the next transaction produces", a.proxy, saw("answered", ["Produce"]), mark).pipe(
          Effect.flatMap(({ index }) =>
            awaitSeen("the next transaction produces", a.proxy, saw("answered", ["Produce"]), index + 1)
          )
        )
        assert.equal((yield* seenSince(a.proxy, saw("received", ["TxnOffsetCommit"]), mark)).length, 1)
        yield* rule.release
        yield* world.exact
      })
  },
  {
    rule: "R25",
    name: "the next transaction commits only after the last one is known to be committed",
    inapplicable: overlapping,
    partitions: 1,
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* steady(world, small)
        const rule = yield* a.proxy.inject({
          api: "EndTxn",
          where: committing,
          when: "after",
          do: "hold",
          blocks: false
        })
        const mark = yield* a.proxy.mark
        yield* world.fill(1)
        yield* world.fill(1)
        yield* within("the first commit's answer is held", rule.fired)
        yield* awaitSeen("the next transaction's offsets go out", a.proxy, saw("answered", ["TxnOffsetCommit"]), mark)
          .pipe(
            Effect.flatMap(({ index }) =>
              awaitSeen(
                "the next transaction's offsets go out",
                a.proxy,
                saw("answered", ["TxnOffsetCommit"]),
                index + 1
              )
            )
          )
        assert.equal((yield* seenSince(a.proxy, saw("received", ["EndTxn"], committing), mark)).length, 1)
        yield* rule.release
        yield* world.exact
      })
  },
  {
    rule: "R25",
    name: "an unanswered offset commit is never sent again: both transactions are given up",
    inapplicable: overlapping,
    partitions: 1,
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* steady(world, small)
        const rule = yield* a.proxy.inject({ api: "TxnOffsetCommit", when: "after", do: "cut" })
        const mark = yield* a.proxy.mark
        for (let i = 0; i < 4; i++) yield* world.fill(1)
        yield* within("the answer is lost", rule.fired)
        const fault = yield* awaitSeen("the fault", a.proxy, saw("faulted", ["TxnOffsetCommit"]), mark)
        const next = yield* awaitSeen(
          "new epochs",
          a.proxy,
          saw("received", ["TxnOffsetCommit", "InitProducerId", "EndTxn"]),
          fault.index
        )
        assert.notEqual(next.api, "TxnOffsetCommit")
        yield* world.exact
      })
  },
  {
    rule: "R25",
    name: "if a transaction fails, the one that overlaps it is given up and redone behind it",
    inapplicable: overlapping,
    partitions: 1,
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* steady(world, small)
        const rule = yield* a.proxy.inject({ api: "Produce", nth: 3, when: "before", do: "cut" })
        for (let i = 0; i < 10; i++) yield* world.fill(1)
        yield* within("a send is cut", rule.fired)
        yield* world.exact
      })
  }
]
