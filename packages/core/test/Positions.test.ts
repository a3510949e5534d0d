import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { Offset } from "../src/index.ts"
import { type Claim, Positions } from "../src/Positions.ts"

const delivery = { memberId: "m", generation: 1, groupInstanceId: null }
const all = () => true
const tp = (partition: number) => ({ topic: "t", partition })

const make = (unreleasedPerPartition = 1, unreleased = 16, bufferedBytes = 1_000) =>
  new Positions({ unreleasedPerPartition, unreleased, bufferedBytes })

const fetched = (claim: Claim, count = 1) => ({
  records: Array.from({ length: count }, (_, i) => ({
    ...tp(claim.partition),
    offset: Offset.offsetUnsafe(claim.offset + BigInt(i)),
    timestamp: 0n,
    key: null,
    value: null,
    headers: []
  })),
  nextOffset: claim.offset + BigInt(count)
})

const one = <A>(list: ReadonlyArray<A>): A => {
  const [first] = list
  if (first === undefined || list.length !== 1) throw new Error(`one was expected, not ${list.length}`)
  return first
}

describe("positions", () => {
  it("a partition is fetched one batch ahead of the one that is out, and no further", () => {
    const positions = make()
    positions.begin([{ ...tp(0), offset: 5n }])
    const first = one(positions.claim(all))
    assert.strictEqual(first.offset, 5n)
    assert.deepStrictEqual(positions.claim(all), [])
    positions.accept(first, fetched(first, 3), 10)
    const out = one(positions.take(delivery))
    assert.deepStrictEqual([out.records.length, out.nextOffset], [3, 8n] as never)
    const second = one(positions.claim(all))
    assert.strictEqual(second.offset, 8n)
    positions.accept(second, fetched(second), 10)
    assert.deepStrictEqual(positions.take(delivery), [])
    assert.deepStrictEqual(positions.claim(all), [])
    positions.release(out)
    assert.strictEqual(one(positions.take(delivery)).nextOffset, Offset.offsetUnsafe(9n))
  })

  it("a fetch without visible records moves the position and hands out nothing", () => {
    const positions = make()
    positions.begin([{ ...tp(0), offset: 0n }])
    const claim = one(positions.claim(all))
    positions.accept(claim, { records: [], nextOffset: 4n }, 100)
    assert.deepStrictEqual(positions.take(delivery), [])
    assert.strictEqual(one(positions.claim(all)).offset, 4n)
  })

  it("what was fetched before a seek is dropped when it comes", () => {
    const positions = make()
    positions.begin([{ ...tp(0), offset: 0n }])
    const stale = one(positions.claim(all))
    positions.seek(tp(0), 7n)
    assert.isFalse(positions.accept(stale, fetched(stale), 10))
    const fresh = one(positions.claim(all))
    assert.strictEqual(fresh.offset, 7n)
    // giving up the stale claim must not free the fresh one
    positions.drop(stale)
    assert.deepStrictEqual(positions.claim(all), [])
  })

  it("a partition that is not assigned cannot be sought", () => {
    assert.isFalse(make().seek(tp(0), 1n))
  })

  it("no more than so many are out at once, and every partition gets its turn", () => {
    const positions = make(1, 2)
    positions.begin([0, 1, 2].map((partition) => ({ ...tp(partition), offset: 0n })))
    const seen: Array<number> = []
    for (let round = 0; round < 6; round++) {
      for (const claim of positions.claim(all)) positions.accept(claim, fetched(claim), 1)
      const batches = positions.take(delivery)
      assert.strictEqual(batches.length, 2)
      for (const batch of batches) {
        seen.push(batch.partition)
        positions.release(batch)
      }
    }
    for (const partition of [0, 1, 2]) assert.strictEqual(seen.filter((other) => other === partition).length, 4)
  })

  it("fetching stops while enough bytes wait", () => {
    const positions = make(1, 16, 100)
    positions.begin([0, 1].map((partition) => ({ ...tp(partition), offset: 0n })))
    const claim = one(positions.claim((_, partition) => partition === 0))
    positions.accept(claim, fetched(claim), 100)
    assert.deepStrictEqual(positions.claim(all), [])
    positions.take(delivery)
    assert.strictEqual(positions.claim(all).length, 2)
  })

  it("batches of an earlier assignment are nobody's", () => {
    const positions = make()
    positions.begin([{ ...tp(0), offset: 0n }])
    const claim = one(positions.claim(all))
    positions.accept(claim, fetched(claim), 1)
    const old = one(positions.take(delivery))
    positions.begin([{ ...tp(0), offset: 0n }])
    const again = one(positions.claim(all))
    positions.accept(again, fetched(again), 1)
    one(positions.take(delivery))
    positions.release(old)
    const ahead = one(positions.claim(all))
    positions.accept(ahead, fetched(ahead), 1)
    assert.deepStrictEqual(positions.take(delivery), [])
  })

  const Step = Schema.Literals(["fetch", "late", "take", "release", "seek"])

  it.prop(
    "records come out in order, none skipped and none twice, but for what a seek asks for again",
    [Schema.Array(Step)],
    ([steps]) => {
      const positions = make(2)
      positions.begin([{ ...tp(0), offset: 0n }])
      let expected = 0n
      let late: ReadonlyArray<Claim> = []
      const out: Array<ReturnType<typeof positions.take>[number]> = []
      for (const step of steps) {
        if (step === "fetch") {
          for (const claim of positions.claim(all)) positions.accept(claim, fetched(claim, 2), 1)
        }
        if (step === "late") {
          for (const claim of late) positions.accept(claim, fetched(claim, 2), 1)
          late = positions.claim(all)
        }
        if (step === "take") {
          for (const batch of positions.take(delivery)) {
            for (const { offset } of batch.records) assert.strictEqual(offset, Offset.offsetUnsafe(expected++))
            out.push(batch)
          }
          assert.isAtMost(out.length, 2)
        }
        if (step === "release") out.splice(0, 1).forEach((batch) => positions.release(batch))
        if (step === "seek") {
          expected = expected > 3n ? expected - 3n : 0n
          positions.seek(tp(0), expected)
          out.length = 0
        }
      }
    },
    { arbitrary: { runs: 500 } }
  )
})
