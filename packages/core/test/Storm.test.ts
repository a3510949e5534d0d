import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schedule, Stream } from "effect"
import { CommittedConsumer, Transaction, transactionally, withTransaction } from "../src/index.ts"
import type { Request } from "./support/MemoryKafka.ts"
import { copied, Input, Output, setUp } from "./support/program.ts"

/** A small generator whose seed a failing case names. */
const dice = (seed: number) => {
  let state = seed * 2_654_435_761 % 4_294_967_296
  return (sides: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor(state / 4_294_967_296 * sides)
  }
}

const total = 10
const partitions = [0, 1, 2]
const faulty: ReadonlySet<Request["op"]> = new Set([
  "init",
  "begin",
  "send",
  "flush",
  "offsets",
  "commit",
  "abort",
  "committed"
])

/** Order inside a partition and exactly once, whatever fails, is answered too late, or is given away and back. */
const storm = (
  kafkaOptions: { readonly fencing: "partition" | "group"; readonly openTransactions?: number },
  byHand: boolean,
  seed: number
) =>
  Effect.gen(function*() {
    const roll = dice(seed)
    const { kafka, layer, outcomes } = setUp({
      kafka: { ...kafkaOptions, partitions: partitions.length },
      session: { transactionTimeout: "60 seconds", recoveryTimeout: "60 seconds" },
      consumer: { maxRecords: 1 + roll(4), rebalanceTimeout: "5 minutes" }
    })
    const put = Array.from({ length: total }, (_, i) => `${i}`)
    for (const partition of partitions) kafka.put("in", partition, put.map((value) => `${partition}:${value}`))
    let calm = false
    const fault = ({ op }: Request) =>
      Effect.suspend(() => {
        if (calm || !faulty.has(op)) return Effect.void
        const what = roll(60)
        return what === 0
          ? kafka.fail(op, "UnknownOutcome")
          : what === 1
          ? kafka.fail(op, "Unavailable", 15)
          : what < 12
          ? Effect.yieldNow
          : Effect.void
      })
    kafka.before(fault)
    kafka.after(fault)
    const body = (
      batch: { readonly records: Parameters<typeof copied>[0] }
    ): Effect.Effect<void, Transaction.EmitError, Transaction.Transaction> =>
      Effect.andThen(
        Transaction.emit(Output, batch.records.flatMap((record) => copied([record], record.partition))),
        Effect.suspend(() => roll(4) === 0 ? Transaction.flush : Effect.void)
      )
    const batches = CommittedConsumer.batches(Input)
    const pipeline = byHand
      ? Stream.mapEffect(batches, (batch) =>
        Effect.suspend(() => {
          const work: Effect.Effect<void, Transaction.EmitError | "no", Transaction.Transaction> = Effect.suspend(
            () => {
              const fails: Effect.Effect<void, Transaction.EmitError | "no", Transaction.Transaction> = Effect.fail(
                "no"
              )
              return roll(10) === 0 && !calm ? fails : body(batch)
            }
          )
          return Transaction.consumed(batch).pipe(
            Effect.andThen(Effect.repeat(Effect.yieldNow, { times: roll(8) })),
            Effect.andThen(work),
            withTransaction,
            Effect.ignore
          )
        }), { concurrency: 4, unordered: true })
      : Stream.map(transactionally(batches, body), () => undefined)
    // A supervisor's work: what core does not mend by itself, a new run does.
    const errors: Array<string> = []
    const fiber = yield* Stream.runDrain(pipeline).pipe(
      Effect.tapError((error) => Effect.sync(() => errors.push(String(error)))),
      Effect.retry(Schedule.spaced("1 millis")),
      Effect.provide(layer),
      Effect.forkChild
    )
    const done = () => partitions.every((partition) => kafka.offset("g", { topic: "in", partition }) === BigInt(total))
    for (let step = 0; step < 400 && !done(); step++) {
      yield* step % 20 === 0 ? Effect.sleep("1 millis") : Effect.yieldNow
      if (roll(30) !== 0) continue
      const tp = { topic: "in", partition: roll(partitions.length) }
      if (!kafka.hasMember()) continue
      const member = kafka.member()
      if (!member.positions.has(`in-${tp.partition}`)) continue
      yield* roll(2) === 0 ? kafka.revoke(member, [tp]) : kafka.lose(member, [tp])
      // The assignment may meet a fault too; a driver would join again.
      yield* Effect.retry(kafka.assign(member, [tp]), { times: 20 })
    }
    calm = true
    for (let waited = 0; waited < 5_000 && !done(); waited++) yield* Effect.sleep("1 millis")
    yield* Fiber.interrupt(fiber)
    const context = `seed ${seed}, ${outcomes.map((o) => o._tag === "Aborted" ? o.reason : o._tag).join(" ")} ${
      errors.join("; ")
    }`
    for (const partition of partitions) {
      const values = kafka.committed("out").filter((seen) => seen.partition === partition).map(({ value }) => value)
      assert.deepStrictEqual(values, put.map((value) => `${partition}:${value}`), context)
    }
    assert.isTrue(kafka.quiet(), context)
    assert.deepStrictEqual(kafka.overlaps, [], context)
  })

describe("a storm of faults and rebalances", () => {
  const drivers = [
    ["fencing by partition", { fencing: "partition" }],
    ["fencing by group", { fencing: "group" }],
    ["two open transactions", { fencing: "group", openTransactions: 2 }]
  ] as const
  for (const [name, options] of drivers) {
    for (const byHand of [false, true]) {
      it.live(`leaves every record once and in order (${name}${byHand ? ", enlisted by hand" : ""})`, () =>
        Effect.gen(function*() {
          for (let seed = 1; seed <= Number(process.env["STORM_SEEDS"] ?? 5); seed++) {
            yield* storm(options, byHand, seed)
          }
        }))
    }
  }
})
