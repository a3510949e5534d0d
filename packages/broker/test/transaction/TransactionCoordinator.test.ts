import { it as effectIt } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { assert, describe, it } from "vitest"
import type { Completion } from "../../src/transaction/Transaction.ts"
import { type Outcome, TransactionCoordinator } from "../../src/transaction/TransactionCoordinator.ts"

const make = (options: { readonly transactionVersion?: 0 | 1 | 2; readonly firstEpoch?: number } = {}) => {
  let next = 100
  return new TransactionCoordinator({
    options: { transactionVersion: 2, maxTimeoutMs: 900_000, idExpirationMs: 1_000_000, firstEpoch: 0, ...options },
    newProducerId: () => next++
  })
}

const AT = { topic: "t", partition: 0 }
const producer = (outcome: Outcome) => ({ transactionalId: "id", producerId: outcome.producerId, epoch: outcome.epoch })

describe("a transaction's coordinator", () => {
  it("goes through the states of KIP-98 and tells what markers to write", () => {
    const coordinator = make()
    const state = () => coordinator.get("id")?.state
    const pid = producer(coordinator.init("id", 1_000, undefined, 0))
    assert.strictEqual(state(), "Empty")
    assert.strictEqual(coordinator.add(pid, [AT], 5), 0)
    assert.strictEqual(state(), "Ongoing")
    assert.strictEqual(coordinator.nextDeadline(), 1_005)
    const { completion, epoch } = coordinator.end(pid, true, true, 6)
    assert.strictEqual(state(), "PrepareCommit")
    assert.isUndefined(coordinator.nextDeadline())
    assert.deepStrictEqual(completion, {
      transactionalId: "id",
      commit: true,
      producerId: pid.producerId,
      producerEpoch: epoch,
      partitions: [AT]
    })
    coordinator.complete(completion!, 7)
    assert.strictEqual(state(), "CompleteCommit")
    assert.strictEqual(coordinator.get("id")?.partitions.size, 0)
    assert.strictEqual(coordinator.add({ ...pid, epoch }, [AT], 8), 0)
    assert.strictEqual(state(), "Ongoing")
  })

  it("keeps the partitions of an ending transaction until it has ended", () => {
    const coordinator = make()
    const pid = producer(coordinator.init("id", 1_000, undefined, 0))
    coordinator.add(pid, [AT, { topic: "t", partition: 1 }], 0)
    const { completion } = coordinator.end(pid, false, true, 0)
    assert.strictEqual(coordinator.get("id")?.partitions.size, 2)
    // A coordinator that restarts now goes on with the same markers.
    assert.deepStrictEqual(coordinator.unfinished(), [completion!])
  })

  it("completes only what it is still about to complete", () => {
    const coordinator = make()
    const pid = producer(coordinator.init("id", 1_000, undefined, 0))
    coordinator.add(pid, [AT], 0)
    const first = coordinator.end(pid, true, true, 0)
    coordinator.complete(first.completion!, 1)
    coordinator.add(producer(first), [AT], 2)
    coordinator.complete(first.completion!, 3)
    assert.strictEqual(coordinator.get("id")?.state, "Ongoing")
  })

  it("times out the late ones and no others", () => {
    const coordinator = make()
    for (const [id, timeout] of [["a", 100], ["b", 200]] as const) {
      const pid = coordinator.init(id, timeout, undefined, 0)
      coordinator.add({ transactionalId: id, producerId: pid.producerId, epoch: pid.epoch }, [AT], 0)
    }
    assert.deepStrictEqual(coordinator.timeOut(99), [])
    assert.deepStrictEqual(coordinator.timeOut(100).map(({ transactionalId }) => transactionalId), ["a"])
    assert.strictEqual(coordinator.get("a")?.state, "PrepareAbort")
    assert.strictEqual(coordinator.get("b")?.state, "Ongoing")
    assert.strictEqual(coordinator.nextDeadline(), 200)
  })

  it("counts the timeout from the first partition, not from the last", () => {
    const coordinator = make()
    const pid = producer(coordinator.init("id", 100, undefined, 0))
    coordinator.add(pid, [AT], 10)
    coordinator.add(pid, [{ topic: "t", partition: 1 }], 90)
    assert.strictEqual(coordinator.nextDeadline(), 110)
  })

  it("of version 1 lets nobody ask again for an epoch from before a fence", () => {
    const coordinator = make({ transactionVersion: 1 })
    const first = coordinator.init("id", 100, undefined, 0)
    const second = producer(coordinator.init("id", 100, { producerId: first.producerId, epoch: first.epoch }, 0))
    coordinator.add(second, [AT], 0)
    const [completion] = coordinator.timeOut(100)
    coordinator.complete(completion!, 101)
    for (const { epoch, producerId } of [first, second]) {
      assert.strictEqual(coordinator.init("id", 100, { producerId, epoch }, 102).error, 90)
    }
  })

  it("expires idle ids, not those at work", () => {
    const coordinator = make()
    const pid = producer(coordinator.init("id", 1_000, undefined, 0))
    coordinator.init("idle", 1_000, undefined, 0)
    coordinator.add(pid, [AT], 0)
    coordinator.expire(999_999)
    assert.isDefined(coordinator.get("idle"))
    coordinator.expire(1_000_000)
    assert.isUndefined(coordinator.get("idle"))
    assert.isDefined(coordinator.get("id"))
  })

  it("on its last epoch times out onto an epoch that no client ever had, and then onto a new id", () => {
    for (const transactionVersion of [1, 2] as const) {
      const coordinator = make({ transactionVersion, firstEpoch: 32_766 })
      const pid = producer(coordinator.init("id", 100, undefined, 0))
      coordinator.add(pid, [AT], 0)
      const [completion] = coordinator.timeOut(100)
      assert.strictEqual(completion?.producerEpoch, 32_767)
      coordinator.complete(completion!, 101)
      const fresh = coordinator.init("id", 100, undefined, 102)
      assert.notStrictEqual(fresh.producerId, pid.producerId)
      assert.isAtMost(fresh.epoch, 1)
    }
  })

  it("is the same after a snapshot", () => {
    const coordinator = make()
    const pid = producer(coordinator.init("id", 1_000, undefined, 0))
    coordinator.add(pid, [AT], 0)
    const environment = {
      options: { transactionVersion: 2, maxTimeoutMs: 1, idExpirationMs: 1, firstEpoch: 0 } as const,
      newProducerId: () => 7
    }
    const copy = TransactionCoordinator.restore(environment, structuredClone(coordinator.snapshot()))
    assert.strictEqual(copy.nextDeadline(), 1_000)
    assert.strictEqual(copy.end(pid, true, true, 1).error, 0)
    assert.strictEqual(coordinator.get("id")?.state, "Ongoing")
  })
})

const Small = (until: number) => Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: until })))
/** Two instances share an id; each has the epoch it was given last. */
const Command = Schema.Struct({ instance: Small(1), what: Small(7) })

for (const transactionVersion of [1, 2] as const) {
  describe(`any run of two instances of one id, transaction.version ${transactionVersion}`, () => {
    effectIt.effect.prop(
      "lets one of them write at a time, and every transaction ends once",
      [Schema.Array(Command).pipe(Schema.check(Schema.isMinLength(30)))],
      ([commands]) =>
        Effect.sync(() => {
          const bumps = transactionVersion === 2
          const coordinator = make({ transactionVersion })
          const held = new Map<number, { producerId: number; epoch: number }>()
          const pending: Array<Completion> = []
          const completed = new Set<string>()
          let now = 0
          const note = (completion: Completion | undefined) => {
            if (completion !== undefined) pending.push(completion)
          }
          for (const { instance, what } of commands) {
            now += 10
            const mine = held.get(instance)
            const as = { transactionalId: "id", ...(mine ?? { producerId: 0, epoch: 0 }) }
            if (what === 0 || what === 1) {
              const outcome = coordinator.init("id", 100, what === 1 ? mine : undefined, now)
              note(outcome.completion)
              if (outcome.error === 0) held.set(instance, { producerId: outcome.producerId, epoch: outcome.epoch })
            } else if (what <= 3) {
              if (coordinator.add(as, [AT], now) === 0) {
                const { epoch } = coordinator.get("id")!
                assert.strictEqual(mine?.epoch, epoch)
              }
            } else if (what <= 5) {
              const outcome = coordinator.end(as, what === 4, bumps, now)
              note(outcome.completion)
              if (outcome.error === 0 && bumps) {
                held.set(instance, { producerId: outcome.producerId, epoch: outcome.epoch })
              }
            } else if (what === 6) {
              for (const completion of pending.splice(0)) {
                coordinator.complete(completion, now)
                const key = `${completion.producerId}/${completion.producerEpoch}/${now}`
                assert.isFalse(completed.has(key))
                completed.add(key)
              }
            } else {
              for (const completion of coordinator.timeOut(now + 95)) {
                note(completion)
              }
            }
            // There is never more than one transaction to be ended at a time.
            assert.isAtMost(coordinator.unfinished().length, 1)
            assert.strictEqual(coordinator.unfinished().length, pending.length)
            const preparing = pending.length === 1
            assert.strictEqual(coordinator.get("id")?.state.startsWith("Prepare") ?? false, preparing)
          }
        }),
      { arbitrary: { runs: 300 } }
    )
  })
}
