import { assert, it } from "@effect/vitest"
import { Ledger, type Probe } from "@exactly-once/testkit"
import { Effect } from "effect"
import { fresh, record, valueOf } from "./kafka.ts"

const setup = (bootstrap: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const { name, probe } = yield* fresh(bootstrap, { in: 1, out: 1 })
    const spec: Ledger.Spec = { input: name("in"), outputs: [name("out")], groupId: name("group"), id: valueOf }
    yield* probe.produce(spec.input, 0, ["a1", "b1", "a2", "b2"].map((id) => record(id.slice(0, 1), id)))
    const transaction = yield* probe.transaction(name("txn"), 60_000)
    return { probe, spec, transaction, out: name("out") }
  })

const ids = (...values: ReadonlyArray<string>): ReadonlyArray<Probe.NewRecord> =>
  values.map((id) => record(id.slice(0, 1), id))

const copiedTo = (bootstrap: () => ReadonlyArray<string>) =>
  Effect.fnUntraced(function*(...values: ReadonlyArray<string>) {
    const parts = yield* setup(bootstrap())
    yield* parts.transaction.produce(parts.out, 0, ids(...values))
    yield* parts.transaction.sendOffset(parts.spec.groupId, parts.spec.input, 0, 4n)
    yield* parts.transaction.end(true)
    assert.isTrue(yield* Ledger.settled(parts.probe, parts.spec, { within: 10_000 }))
    return { ...parts, report: yield* Ledger.audit(parts.probe, parts.spec) }
  })

/** What the ledger must find, over any cluster. */
export const ledgerCases = (
  describe: (name: string, body: () => void) => unknown,
  bootstrap: () => ReadonlyArray<string>
) =>
  describe("Ledger", () => {
    const copied = copiedTo(bootstrap)

    it.live("each record once, in order, with its offset: exact", () =>
      Effect.gen(function*() {
        const { report } = yield* copied("a1", "b1", "a2", "b2")
        assert.deepStrictEqual(Ledger.violations(report), [])
        assert.strictEqual(report.verdict, "Exact")
        assert.strictEqual(report.visible, 4)
      }))

    it.live("keys may overtake each other", () =>
      Effect.gen(function*() {
        assert.strictEqual((yield* copied("b1", "b2", "a1", "a2")).report.verdict, "Exact")
      }))

    it.live("a record missing is lost", () =>
      Effect.gen(function*() {
        const { report } = yield* copied("a1", "b1", "b2")
        assert.strictEqual(report.verdict, "Violated")
        assert.deepStrictEqual(report.lost, { count: 1, examples: ["a2"] })
      }))

    it.live("a record twice is a duplicate", () =>
      Effect.gen(function*() {
        const { report } = yield* copied("a1", "b1", "a2", "b2", "a1")
        assert.strictEqual(report.verdict, "Violated")
        assert.deepStrictEqual(report.duplicated, { count: 1, examples: ["a1"] })
        assert.strictEqual(report.reordered.count, 0)
      }))

    it.live("a record before its key's earlier one is out of order", () =>
      Effect.gen(function*() {
        const { report } = yield* copied("a2", "b1", "a1", "b2")
        assert.strictEqual(report.verdict, "Violated")
        assert.deepStrictEqual(report.reordered, { count: 1, examples: ["a1"] })
      }))

    it.live("a record that was never put in is unexpected", () =>
      Effect.gen(function*() {
        const { report } = yield* copied("a1", "b1", "a2", "b2", "c9")
        assert.deepStrictEqual(report.unexpected, { count: 1, examples: ["c9"] })
        assert.strictEqual(report.verdict, "Violated")
      }))

    it.live("aborted copies are counted, and are no duplicates", () =>
      Effect.gen(function*() {
        const { out, probe, spec, transaction } = yield* setup(bootstrap())
        yield* transaction.produce(out, 0, ids("a1", "b1"))
        yield* transaction.end(false)
        const again = yield* probe.transaction(`${transaction.transactionalId}-2`, 60_000)
        yield* again.produce(out, 0, ids("a1", "b1", "a2", "b2"))
        yield* again.sendOffset(spec.groupId, spec.input, 0, 4n)
        yield* again.end(true)
        assert.isTrue(yield* Ledger.settled(probe, spec, { within: 10_000 }))
        const report = yield* Ledger.audit(probe, spec)
        assert.deepStrictEqual(Ledger.violations(report), [])
        assert.strictEqual(report.aborted, 2)
      }))

    it.live("an open transaction holds back the output and is named", () =>
      Effect.gen(function*() {
        const { out, probe, spec } = yield* copied("a1", "b1", "a2", "b2")
        const foreign = yield* probe.transaction(`${spec.groupId}-foreign`, 60_000)
        yield* foreign.produce(out, 0, ids("a1"))
        const report = yield* Ledger.audit(probe, spec)
        assert.strictEqual(report.verdict, "Violated")
        assert.strictEqual(report.open.count, 1)
        assert.include(report.open.examples[0], `producer ${foreign.producerId} on ${out}-0`)
        assert.lengthOf(report.heldBack, 1)
        assert.isFalse(yield* Ledger.settled(probe, spec, { within: 300 }))
        yield* foreign.end(false)
      }))

    it.live("offsets that were not committed are behind", () =>
      Effect.gen(function*() {
        const { out, probe, spec, transaction } = yield* setup(bootstrap())
        yield* transaction.produce(out, 0, ids("a1", "b1", "a2", "b2"))
        yield* transaction.sendOffset(spec.groupId, spec.input, 0, 3n)
        yield* transaction.end(true)
        const report = yield* Ledger.audit(probe, spec)
        assert.strictEqual(report.verdict, "Violated")
        assert.deepStrictEqual(report.behind, [{ topic: spec.input, partition: 0, at: 3n, end: 4n }])
        assert.include(Ledger.format(report), "the group stands at 3 instead of 4")
      }))

    it.live("nothing put in is undecided, never a pass", () =>
      Effect.gen(function*() {
        const { name, probe } = yield* fresh(bootstrap(), { in: 1, out: 1 })
        const report = yield* Ledger.audit(probe, {
          input: name("in"),
          outputs: [name("out")],
          groupId: name("group"),
          id: valueOf
        })
        assert.strictEqual(report.verdict, "Undecided")
      }))
  })
