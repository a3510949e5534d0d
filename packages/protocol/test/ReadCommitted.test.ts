import { assert, describe, it } from "@effect/vitest"
import { BatchBuilder, ControlRecord, ReadCommitted, RecordBatch } from "@exactly-once/protocol"
import { Random } from "./random.ts"

interface Entry {
  readonly batch: RecordBatch
  readonly producerId: bigint
  /** Undecided until the producer's marker is written. */
  committed: boolean
  readonly isControl: boolean
}

const parse = (bytes: Uint8Array): RecordBatch => RecordBatch.split(bytes).batches[0]!

const data = (baseOffset: bigint, producerId: bigint, count: number, isTransactional: boolean): RecordBatch => {
  const builder = new BatchBuilder(128)
  for (let i = 0; i < count; i++) builder.append({ timestamp: 0 })
  return parse(builder.finish({ baseOffset, producerId, producerEpoch: 0, baseSequence: 0, isTransactional }))
}

/** A partition as a broker would keep it: batches, and each aborted transaction with its first offset and its marker's offset. */
const makeLog = (random: Random) => {
  const entries: Array<Entry> = []
  const aborted: Array<{ readonly producerId: bigint; readonly firstOffset: bigint; readonly lastOffset: bigint }> = []
  const open = new Map<bigint, Array<Entry>>()
  let offset = BigInt(random.below(1000))
  const end = (producerId: bigint, commit: boolean) => {
    const own = open.get(producerId) ?? []
    open.delete(producerId)
    const marker = parse(ControlRecord.encodeMarker({
      type: commit ? ControlRecord.COMMIT : ControlRecord.ABORT,
      producerId,
      producerEpoch: 0,
      coordinatorEpoch: 0,
      timestamp: 0,
      baseOffset: offset
    }))
    entries.push({ batch: marker, producerId, committed: true, isControl: true })
    for (const entry of own) entry.committed = commit
    // A transaction whose partition was added but never written to has a marker and no entry in the index.
    if (!commit && own[0] !== undefined) {
      aborted.push({ producerId, firstOffset: own[0].batch.baseOffset, lastOffset: offset })
    }
    offset += 1n
  }
  const steps = 5 + random.below(100)
  for (let step = 0; step < steps; step++) {
    const producerId = BigInt(1 + random.below(3))
    if (random.chance(35)) end(producerId, random.chance(45))
    else {
      const isTransactional = random.chance(85)
      const count = 1 + random.below(3)
      // A producer with an open transaction on the partition may not write outside of it, so plain records come from others.
      const writer = isTransactional ? producerId : random.pick([10n, producerId])
      const plain = !isTransactional && !open.has(writer)
      if (!isTransactional && !plain) continue
      const entry = {
        batch: data(offset, writer, count, isTransactional),
        producerId: writer,
        committed: plain,
        isControl: false
      }
      entries.push(entry)
      if (isTransactional) open.set(writer, [...open.get(writer) ?? [], entry])
      offset += BigInt(count)
      // Compaction leaves gaps.
      if (random.chance(10)) offset += 2n
    }
  }
  for (const producerId of [...open.keys()]) end(producerId, random.chance(50))
  return { entries, aborted }
}

const shuffled = <A>(items: ReadonlyArray<A>, random: Random): ReadonlyArray<A> =>
  items.map((item) => ({ item, key: random.below(1_000_000) })).toSorted((a, b) => a.key - b.key).map(({ item }) =>
    item
  )

describe("ReadCommitted", () => {
  it("shows exactly the committed data of any window of any log, with the aborted list in any order", () => {
    let dropped = 0
    let several = 0
    for (let seed = 0; seed < 3000; seed++) {
      const random = new Random(seed)
      const { aborted, entries } = makeLog(random)
      const from = random.below(entries.length)
      const window = entries.slice(from, from + 1 + random.below(entries.length - from))
      const first = window[0]!.batch.baseOffset
      const last = window.at(-1)!.batch.lastOffset
      // What a broker lists: transactions that overlap the window, whose marker may lie beyond its end or at its very start.
      const listed = aborted.filter((one) => one.lastOffset >= first && one.firstOffset <= last)
      if (new Set(listed.map((one) => one.producerId)).size < listed.length) several++
      const seen = ReadCommitted.visible(window.map((entry) => entry.batch), shuffled(listed, random))
      const expected = window.filter((entry) => !entry.isControl && entry.committed)
      dropped += window.filter((entry) => !entry.isControl && !entry.committed).length
      assert.deepStrictEqual(
        seen.map((batch) => batch.baseOffset),
        expected.map((entry) => entry.batch.baseOffset),
        `seed ${seed}`
      )
    }
    // The property is about these cases, so they must have come up.
    assert.isAtLeast(dropped, 5000)
    assert.isAtLeast(several, 1000)
  })

  it("one producer's aborted ranges end each at its own marker", () => {
    const marker = (baseOffset: bigint, type: 0 | 1) =>
      parse(
        ControlRecord.encodeMarker({
          type,
          producerId: 1n,
          producerEpoch: 0,
          coordinatorEpoch: 0,
          timestamp: 0,
          baseOffset
        })
      )
    const batches = [
      data(0n, 1n, 2, true),
      marker(2n, ControlRecord.ABORT),
      data(3n, 1n, 1, true),
      marker(4n, ControlRecord.COMMIT),
      data(5n, 1n, 1, true),
      marker(6n, ControlRecord.ABORT),
      data(7n, 1n, 1, true),
      marker(8n, ControlRecord.COMMIT),
      data(9n, 1n, 1, true)
    ]
    const aborted = [9n, 0n, 5n].map((firstOffset) => ({ producerId: 1n, firstOffset }))
    assert.deepStrictEqual(ReadCommitted.visible(batches, aborted).map((batch) => batch.baseOffset), [3n, 7n])
  })

  it("null and an empty list drop markers alone", () => {
    const { entries } = makeLog(new Random(1))
    const batches = entries.map((entry) => entry.batch)
    for (const aborted of [null, []]) {
      assert.strictEqual(
        ReadCommitted.visible(batches, aborted).length,
        entries.filter((entry) => !entry.isControl).length
      )
    }
  })

  it("a marker that compaction emptied ends nothing", () => {
    const emptied = parse(
      new BatchBuilder().finish({ baseOffset: 1n, producerId: 1n, isTransactional: true, isControl: true })
    )
    assert.strictEqual(emptied.count, 0)
    const batches = [data(0n, 1n, 1, true), emptied, data(2n, 1n, 1, true)]
    assert.deepStrictEqual(ReadCommitted.visible(batches, [{ producerId: 1n, firstOffset: 0n }]), [])
  })

  it("the next fetch starts behind the last batch, visible or not", () => {
    assert.strictEqual(ReadCommitted.nextOffset([], 7n), 7n)
    assert.strictEqual(ReadCommitted.nextOffset([data(10n, 1n, 3, true)], 7n), 13n)
  })
})
