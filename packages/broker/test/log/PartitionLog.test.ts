import { it as effectIt } from "@effect/vitest"
import { BatchBuilder, RecordBatch } from "@exactly-once/protocol"
import { Effect, Schema } from "effect"
import { assert, describe, it } from "vitest"
import * as BatchHead from "../../src/log/BatchHead.ts"
import { PartitionLog } from "../../src/log/PartitionLog.ts"

interface Spec {
  readonly producerId?: number
  readonly epoch?: number
  readonly sequence?: number
  readonly transactional?: boolean
  readonly count?: number
  readonly size?: number
}

const build = (spec: Spec): Uint8Array => {
  const builder = new BatchBuilder()
  for (let i = 0; i < (spec.count ?? 1); i++) {
    builder.append({ key: null, value: new Uint8Array(spec.size ?? 1), timestamp: 10 })
  }
  return builder.finish({
    producerId: BigInt(spec.producerId ?? -1),
    producerEpoch: spec.epoch ?? (spec.producerId === undefined ? -1 : 0),
    baseSequence: spec.producerId === undefined ? -1 : spec.sequence ?? 0,
    isTransactional: spec.transactional ?? false
  })
}

const append = (log: PartitionLog, spec: Spec = {}) => {
  const bytes = build(spec)
  return log.append(BatchHead.read(BatchHead.viewOf(bytes), 0)!, bytes, 0)
}

const marker = (log: PartitionLog, producerId: number, commit: boolean, epoch = 0, coordinatorEpoch = 0) =>
  log.appendMarker({ producerId, producerEpoch: epoch, coordinatorEpoch, commit }, 0, 20)

const offsets = (bytes: Uint8Array) => RecordBatch.split(bytes).batches.map((it) => Number(it.baseOffset))

describe("a partition's log", () => {
  it("is stable up to the first open transaction", () => {
    const log = new PartitionLog()
    append(log)
    append(log, { producerId: 1, transactional: true })
    append(log, { producerId: 2, transactional: true })
    assert.strictEqual(log.lastStableOffset, 1)
    marker(log, 1, true)
    assert.strictEqual(log.lastStableOffset, 2)
    append(log, { producerId: 1, transactional: true, sequence: 1 })
    marker(log, 2, false)
    assert.strictEqual(log.lastStableOffset, 4)
    marker(log, 1, false)
    assert.strictEqual(log.lastStableOffset, log.endOffset)
    assert.deepStrictEqual(
      log.abortedBetween(0, 100).map(({ firstOffset, lastOffset, producerId }) => [
        producerId,
        firstOffset,
        lastOffset
      ]),
      [[2, 2, 5], [1, 4, 6]]
    )
    assert.deepStrictEqual(log.abortedBetween(6, 100).map(({ producerId }) => producerId), [1])
    assert.deepStrictEqual(log.abortedBetween(0, 4).map(({ producerId }) => producerId), [2])
  })

  it("lists every range of a producer that aborts again and again", () => {
    const log = new PartitionLog()
    for (let i = 0; i < 50; i++) {
      append(log, { producerId: 1, transactional: true, sequence: i })
      marker(log, 1, i % 2 === 0)
    }
    const aborted = log.abortedBetween(0, log.endOffset)
    assert.strictEqual(aborted.length, 25)
    assert.deepStrictEqual(log.abortedBetween(20, 30).map(({ firstOffset }) => firstOffset), [22, 26])
  })

  it("writes a marker for a producer it does not know, and lists nothing as aborted for it", () => {
    const log = new PartitionLog()
    assert.strictEqual(marker(log, 9, false, 3), 0)
    assert.strictEqual(log.endOffset, 1)
    assert.deepStrictEqual(log.abortedBetween(0, 10), [])
    assert.strictEqual(append(log, { producerId: 9, epoch: 2 }).error, 47)
    assert.strictEqual(append(log, { producerId: 9, epoch: 3, sequence: 4 }).error, 45)
    assert.strictEqual(append(log, { producerId: 9, epoch: 3 }).error, 0)
  })

  it("starts the sequences again when a marker moved the epoch on", () => {
    const log = new PartitionLog()
    append(log, { producerId: 1, transactional: true, count: 3 })
    marker(log, 1, true, 1)
    assert.strictEqual(append(log, { producerId: 1, transactional: true, sequence: 3 }).error, 47)
    assert.strictEqual(append(log, { producerId: 1, epoch: 1, transactional: true, sequence: 3 }).error, 45)
    assert.strictEqual(append(log, { producerId: 1, epoch: 1, transactional: true }).error, 0)
  })

  it("refuses markers of a fenced coordinator", () => {
    const log = new PartitionLog()
    append(log, { producerId: 1, transactional: true })
    assert.strictEqual(marker(log, 1, true, 0, 5), 0)
    assert.strictEqual(marker(log, 1, true, 0, 4), 52)
    assert.strictEqual(marker(log, 1, true, -1, 5), 47)
  })

  it("reads across segments, at most one at a time, and never beyond the limit", () => {
    const log = new PartitionLog()
    for (let i = 0; i < 200; i++) append(log, { size: 1000 })
    let from = 0
    let reads = 0
    const seen: Array<number> = []
    while (from < 150) {
      const { bytes, nextOffset } = log.read(from, 150, 1_000_000, true)
      seen.push(...offsets(bytes))
      from = nextOffset
      reads++
    }
    assert.deepStrictEqual(seen, Array.from({ length: 150 }, (_, i) => i))
    assert.isAbove(reads, 1)
    assert.strictEqual(log.available(0, 150, Infinity), 150 * build({ size: 1000 }).length)
    assert.strictEqual(log.available(0, 0, Infinity), 0)
    assert.strictEqual(log.available(150, 150, Infinity), 0)
  })

  it("cuts the last batch off at the limit, and never the first one", () => {
    const log = new PartitionLog()
    for (let i = 0; i < 3; i++) append(log, { count: 2 })
    const size = build({ count: 2 }).length
    const read = (maxBytes: number, atLeastOne: boolean) => {
      const { bytes, nextOffset } = log.read(0, 6, maxBytes, atLeastOne)
      return [bytes.length, nextOffset]
    }
    assert.deepStrictEqual(read(size - 1, false), [0, 0])
    assert.deepStrictEqual(read(size - 1, true), [size, 2])
    assert.deepStrictEqual(read(size, false), [size, 2])
    // One byte of the second batch: aborted transactions in it must be told of, as a reader may have the rest of it by then.
    assert.deepStrictEqual(read(size + 1, false), [size + 1, 4])
    assert.deepStrictEqual(read(10 * size, false), [3 * size, 6])
  })

  it("keeps at least what retention asks for", () => {
    const log = new PartitionLog()
    const size = build({ size: 1000 }).length
    for (let i = 0; i < 500; i++) {
      append(log, { size: 1000 })
      log.retain(100 * size)
      if (i > 150) assert.isAtLeast(log.sizeInBytes, 100 * size)
    }
    assert.isBelow(log.sizeInBytes, 400 * size)
    assert.strictEqual(log.endOffset, 500)
    assert.isAbove(log.startOffset, 0)
    assert.deepStrictEqual(offsets(log.read(log.startOffset, 500, 1, true).bytes), [log.startOffset])
  })

  it("goes on after a gap that was never stored", () => {
    const log = new PartitionLog()
    log.appendUnread({ id: 5, epoch: 0 }, 1)
    log.appendUnread(undefined, 1)
    assert.strictEqual(log.lastStableOffset, 0)
    marker(log, 5, true)
    assert.strictEqual(log.lastStableOffset, 3)
    assert.deepStrictEqual(offsets(log.read(0, 3, 1000, true).bytes), [2])
    assert.strictEqual(log.appendUnread({ id: 5, epoch: -1 }, 1).error, 47)
  })

  it("is the same after a snapshot", () => {
    const log = new PartitionLog()
    append(log, { producerId: 1, transactional: true })
    marker(log, 1, false)
    append(log, { producerId: 2, transactional: true })
    append(log, { count: 3 })
    const copy = PartitionLog.restore(structuredClone(log.snapshot()))
    assert.deepStrictEqual(copy.snapshot(), log.snapshot())
    assert.strictEqual(copy.lastStableOffset, 2)
    assert.strictEqual(append(copy, { producerId: 2, transactional: true, sequence: 1 }).error, 0)
  })

  it("that is cut back knows no more than its batches say", () => {
    const log = new PartitionLog()
    append(log, { producerId: 1, transactional: true })
    marker(log, 1, false)
    append(log, { producerId: 1, transactional: true, sequence: 1 })
    marker(log, 1, true)
    log.truncate(3)
    assert.strictEqual(log.endOffset, 3)
    assert.strictEqual(log.lastStableOffset, 2)
    assert.strictEqual(log.abortedBetween(0, 10).length, 1)
    assert.deepInclude(append(log, { producerId: 1, transactional: true, sequence: 1 }), { baseOffset: 2 })
    log.truncate(0)
    assert.strictEqual(log.endOffset, 0)
    assert.strictEqual(log.lastStableOffset, 0)
    assert.deepInclude(append(log), { error: 0, baseOffset: 0 })
  })
})

/** The rules of an idempotent partition in the plainest words: everything ever appended is kept, and looked through. */
class Model {
  private readonly appended: Array<
    { producer: number; epoch: number; sequence: number; count: number; offset: number }
  > = []
  end = 0

  append(producer: number, epoch: number, sequence: number, count: number): { error: number; baseOffset: number } {
    const own = this.appended.filter((it) => it.producer === producer)
    const newest = own.at(-1)?.epoch ?? -1
    if (epoch < newest) return { error: 47, baseOffset: -1 }
    const known = own.filter((it) => it.epoch === epoch)
    const same = known.slice(-5).find((it) => it.sequence === sequence && it.count === count)
    if (same !== undefined) return { error: 0, baseOffset: same.offset }
    const last = known.at(-1)
    const expected = own.length === 0 ? sequence : last === undefined ? 0 : last.sequence + last.count
    if (sequence !== expected) return { error: 45, baseOffset: -1 }
    const offset = this.end
    this.appended.push({ producer, epoch, sequence, count, offset })
    this.end += count
    return { error: 0, baseOffset: offset }
  }
}

const Small = (until: number) => Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: until })))
const Step = Schema.Struct({ producer: Small(1), epoch: Small(1), what: Small(12), count: Small(2) })

describe("any run of idempotent producers", () => {
  effectIt.effect.prop(
    "answers as the plain rules do",
    [Schema.Array(Step).pipe(Schema.check(Schema.isMinLength(40)))],
    ([steps]) =>
      Effect.sync(() => {
        const log = new PartitionLog()
        const model = new Model()
        const sent = new Map<string, Array<{ readonly sequence: number; readonly count: number }>>()
        for (const { count, epoch, producer, what } of steps) {
          const key = `${producer}/${epoch}`
          const history = sent.get(key) ?? []
          const last = history.at(-1)
          const next = { sequence: last === undefined ? 0 : last.sequence + last.count, count: count + 1 }
          // Often the next batch, sometimes one of the last six again, sometimes a gap, sometimes half of the last one.
          const batch = what < 5
            ? next
            : what < 11
            ? history.at(4 - what) ?? next
            : what === 11
            ? { ...next, sequence: next.sequence + 2 }
            : { ...next, sequence: Math.max(0, next.sequence - 1) }
          const expected = model.append(producer, epoch, batch.sequence, batch.count)
          const actual = append(log, { producerId: producer, epoch, ...batch })
          assert.deepStrictEqual(actual, expected)
          if (actual.error === 0 && batch === next) sent.set(key, [...history, next])
        }
        assert.strictEqual(log.endOffset, model.end)
      }),
    { arbitrary: { runs: 300 } }
  )
})

const Move = Schema.Struct({ producer: Small(3), what: Small(3) })

describe("any run of transactions", () => {
  effectIt.effect.prop(
    "shows read_committed exactly what was committed, in order, and ends stable",
    [Schema.Array(Move).pipe(Schema.check(Schema.isMinLength(20)))],
    ([moves]) =>
      Effect.sync(() => {
        const log = new PartitionLog()
        const open = new Map<number, Array<number>>()
        const sequences = new Map<number, number>()
        const committed = new Set<number>()
        const end = (producer: number, commit: boolean) => {
          assert.strictEqual(marker(log, producer, commit), 0)
          if (commit) { for (const offset of open.get(producer) ?? []) committed.add(offset) }
          open.delete(producer)
        }
        for (const { producer, what } of moves) {
          if (what < 2) {
            const sequence = sequences.get(producer) ?? 0
            const { baseOffset, error } = append(log, { producerId: producer, transactional: true, sequence })
            assert.strictEqual(error, 0)
            sequences.set(producer, sequence + 1)
            open.set(producer, [...(open.get(producer) ?? []), baseOffset])
          } else end(producer, what === 2)
          const first = Math.min(...[...open.values()].map((it) => it[0]!), log.endOffset)
          assert.strictEqual(log.lastStableOffset, first)
        }
        for (const producer of [...open.keys()]) end(producer, false)
        assert.strictEqual(log.lastStableOffset, log.endOffset)
        const { bytes } = log.read(0, log.endOffset, 10_000_000, true)
        const aborted = log.abortedBetween(0, log.endOffset)
        const visible = RecordBatch.split(bytes).batches.filter((it) =>
          !it.isControl && !aborted.some((range) =>
            range.producerId === Number(it.producerId) && range.firstOffset <= Number(it.baseOffset) &&
            Number(it.baseOffset) < range.lastOffset
          )
        ).map((it) => Number(it.baseOffset))
        assert.deepStrictEqual(visible, [...committed].sort((a, b) => a - b))
      }),
    { arbitrary: { runs: 200 } }
  )
})
