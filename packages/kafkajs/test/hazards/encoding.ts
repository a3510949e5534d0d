/** H16: headers without a value, and codecs that are not there. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { CompressionTypes } from "kafkajs"
import { bytes, committedValues, failure, producerOf, record } from "../support/kafka.ts"
import { join } from "../support/member.ts"
import { beside, type Cluster, connected, driverOf, plain } from "./support.ts"

export const encoding = (cluster: Cluster) => {
  it.live("H16: a header without a value is sent as one, and what cannot be sent is refused by name", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* beside(cluster, { in: 1, out: 1 })
      const client = yield* connected(plain(cluster.bootstrap()).producer())
      const thrown = yield* Effect.flip(Effect.tryPromise({
        // the types of kafkajs forbid what its users' data has
        try: () =>
          client.send({ topic: name("out"), messages: [{ value: "x", headers: { h: null as unknown as string } }] }),
        catch: (cause) => cause as Error
      }))
      assert.match(`${thrown.name} ${thrown.message}`, /TypeError|must be of type string/)

      const producer = yield* producerOf(driver, name("txn"))
      yield* producer.init("Takeover")
      const sound = yield* producer.begin
      yield* sound.send(name("in"), [{ ...record("k", "x"), headers: [["h", null], ["h", bytes("")]] }])
      yield* sound.commit
      const [batch] = (yield* probe.fetch(name("in"), 0, 0n, { isolation: "read_uncommitted" })).batches
      assert.deepStrictEqual(
        batch?.records[0]?.headers.map(([key, value]) => [key, value === null ? null : value.length]),
        [["h", null], ["h", 0]]
      )

      const cases = [
        // what a caller outside of TypeScript can pass
        [{ key: null, value: bytes("x"), headers: [["h", undefined as unknown as null]] as const }, /"h"/],
        [{ key: null, value: undefined as unknown as null }, /undefined/],
        [{ key: null, value: bytes("x"), partition: 7 }, /partition 7/],
        [{ key: null, value: new Uint8Array(1_100_000) }, /maxRecordBytes/]
      ] as const
      for (const [bad, pattern] of cases) {
        const transaction = yield* producer.begin
        const error = yield* Effect.flip(transaction.send(name("out"), [record("k", "good"), bad]))
        assert.strictEqual(error.failure, "InvalidRecord")
        assert.include(error.message, `record 1 for topic "${name("out")}"`)
        assert.match(error.message, pattern)
        assert.strictEqual(yield* failure(transaction.commit), "Abortable")
        yield* transaction.abort
        yield* producer.init("Own")
      }
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), [])
    }))

  it.live("H16: a codec that is not there is named, for writing and for reading", () =>
    Effect.gen(function*() {
      const { driver, name } = yield* beside(cluster, { in: 1 })
      const without = yield* driverOf(cluster, { codecs: { snappy: undefined } })
      assert.notInclude(without.capabilities.compression, "snappy")
      const refused = yield* Effect.flip(producerOf(without, name("txn"), "snappy"))
      assert.strictEqual(refused.failure, "Misconfigured")
      assert.include(refused.message, "snappy")
      // the plain client refuses snappy both ways
      const client = yield* connected(plain(cluster.bootstrap()).producer())
      yield* Effect.flip(Effect.tryPromise(() =>
        client.send({ topic: name("in"), compression: CompressionTypes.Snappy, messages: [{ value: "x" }] })
      ))
      const producer = yield* driver.idempotentProducer({ compression: "snappy", deliveryTimeoutMs: 10_000 })
      yield* producer.send(name("in"), [record("k", "x")])
      const member = yield* join(without, { groupId: name("group"), topics: [name("in")] })
      const error = yield* Effect.flip(member.consumer.poll)
      assert.deepStrictEqual([error.failure, error.topic, error.offset], ["Misconfigured", name("in"), 0n])
      assert.include(error.message, "snappy")
    }))
}
