import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { describeLive } from "../../../scripts/vitest/live.ts"
import {
  behindProxy,
  bytes,
  committedValues,
  driverOf,
  failure,
  fresh,
  offsetsOf,
  producerOf,
  record,
  stableOffset,
  visibleValues
} from "./support/kafka.ts"

describeLive("kafkajs driver, transactions", () => {
  it.live("records and offsets of a committed transaction are there, with the token as metadata", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ in: 1, out: 2 })
      const producer = yield* producerOf(driver, name("txn"))
      const { epoch, producerId } = yield* producer.init("Takeover")
      assert.isTrue(producerId >= 0n)
      assert.strictEqual(epoch, 0)
      const transaction = yield* producer.begin
      yield* transaction.send(name("out"), [{ ...record("k", "a"), partition: 0 }, {
        ...record("k", "b"),
        partition: 1
      }])
      yield* transaction.flush
      yield* transaction.sendOffsets(offsetsOf(name("group"), { topic: name("in"), partition: 0 }, 7, "token-1"))
      assert.deepStrictEqual(yield* visibleValues(probe, name("out")), [])
      yield* transaction.commit
      const { metadata, offset } = yield* stableOffset(probe, name("group"), name("in"))
      assert.deepStrictEqual([offset, metadata], [7n, "token-1"])
      assert.deepStrictEqual(yield* committedValues(probe, name("out"), 0), ["a"])
      assert.deepStrictEqual(yield* committedValues(probe, name("out"), 1), ["b"])
    }))

  it.live("records and offsets of an aborted transaction are never seen, and the next one needs no init", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ in: 1, out: 1 })
      const producer = yield* producerOf(driver, name("txn"))
      yield* producer.init("Takeover")
      const first = yield* producer.begin
      yield* first.send(name("out"), [record("k", "aborted")])
      yield* first.sendOffsets(offsetsOf(name("group"), { topic: name("in"), partition: 0 }, 1))
      yield* first.abort
      const second = yield* producer.begin
      yield* second.send(name("out"), [record("k", "committed")])
      yield* second.commit
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), ["committed"])
      assert.strictEqual((yield* stableOffset(probe, name("group"), name("in"))).offset, -1n)
    }))

  it.live("a hundred transactions in a row find no concurrent one in their way", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ in: 1, out: 1 })
      const producer = yield* producerOf(driver, name("txn"))
      yield* producer.init("Takeover")
      for (let n = 0; n < 100; n++) {
        const transaction = yield* producer.begin
        // every other one begins with offsets, where kafkajs gives up at once
        if (n % 2 === 0) yield* transaction.send(name("out"), [record("k", `v${n}`)])
        yield* transaction.sendOffsets(offsetsOf(name("group"), { topic: name("in"), partition: 0 }, n))
        yield* transaction.commit
      }
      assert.strictEqual((yield* stableOffset(probe, name("group"), name("in"))).offset, 99n)
      assert.strictEqual((yield* committedValues(probe, name("out"))).length, 50)
    }))

  it.live("a newer producer of the id fences the older one, in every step, and carries on itself", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ in: 1, out: 1 })
      const other = yield* driverOf()
      const older = yield* producerOf(driver, name("txn"))
      const newer = yield* producerOf(other, name("txn"))
      yield* older.init("Takeover")
      const zombie = yield* older.begin
      yield* zombie.send(name("out"), [record("k", "zombie")])
      yield* zombie.flush
      yield* newer.init("Takeover")
      assert.strictEqual(yield* failure(zombie.commit), "Fenced")
      yield* Effect.exit(zombie.abort)
      assert.strictEqual(yield* failure(older.begin), "Fatal")
      const owner = yield* newer.begin
      yield* owner.send(name("out"), [record("k", "owner")])
      yield* owner.commit
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), ["owner"])

      for (const step of ["send", "sendOffsets"] as const) {
        yield* older.init("Takeover")
        const late = yield* older.begin
        yield* newer.init("Takeover")
        const attempt = step === "send"
          ? Effect.andThen(late.send(name("out"), [record("k", "late")]), late.flush)
          : late.sendOffsets(offsetsOf(name("group"), { topic: name("in"), partition: 0 }, 1))
        assert.strictEqual(yield* failure(attempt), "Fenced", step)
        assert.strictEqual(yield* failure(late.commit), "Fenced", `commit after ${step}`)
      }
    }))

  it.live("init waits until the transaction that stands under its id has ended", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ in: 1, out: 1 })
      const predecessor = yield* probe.transaction(name("txn"), 30_000)
      yield* predecessor.produce(name("out"), 0, [{ key: bytes("k"), value: bytes("left open") }])
      yield* predecessor.sendOffset(name("group"), name("in"), 0, 5n)
      const producer = yield* producerOf(driver, name("txn"))
      const { epoch } = yield* producer.init("Takeover")
      assert.isAbove(epoch, predecessor.epoch)
      // nothing of it is pending any more, not even for a fetch that would not wait
      assert.strictEqual((yield* driver.admin.committed(name("group"), [{ topic: name("in"), partition: 0 }])).size, 0)
      assert.strictEqual(
        yield* probe.offset(name("out"), 0, "lastStable"),
        yield* probe.offset(name("out"), 0, "end")
      )
    }))

  it.live("a transaction without records and offsets sends nothing, whether it commits or aborts", () =>
    Effect.gen(function*() {
      const { driver, name, proxy } = yield* behindProxy({ out: 1 })
      const producer = yield* producerOf(driver, name("txn"))
      yield* producer.init("Takeover")
      const mark = yield* proxy.mark
      yield* (yield* producer.begin).commit
      const empty = yield* producer.begin
      yield* empty.send(name("out"), [])
      yield* empty.abort
      yield* (yield* producer.begin).abort
      const sent = (yield* proxy.journal(mark)).filter(({ phase }) => phase === "received").map(({ api }) => api)
      assert.deepStrictEqual(sent, [])
    }))

  it.live("a lost answer to EndTxn is an unknown outcome, and init settles it", () =>
    Effect.gen(function*() {
      const { driver, name, probe, proxy } = yield* behindProxy({ in: 1, out: 1 })
      const producer = yield* producerOf(driver, name("txn"))
      yield* producer.init("Takeover")
      for (const when of ["before", "after"] as const) {
        const transaction = yield* producer.begin
        yield* transaction.send(name("out"), [record("k", when)])
        yield* transaction.sendOffsets(offsetsOf(name("group"), { topic: name("in"), partition: 0 }, 1, when))
        yield* proxy.inject({ api: "EndTxn", when, do: "cut" })
        assert.strictEqual(yield* failure(transaction.commit), "UnknownOutcome")
        assert.strictEqual(yield* failure(producer.begin), "Fatal")
        yield* transaction.abort
        yield* producer.init("Own")
        const found = yield* driver.admin.committed(name("group"), [{ topic: name("in"), partition: 0 }])
        assert.strictEqual(found.size, when === "after" ? 1 : 0, when)
      }
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), ["after"])
    }))

  it.live("R23: an EndTxn that had to be sent twice is followed by a new epoch", () =>
    Effect.gen(function*() {
      const { driver, name, probe, proxy } = yield* behindProxy({ out: 1 })
      const producer = yield* producerOf(driver, name("txn"))
      yield* producer.init("Takeover")
      const transact = (value: string) =>
        Effect.gen(function*() {
          const transaction = yield* producer.begin
          yield* transaction.send(name("out"), [record("k", value)])
          yield* transaction.commit
        })
      const inits = (mark: number) =>
        Effect.map(proxy.journal(mark), (journal) =>
          journal.filter(({ api, phase }) => phase === "received" && api === "InitProducerId").length)
      // applied, but answered as if the coordinator had moved before it knew
      yield* proxy.inject({ api: "EndTxn", when: "after", do: { error: 16 } })
      yield* transact("twice")
      const mark = yield* proxy.mark
      yield* transact("next")
      assert.isAtLeast(yield* inits(mark), 1)
      const later = yield* proxy.mark
      yield* transact("last")
      assert.strictEqual(yield* inits(later), 0)
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), ["twice", "next", "last"])
    }))

  it.live("an EndTxn that stays with a moving coordinator is an unknown outcome", () =>
    Effect.gen(function*() {
      const { driver, name, proxy } = yield* behindProxy({ out: 1 }, { requestTimeout: 1_000 })
      const producer = yield* producerOf(driver, name("txn"))
      yield* producer.init("Takeover")
      const transaction = yield* producer.begin
      yield* transaction.send(name("out"), [record("k", "v")])
      yield* proxy.inject({ api: "EndTxn", when: "after", do: { error: 15 }, nth: "every" })
      assert.strictEqual(yield* failure(transaction.commit), "UnknownOutcome")
    }))

  it.live("coordinators that load or move during a transaction are asked again", () =>
    Effect.gen(function*() {
      const { driver, name, probe, proxy } = yield* behindProxy({ in: 1, out: 1 })
      const producer = yield* producerOf(driver, name("txn"))
      const moves = [["InitProducerId", 14], ["AddPartitionsToTxn", 16], ["AddOffsetsToTxn", 15], [
        "TxnOffsetCommit",
        16
      ]] as const
      for (const [api, error] of moves) yield* proxy.inject({ api, when: "before", do: { error } })
      yield* proxy.inject({ api: "AddPartitionsToTxn", when: "before", do: { error: 51 }, nth: 2 })
      yield* producer.init("Takeover")
      const transaction = yield* producer.begin
      yield* transaction.send(name("out"), [record("k", "v")])
      yield* transaction.sendOffsets(offsetsOf(name("group"), { topic: name("in"), partition: 0 }, 1))
      yield* transaction.commit
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), ["v"])
      assert.strictEqual((yield* stableOffset(probe, name("group"), name("in"))).offset, 1n)
    }))

  it.live("an unanswered TxnOffsetCommit is not sent again", () =>
    Effect.gen(function*() {
      const { driver, name, proxy } = yield* behindProxy({ in: 1 })
      const producer = yield* producerOf(driver, name("txn"))
      yield* producer.init("Takeover")
      const transaction = yield* producer.begin
      const lost = yield* proxy.inject({ api: "TxnOffsetCommit", when: "after", do: "cut", nth: "every" })
      const offsets = offsetsOf(name("group"), { topic: name("in"), partition: 0 }, 1)
      assert.strictEqual(yield* failure(transaction.sendOffsets(offsets)), "UnknownOutcome")
      assert.strictEqual(yield* failure(transaction.sendOffsets(offsets)), "Abortable")
      assert.strictEqual(yield* lost.count, 1)
    }))

  it.live("a transaction timeout above the broker's maximum is refused, and says which setting", () =>
    Effect.gen(function*() {
      const { driver, name } = yield* fresh({})
      const producer = yield* driver.transactionalProducer({
        transactionalId: name("txn"),
        transactionTimeoutMs: 86_400_000,
        compression: "none"
      })
      const error = yield* Effect.flip(producer.init("Takeover"))
      assert.deepStrictEqual([error.failure, error.code], ["Misconfigured", 50])
      assert.include(error.message, "transaction.max.timeout.ms")
    }))

  it.live("a missing topic is named, and is not created", () =>
    Effect.gen(function*() {
      const { driver, name } = yield* fresh({})
      const producer = yield* producerOf(driver, name("txn"))
      yield* producer.init("Takeover")
      const transaction = yield* producer.begin
      const error = yield* Effect.flip(transaction.send(name("missing"), [record("k", "v")]))
      assert.deepStrictEqual([error.failure, error.code, error.topic], ["Misconfigured", 3, name("missing")])
      assert.strictEqual((yield* Effect.flip(driver.admin.partitions(name("missing")))).code, 3)
    }))

  it.live("an interrupted send poisons its transaction", () =>
    Effect.gen(function*() {
      const { driver, name, probe, proxy } = yield* behindProxy({ out: 1 })
      const producer = yield* producerOf(driver, name("txn"))
      yield* producer.init("Takeover")
      const transaction = yield* producer.begin
      const held = yield* proxy.inject({ api: "Produce", when: "after", do: "hold" })
      yield* transaction.send(name("out"), [record("k", "v")])
      const fiber = yield* Effect.forkChild(transaction.flush)
      yield* held.fired
      yield* Fiber.interrupt(fiber)
      yield* held.release
      assert.strictEqual(yield* failure(transaction.commit), "Abortable")
      yield* transaction.abort
      assert.strictEqual(yield* failure(producer.begin), "Fatal")
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), [])
    }))

  it.live("large sends are cut into batches that the broker takes, in order", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ out: 1 })
      const producer = yield* producerOf(driver, name("txn"))
      yield* producer.init("Takeover")
      const transaction = yield* producer.begin
      const pad = "x".repeat(1_000)
      const values = Array.from({ length: 6_000 }, (_, i) => `${i} ${pad}`)
      yield* transaction.send(name("out"), values.map((value) => record("k", value)))
      yield* transaction.commit
      const read = yield* committedValues(probe, name("out"))
      assert.deepStrictEqual(read.map((value) => value.split(" ")[0]), values.map((_, i) => String(i)))
    }))

  it.live("producers of a hundred ids share the connections", () =>
    Effect.gen(function*() {
      const { driver, name, proxy } = yield* behindProxy({ out: 1 }, { producerConnections: 3 })
      yield* Effect.forEach(Array.from({ length: 100 }, (_, i) => i), (i) =>
        Effect.gen(function*() {
          const producer = yield* producerOf(driver, name(`txn-${i}`))
          yield* producer.init("Takeover")
          const transaction = yield* producer.begin
          yield* transaction.send(name("out"), [record("k", `v${i}`)])
          yield* transaction.commit
        }), { concurrency: 100 })
      const opened = (yield* proxy.journal()).filter(({ phase }) => phase === "opened").length
      // per wire one connection to the bootstrap address and one to the broker it names
      assert.isAtMost(opened, 2 * (3 + 1))
    }))

  it.live("a connection that went silent is replaced: its request is lost, the next one is not", () =>
    Effect.gen(function*() {
      const { driver, name, probe, proxy } = yield* behindProxy({ out: 1 }, { requestTimeout: 1_000 })
      const producer = yield* producerOf(driver, name("txn"))
      yield* producer.init("Takeover")
      const transaction = yield* producer.begin
      yield* proxy.inject({ api: "Produce", when: "before", do: "drop" })
      yield* transaction.send(name("out"), [record("k", "dropped")])
      assert.strictEqual(yield* failure(transaction.flush), "UnknownOutcome")
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(transaction.abort)))
      yield* producer.init("Own")
      const next = yield* producer.begin
      yield* next.send(name("out"), [record("k", "next")])
      yield* next.commit
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), ["next"])
    }))
})
