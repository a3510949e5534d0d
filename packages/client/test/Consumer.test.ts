import { assert, describe, it } from "@effect/vitest"
import { Broker } from "@exactly-once/broker"
import { Driver } from "@exactly-once/core"
import { KafkaJs } from "@exactly-once/kafkajs"
import { Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { overCalls, overTcp } from "./support/clients.ts"
import { bytes, commit, member, offset, read, records, word, words } from "./support/records.ts"

const brokerOf = (partitions = 1) => Broker.layer({ topics: { in: partitions }, autoCreateTopics: false })

const told = (list: ReadonlyArray<string>, what: string) =>
  Effect.gen(function*() {
    while (!list.includes(what)) yield* Effect.sleep(5)
  })

for (const [transport, driver] of Object.entries({ "over TCP": overTcp, "in one process": overCalls })) {
  describe(`a consumer ${transport}`, () => {
    it.live("reads what was committed, field by field, and nothing of what was aborted", () =>
      Effect.gen(function*() {
        yield* commit("in", [
          { key: null, value: bytes("first"), timestamp: 1_234n, partition: 0 },
          { key: bytes("k"), value: null, headers: [["a", bytes("1")], ["a", null]], partition: 0 }
        ])
        yield* commit("in", records("aborted"), { end: "abort" })
        yield* commit("in", records("last"))
        const { consumer } = yield* member(yield* Driver.Driver)
        const [first, tombstone, last] = yield* read(consumer, 3)
        if (first === undefined || tombstone === undefined) return assert.fail("there are three records")
        assert.strictEqual(first.topic, "in")
        assert.strictEqual(first.partition, 0)
        assert.strictEqual(first.offset, 0n)
        assert.strictEqual(first.timestamp, 1_234n)
        assert.strictEqual(first.key, null)
        assert.strictEqual(word(first.value), "first")
        assert.deepStrictEqual(first.headers, [])
        assert.strictEqual(tombstone.offset, 1n)
        assert.strictEqual(word(tombstone.key), "k")
        assert.strictEqual(tombstone.value, null)
        assert.deepStrictEqual(tombstone.headers.map(([name, value]) => [name, word(value)]), [["a", "1"], ["a", null]])
        // 2 is a marker, 3 the aborted record, 4 its marker.
        assert.strictEqual(last?.offset, 5n)
      }).pipe(Effect.scoped, Effect.provide(driver().pipe(Layer.provideMerge(brokerOf())))))

    it.live("hands out one batch per partition, and the next one when it is given back", () =>
      Effect.gen(function*() {
        yield* commit("in", records("a"))
        const { consumer } = yield* member(yield* Driver.Driver)
        const [batch] = yield* consumer.poll
        if (batch === undefined) return assert.fail("there is a batch")
        assert.deepStrictEqual(words(batch.records), ["a"])
        assert.strictEqual(batch.nextOffset, 2n)
        yield* commit("in", records("b"))
        const next = yield* Effect.forkChild(consumer.poll, { startImmediately: true })
        yield* Effect.sleep(200)
        assert.strictEqual(next.pollUnsafe(), undefined)
        yield* consumer.release(batch)
        const [second] = yield* Fiber.join(next)
        assert.deepStrictEqual(words(second?.records ?? []), ["b"])
        assert.strictEqual(second?.startOffset, 2n)
      }).pipe(Effect.scoped, Effect.provide(driver().pipe(Layer.provideMerge(brokerOf())))))

    it.live("goes back where it is told to, without what was fetched ahead", () =>
      Effect.gen(function*() {
        yield* commit("in", records("a", "b"))
        const { consumer } = yield* member(yield* Driver.Driver)
        assert.deepStrictEqual(words(yield* read(consumer, 2)), ["a", "b"])
        yield* commit("in", records("c"))
        yield* consumer.seek({ topic: "in", partition: 0 }, offset(1))
        assert.deepStrictEqual(words(yield* read(consumer, 2)), ["b", "c"])
      }).pipe(Effect.scoped, Effect.provide(driver().pipe(Layer.provideMerge(brokerOf())))))

    it.live("says that its offset is out of the log, and resets nothing", () =>
      Effect.gen(function*() {
        yield* commit("in", records("a"))
        const { consumer } = yield* member(yield* Driver.Driver, {
          onAssigned: (partitions) => Effect.succeed(partitions.map((tp) => ({ ...tp, offset: offset(100) })))
        })
        const error = yield* Effect.flip(consumer.poll)
        assert.strictEqual(error.failure, "OffsetOutOfRange")
        assert.strictEqual(error.topic, "in")
        assert.strictEqual(error.offset, 100n)
      }).pipe(Effect.scoped, Effect.provide(driver().pipe(Layer.provideMerge(brokerOf())))))

    it.live("hands partitions over only after the member that had them let go", () =>
      Effect.gen(function*() {
        const service = yield* Driver.Driver
        const letGo = yield* Deferred.make<void>()
        const revoking = yield* Deferred.make<void>()
        const first = yield* member(service, {
          onRevoking: () => Effect.andThen(Deferred.succeed(revoking, undefined), Deferred.await(letGo))
        })
        yield* told(first.told, "assigned 0,1")
        const second = yield* member(service)
        yield* Deferred.await(revoking)
        yield* Effect.sleep(200)
        assert.deepStrictEqual(second.told, [])
        yield* Deferred.succeed(letGo, undefined)
        const one = (list: ReadonlyArray<string>) =>
          Effect.gen(function*() {
            while (!["assigned 0", "assigned 1"].includes(list.at(-1) ?? "")) yield* Effect.sleep(5)
          })
        yield* one(first.told)
        yield* one(second.told)
        assert.notStrictEqual(first.told.at(-1), second.told.at(-1))
      }).pipe(Effect.scoped, Effect.provide(driver().pipe(Layer.provideMerge(brokerOf(2))))))

    it.live("leaves the group when it is closed, so that the rest carries on at once", () =>
      Effect.gen(function*() {
        const service = yield* Driver.Driver
        const scope = yield* Scope.make()
        const leaver = yield* Scope.provide(member(service), scope)
        yield* told(leaver.told, "assigned 0,1")
        const stayer = yield* member(service)
        yield* Effect.sleep(100)
        yield* Scope.close(scope, Exit.void)
        yield* told(stayer.told, "assigned 0,1")
      }).pipe(Effect.scoped, Effect.provide(driver().pipe(Layer.provideMerge(brokerOf(2))))))

    it.live("is assigned nothing while a newer process of its replica is there", () =>
      Effect.gen(function*() {
        const service = yield* Driver.Driver
        const older = yield* member(service, { member: { replica: "a", incarnation: 1n } })
        yield* told(older.told, "assigned 0,1")
        const newer = yield* member(service, { member: { replica: "a", incarnation: 2n } })
        yield* told(newer.told, "assigned 0,1")
        yield* told(older.told, "assigned ")
        const members = yield* newer.consumer.members
        assert.includeDeepMembers(members.map(({ incarnation, replica }) => ({ incarnation, replica })), [
          { replica: "a", incarnation: 2n }
        ])
      }).pipe(Effect.scoped, Effect.provide(driver().pipe(Layer.provideMerge(brokerOf(2))))))
  })
}

describe("a consumer", () => {
  it.live("reads every compression that its producers use", () =>
    Effect.gen(function*() {
      const driver = yield* Driver.Driver
      const value = "x".repeat(2_000)
      for (const compression of driver.capabilities.compression) {
        yield* commit("in", records(`${compression}-${value}`), { compression })
      }
      const { consumer } = yield* member(driver)
      const expected = driver.capabilities.compression.map((compression) => `${compression}-${value}`)
      assert.deepStrictEqual(words(yield* read(consumer, expected.length)), expected)
    }).pipe(Effect.scoped, Effect.provide(overTcp().pipe(Layer.provideMerge(brokerOf())))))

  it.live("shares a group with the kafkajs driver", () =>
    Effect.gen(function*() {
      const { addresses } = yield* Broker
      const ours = yield* member(yield* Driver.Driver, { member: { replica: "a", incarnation: 1n } })
      yield* told(ours.told, "assigned 0,1")
      const kafkajs = yield* KafkaJs.make({ bootstrap: addresses })
      const theirs = yield* member(kafkajs, { member: { replica: "b", incarnation: 1n } })
      yield* told(ours.told, "assigned 0")
      yield* told(theirs.told, "assigned 1")
      const seen = yield* ours.consumer.members
      const replicas = seen.map(({ replica }) => replica ?? "").sort()
      assert.deepStrictEqual(replicas, ["a", "b"])
    }).pipe(Effect.scoped, Effect.provide(overTcp().pipe(Layer.provideMerge(brokerOf(2))))))

  it.live("refuses a topic that does not exist, and does not create it", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(member(yield* Driver.Driver, { topics: ["missing"] }))
      assert.strictEqual(error.failure, "Misconfigured")
      assert.strictEqual(error.topic, "missing")
      assert.deepStrictEqual(yield* Effect.flatMap(Broker, (broker) => broker.topics), [{ name: "in", partitions: 1 }])
    }).pipe(Effect.scoped, Effect.provide(overTcp().pipe(Layer.provideMerge(brokerOf())))))
})
