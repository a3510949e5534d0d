import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Machine from "../../src/internal/laneMachine.ts"

/**
 * A client that does what the machine allows, in an order that a list of numbers decides, with requests that fail. The
 * trace of what it did is then judged by the rules themselves, written down apart from the machine.
 */
interface Did {
  readonly what: "init" | "begin" | "send" | "offer" | "end" | "committed" | "aborted" | "failed"
  readonly seq: number
  readonly slot: number
}

const play = (capacity: number, choices: ReadonlyArray<number>) => {
  let lane = Machine.make(capacity)
  const trace: Array<Did> = []
  const dispatch = (event: Machine.Event) => {
    lane = Machine.step(lane, event)
  }
  for (const choice of choices) {
    const index = choice % (lane.open.length + 1)
    const open = lane.open[index]
    const fails = choice % 7 === 0
    if (open === undefined) {
      const leave = Machine.mayBegin(lane)
      if (leave === "Recover") {
        for (const slot of lane.stale) trace.push({ what: "init", seq: -1, slot })
        dispatch({ _tag: "Initialised" })
      } else if (leave === "Now") {
        trace.push({ what: "begin", seq: lane.nextSeq, slot: lane.nextSlot })
        dispatch({ _tag: "Began" })
      }
      continue
    }
    const { seq, slot } = open
    const giveUp = (end: Machine.End) => {
      trace.push({ what: end === "Failed" ? "failed" : "aborted", seq, slot })
      dispatch({ _tag: "Ended", seq, end })
    }
    if (choice % 11 === 0) {
      giveUp("AbortedCleanly")
      continue
    }
    if (open.doomed) {
      giveUp(open.touched || fails ? "Failed" : "AbortedCleanly")
      continue
    }
    const request = (what: "send" | "offer" | "end", step: "Send" | "Offer" | "End", then: () => void) => {
      const leave = Machine.may(lane, seq, step)
      if (leave !== "Now") return
      dispatch({ _tag: "Touched", seq })
      trace.push({ what, seq, slot })
      if (fails) giveUp("Failed")
      else then()
    }
    switch (open.phase) {
      case "Running":
        if (!open.bodyDone && choice % 3 === 0) {
          dispatch({ _tag: "BodyDone", seq })
          break
        }
        request("send", "Send", () => {
          if (open.bodyDone) dispatch({ _tag: "Flushed", seq })
        })
        break
      case "Flushed":
        request("offer", "Offer", () => dispatch({ _tag: "Offered", seq }))
        break
      case "Offered":
      case "Ending":
        request("end", "End", () => {
          dispatch({ _tag: "Ending", seq })
          trace.push({ what: "committed", seq, slot })
          dispatch({ _tag: "Ended", seq, end: "Committed" })
        })
    }
  }
  return { lane, trace }
}

const last = (trace: ReadonlyArray<Did>, before: number, test: (did: Did) => boolean): number => {
  for (let i = before - 1; i >= 0; i--) {
    const did = trace[i]
    if (did !== undefined && test(did)) return i
  }
  return -1
}

/** Throws the rule that a trace breaks. */
const judge = (trace: ReadonlyArray<Did>, capacity: number) => {
  const alive = new Set<number>()
  const busy = new Map<number, number>()
  const sent = new Set<number>()
  const offered = new Set<number>()
  const clean = new Map<number, boolean>(Array.from({ length: capacity }, (_, slot) => [slot, false]))
  let expected = 0
  trace.forEach((did, at) => {
    const older = Array.from(alive).filter((seq) => seq < did.seq)
    switch (did.what) {
      case "init":
        clean.set(did.slot, true)
        assert.strictEqual(alive.size, 0, "recovery waits until nothing is open")
        break
      case "begin":
        assert.isTrue(clean.get(did.slot), `a producer begins under a new epoch after a failure (slot ${did.slot})`)
        assert.isBelow(alive.size, capacity, "no more are open than the lane has producers")
        assert.isFalse(busy.has(did.slot), "a producer has one transaction at a time")
        busy.set(did.slot, did.seq)
        assert.strictEqual(did.seq, expected++, "transactions begin in order")
        alive.add(did.seq)
        break
      case "send":
        for (const seq of older) {
          assert.isTrue(offered.has(seq) || flushed(trace, at, seq), "S2: sends of n are acknowledged")
        }
        sent.add(did.seq)
        break
      case "offer":
        for (const seq of older) assert.isTrue(offered.has(seq), "S3: offsets of n were acknowledged")
        offered.add(did.seq)
        break
      case "end":
        assert.deepStrictEqual(older, [], "S5: n is known to be committed")
        break
      case "committed":
        alive.delete(did.seq)
        busy.delete(did.slot)
        break
      case "aborted":
      case "failed": {
        alive.delete(did.seq)
        busy.delete(did.slot)
        // With nothing else open, a clean abort leaves nothing unanswered.
        if ((sent.has(did.seq) || offered.has(did.seq)) && (did.what === "failed" || alive.size > 0)) {
          clean.set(did.slot, false)
        }
        // S7: whatever is younger must not commit any more.
        for (const seq of alive) {
          if (seq > did.seq) {
            assert.strictEqual(
              last(trace, trace.length, (other) => other.what === "committed" && other.seq === seq),
              -1,
              "S7: n failed, so n + 1 is given up"
            )
          }
        }
        break
      }
    }
  })
}

/** n has offered or ended, or its last send before `at` completed the flush: the machine lets n + 1 send only then. */
const flushed = (trace: ReadonlyArray<Did>, at: number, seq: number): boolean =>
  last(trace, at, (did) => did.seq === seq && did.what === "send") !== -1 &&
  trace.slice(at).every((did) => did.seq !== seq || did.what !== "send")

const Choices = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 }))).check(
  Schema.isMinLength(40),
  Schema.isMaxLength(200)
)

describe("the lane's machine", () => {
  for (const capacity of [1, 2, 3]) {
    it.effect.prop(
      `R25: keeps sends, offsets and ends in order with ${capacity} open`,
      [Choices],
      ([choices]) => Effect.sync(() => judge(play(capacity, choices).trace, capacity)),
      { arbitrary: { runs: 500, seed: 7 + capacity } }
    )
  }

  it("goes on for ever: from any state a client that never fails again commits", () => {
    for (let seed = 1; seed < 200; seed++) {
      const choices = Array.from({ length: 60 }, (_, i) => (seed * 7919 + i * 104_729) % 1_000_003)
      const { lane } = play(2, choices)
      const more = [...choices, ...Array.from({ length: 60 }, (_, i) => [0, 1, 2, 3, 4, 5, 6, 8, 9, 10][i % 10] ?? 1)]
      const after = play(2, more)
      assert.isTrue(after.lane.status !== "Stopped" && lane.status !== "Stopped")
    }
  })

  it("behind one that aborts while an older one is open nothing begins until both producers are renewed", () => {
    let lane = Machine.step(Machine.make(2), { _tag: "Initialised" })
    for (
      const event of [
        { _tag: "Began" },
        { _tag: "Touched", seq: 0 },
        { _tag: "BodyDone", seq: 0 },
        { _tag: "Flushed", seq: 0 },
        { _tag: "Began" },
        { _tag: "Touched", seq: 1 },
        { _tag: "Ended", seq: 1, end: "AbortedCleanly" }
      ] as const
    ) lane = Machine.step(lane, event)
    assert.strictEqual(Machine.mayBegin(lane), "Wait", "its turn would be the older one's producer")
    assert.strictEqual(Machine.may(lane, 0, "End"), "Now", "the older one may still commit")
    lane = Machine.step(lane, { _tag: "Ended", seq: 0, end: "Committed" })
    assert.strictEqual(Machine.mayBegin(lane), "Recover")
    assert.isTrue(lane.stale.has(1))
  })

  it("a stopped lane begins nothing", () => {
    const stopped = Machine.step(Machine.step(Machine.make(1), { _tag: "Initialised" }), { _tag: "Stopped" })
    assert.strictEqual(Machine.mayBegin(stopped), "Stopped")
    assert.strictEqual(Machine.mayBegin(Machine.step(stopped, { _tag: "Initialised" })), "Stopped")
  })

  it("S8: a transaction given up after its request went out makes its producer take a new epoch, answered or not", () => {
    let lane = Machine.step(Machine.make(2), { _tag: "Initialised" })
    for (
      const event of [
        { _tag: "Began" },
        { _tag: "Touched", seq: 0 },
        { _tag: "BodyDone", seq: 0 },
        { _tag: "Flushed", seq: 0 },
        { _tag: "Began" },
        { _tag: "Touched", seq: 1 },
        { _tag: "Ended", seq: 0, end: "Failed" }
      ] as const
    ) lane = Machine.step(lane, event)
    assert.deepStrictEqual(lane.stale, new Set([0, 1]))
    assert.strictEqual(Machine.may(lane, 1, "Send"), "Doomed")
    assert.strictEqual(Machine.mayBegin(lane), "Wait")
    lane = Machine.step(lane, { _tag: "Ended", seq: 1, end: "Failed" })
    assert.strictEqual(Machine.mayBegin(lane), "Recover")
  })
})
