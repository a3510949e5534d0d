import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { Driver } from "../../src/index.ts"
import { Offset } from "../../src/index.ts"
import * as Slices from "../../src/internal/slices.ts"

const offset = (n: number) => Offset.offsetUnsafe(BigInt(n))

/** A batch whose records stand at `start` plus growing gaps, as aborted and control records leave them. */
const batchOf = (start: number, gaps: ReadonlyArray<number>, partition = 0): Driver.FetchedBatch => {
  let at = start
  const records = gaps.map((gap) => {
    at += gap
    return {
      topic: "t",
      partition,
      offset: offset(at++),
      timestamp: 0n,
      key: null,
      value: null,
      headers: []
    }
  })
  return {
    topic: "t",
    partition,
    records,
    startOffset: offset(start),
    nextOffset: offset(at + 3),
    delivery: { memberId: "m", generation: 1, groupInstanceId: null }
  }
}

const Cases = Schema.Struct({
  gaps: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))).check(
    Schema.isMinLength(1),
    Schema.isMaxLength(40)
  ),
  maxRecords: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 12 })),
  outAtOnce: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 3 })),
  choices: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 })))
})

const settings = { arbitrary: { runs: 300, seed: 5 } }

describe("slices", () => {
  it.effect.prop("hand out every record once, in order, joined without a gap, and give the batch back once", [Cases], ([
    { choices, gaps, maxRecords, outAtOnce }
  ]) =>
    Effect.sync(() => {
      const whole = batchOf(5, gaps)
      const slices = Slices.make(maxRecords, outAtOnce)
      const seen: Array<Driver.FetchedBatch> = []
      const given: Array<Driver.FetchedBatch> = []
      let out = Array.from(slices.admit(whole))
      seen.push(...out)
      for (let i = 0; out.length > 0; i++) {
        assert.isAtMost(out.length, outAtOnce)
        const slice = out[(choices[i % Math.max(1, choices.length)] ?? 0) % out.length]
        out = out.filter((other) => other !== slice)
        if (slice === undefined) return assert.fail("a slice is out")
        const back = slices.giveBack(slice)
        if (back.next !== undefined) {
          out.push(back.next)
          seen.push(back.next)
        }
        if (back.whole !== undefined) given.push(back.whole)
      }
      assert.deepStrictEqual(seen.flatMap(({ records }) => records), Array.from(whole.records))
      assert.isTrue(seen.every(({ records }) => records.length >= 1 && records.length <= maxRecords))
      assert.strictEqual(seen[0]?.startOffset, whole.startOffset)
      seen.forEach((slice, i) => assert.strictEqual(slice.nextOffset, seen[i + 1]?.startOffset ?? whole.nextOffset))
      assert.deepStrictEqual(given, [whole])
    }), settings)

  it.effect.prop("after a rewind nothing more goes out, and the batch is given back with its last slice", [Cases], ([
    { gaps, maxRecords, outAtOnce }
  ]) =>
    Effect.sync(() => {
      const whole = batchOf(0, gaps)
      const other = batchOf(0, gaps, 1)
      const slices = Slices.make(maxRecords, outAtOnce)
      const out = slices.admit(whole)
      const others = slices.admit(other)
      slices.drop({ topic: "t", partition: 0 })
      const back = out.map((slice) => slices.giveBack(slice))
      assert.isTrue(back.every(({ next }) => next === undefined))
      assert.deepStrictEqual(back.flatMap(({ whole }) => whole === undefined ? [] : [whole]), [whole])
      const [first] = others
      if (first === undefined) return assert.fail("a slice is out")
      const left = gaps.length > others.reduce((sum, { records }) => sum + records.length, 0)
      assert.strictEqual(slices.giveBack(first).next !== undefined, left, "another partition goes on")
    }), settings)
})
