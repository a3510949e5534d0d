import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { type AbortedTransaction, makeAbortFilter } from "../../src/internal/abortFilter.ts"

interface Line {
  readonly producerId: bigint
  readonly offset: bigint
  readonly kind: "data" | "abort" | "commit" | "plain"
}

/** A log of a few producers' transactions, from a list of numbers: what to do next. */
const makeLog = (choices: ReadonlyArray<number>): ReadonlyArray<Line> => {
  const open = new Set<bigint>()
  return choices.map((choice, i) => {
    const producerId = BigInt(choice % 4)
    const offset = BigInt(i)
    const action = Math.floor(choice / 4) % 5
    if (action === 0) return { producerId: 9n, offset, kind: "plain" }
    if (action <= 2) {
      open.add(producerId)
      return { producerId, offset, kind: "data" }
    }
    // a marker also ends a transaction that wrote nothing here
    open.delete(producerId)
    return { producerId, offset, kind: action === 3 ? "abort" : "commit" }
  })
}

/** The plain definition: a record is aborted when the next marker of its producer says so. */
const naive = (log: ReadonlyArray<Line>, from: number): ReadonlyArray<bigint> =>
  log.slice(from).filter((line) => {
    if (line.kind === "plain") return true
    if (line.kind !== "data") return false
    const marker = log.find((later) =>
      later.offset > line.offset && later.producerId === line.producerId && later.kind !== "data"
    )
    return marker?.kind === "commit"
  }).map(({ offset }) => offset)

/** What a broker lists: transactions that end with an abort, in the order of their ends, open ones left out. */
const abortedOf = (log: ReadonlyArray<Line>): ReadonlyArray<AbortedTransaction> => {
  const first = new Map<bigint, bigint>()
  const aborted: Array<AbortedTransaction> = []
  for (const { kind, offset, producerId } of log) {
    if (kind === "plain") continue
    if (kind === "data") {
      if (!first.has(producerId)) first.set(producerId, offset)
      continue
    }
    if (kind === "abort") aborted.push({ producerId, firstOffset: first.get(producerId) ?? offset })
    first.delete(producerId)
  }
  return aborted
}

/** The last stable offset: no transaction is open below it, though markers of ended ones may lie above. */
const stableEnd = (log: ReadonlyArray<Line>): number => {
  const open = log.findIndex(({ kind, offset, producerId }) =>
    kind === "data" &&
    !log.some((later) => later.offset > offset && later.producerId === producerId && later.kind !== "data")
  )
  return open < 0 ? log.length : open
}

const filtered = (
  log: ReadonlyArray<Line>,
  from: number,
  to: number,
  aborted: ReadonlyArray<AbortedTransaction>
): ReadonlyArray<bigint> => {
  const visible = makeAbortFilter(aborted)
  return log.slice(from, to).filter(({ kind, offset, producerId }) =>
    visible({
      producerId,
      lastOffset: offset,
      transactional: kind !== "plain",
      control: kind === "abort" || kind === "commit",
      abortMarker: kind === "abort"
    })
  ).map(({ offset }) => offset)
}

/** The entries that overlap a response from `from` on: those whose marker lies at or behind its first offset. */
const listed = (log: ReadonlyArray<Line>, from: number): ReadonlyArray<AbortedTransaction> =>
  abortedOf(log).filter(({ firstOffset, producerId }) => {
    const end = log.find((line) =>
      line.kind === "abort" && line.producerId === producerId && line.offset >= firstOffset
    )
    return end !== undefined && end.offset >= BigInt(from)
  })

const choice = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 19 })))

describe("the abort filter", () => {
  it.prop(
    "shows what the definition shows, from every offset and in responses of every size",
    [Schema.Array(choice)],
    ([choices]) => {
      const log = makeLog(choices)
      const end = stableEnd(log)
      for (let from = 0; from < end; from++) {
        const expected = naive(log, from)
        for (let to = from + 1; to <= end; to++) {
          assert.deepStrictEqual(
            filtered(log, from, to, listed(log, from)),
            expected.filter((offset) => offset < BigInt(to))
          )
        }
      }
    },
    { arbitrary: { runs: 1_000 } }
  )

  it("keeps a producer's records that were not in a transaction", () => {
    const visible = makeAbortFilter([{ producerId: 1n, firstOffset: 0n }])
    assert.isTrue(visible({ producerId: 1n, lastOffset: 0n, transactional: false, control: false, abortMarker: false }))
  })
})
