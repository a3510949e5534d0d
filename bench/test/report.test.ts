import { assert, describe, it } from "vitest"
import { emptyValue, sequenceOf, Tally, timeOf, UPPER_X, writeValue } from "../lib/records.ts"
import { ratios, tables } from "../lib/report.ts"
import type { Row } from "../lib/workloads.ts"

const row = (peer: string, round: number, records_per_s: number, ok = true): Row => ({
  workload: "W1",
  peer,
  round,
  ok,
  reason: ok ? undefined : "broken",
  numbers: { records_per_s },
  verification: undefined,
  log: ""
})

const value = (sequence: number): Uint8Array => {
  const bytes = emptyValue()
  writeValue(bytes, sequence, 1_700_000_000_123_456)
  bytes[0] = UPPER_X
  return bytes
}

describe("ratios", () => {
  it("are taken inside a round, so that a slow round weighs on both", () => {
    const rows = [row("a", 0, 100), row("b", 0, 200), row("a", 1, 10), row("b", 1, 30)]
    assert.deepStrictEqual(ratios(rows, "b", "a", "records_per_s"), [2, 2.5, 3])
  })

  it("leave out a round in which either run failed", () => {
    const rows = [row("a", 0, 100), row("b", 0, 200), row("a", 1, 10, false), row("b", 1, 30)]
    assert.deepStrictEqual(ratios(rows, "b", "a", "records_per_s"), [2, 2, 2])
  })

  it("a peer without a good run has no numbers, and its failures are counted", () => {
    assert.match(tables([row("a", 0, 100), row("b", 0, 5, false)], "a"), /\| b \| 0\/1 \| - \| - \|/)
  })
})

describe("the tally", () => {
  it("tells records that are missing, doubled, out of order and not transformed", () => {
    const tally = new Tally(4)
    assert.strictEqual(tally.add(0, value(1)), 1)
    tally.add(0, value(0))
    tally.add(1, value(0))
    const untouched = emptyValue()
    writeValue(untouched, 2, 0)
    assert.strictEqual(tally.add(1, untouched), -1)
    assert.strictEqual(tally.add(1, value(4)), -1)
    assert.strictEqual(tally.add(1, null), -1)
    assert.deepInclude({ ...tally, missing: tally.missing }, {
      count: 6,
      duplicates: 1,
      inversions: 1,
      malformed: 3,
      missing: 2
    })
  })

  it("a value says its number and its time", () => {
    assert.strictEqual(sequenceOf(value(999_999_999_999)), 999_999_999_999)
    assert.strictEqual(timeOf(value(1)), 1_700_000_000_123_456)
  })
})
