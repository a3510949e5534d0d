/** H11, H12: positions outside of the log, and records that were aborted. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { bytes, record } from "../support/kafka.ts"
import { join, take } from "../support/member.ts"
import { beside, type Cluster, plain, promised } from "./support.ts"

export const reading = (cluster: Cluster) => {
  it.live("H11: a position outside of the log is an error, and nothing is committed or reset", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* beside(cluster, { in: 1 })
      yield* probe.produce(name("in"), 0, ["a", "b", "c"].map((value) => record("k", value)))
      const consumer = plain(cluster.bootstrap()).consumer({ groupId: name("plain"), maxWaitTimeInMs: 100 })
      const silently = yield* promised(async () => {
        await consumer.connect()
        await consumer.subscribe({ topics: [name("in")], fromBeginning: true })
        const seen = new Promise<string>((resolve) => {
          consumer.run({
            autoCommit: false,
            eachMessage: ({ message }) => Promise.resolve(resolve(String(message.value)))
          }).then(() => consumer.seek({ topic: name("in"), partition: 0, offset: "100" }))
        })
        const first = await seen
        await consumer.disconnect()
        return first
      })
      assert.strictEqual(silently, "a")
      assert.notStrictEqual((yield* probe.committed(name("plain"), name("in"), 0)).offset, -1n)

      const member = yield* join(driver, { groupId: name("ours"), topics: [name("in")], starts: () => 100n })
      const error = yield* Effect.flip(member.consumer.poll)
      assert.deepStrictEqual(
        [error.failure, error.code, error.topic, error.partition, error.offset],
        ["OffsetOutOfRange", 1, name("in"), 0, 100n]
      )
      assert.strictEqual((yield* probe.committed(name("ours"), name("in"), 0)).offset, -1n)
    }))

  it.live("H12: aborted records are not seen, whatever their order, key or number", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* beside(cluster, { in: 1 })
      const topic = name("in")
      const key = (value: string, bytesOfKey: Uint8Array = bytes("k")) => [{ key: bytesOfKey, value: bytes(value) }]
      // A starts first and aborts last, B in between; kafkajs takes the list for one in offset order
      const a = yield* probe.transaction(name("a"), 30_000)
      const b = yield* probe.transaction(name("b"), 30_000)
      yield* a.produce(topic, 0, key("aborted A1"))
      yield* b.produce(topic, 0, key("aborted B1"))
      yield* b.end(false)
      yield* a.produce(topic, 0, key("aborted A2"))
      yield* a.end(false)
      yield* probe.produce(topic, 0, key("seen 1"))
      // a user's key that looks like an abort marker's
      const c = yield* probe.transaction(name("c"), 30_000)
      yield* c.produce(topic, 0, key("aborted C1", new Uint8Array(4)))
      yield* c.produce(topic, 0, key("aborted C2"))
      yield* c.end(false)
      // one producer aborts three times, with a commit between
      for (const round of [1, 2, 3]) {
        const d = yield* probe.transaction(name("d"), 30_000)
        yield* d.produce(topic, 0, key(`aborted D${round}`))
        yield* d.end(false)
        if (round === 2) {
          const e = yield* probe.transaction(name("d"), 30_000)
          yield* e.produce(topic, 0, key("seen 2"))
          yield* e.end(true)
        }
      }
      yield* probe.produce(topic, 0, key("last"))
      const expected = ["seen 1", "seen 2", "last"]

      const consumer = plain(cluster.bootstrap()).consumer({ groupId: name("plain"), maxWaitTimeInMs: 100 })
      const leaked = yield* promised(async () => {
        const values: Array<string> = []
        await consumer.connect()
        await consumer.subscribe({ topics: [topic], fromBeginning: true })
        await new Promise<void>((resolve) => {
          void consumer.run({
            eachMessage: ({ message }) => {
              values.push(String(message.value))
              if (String(message.value) === "last") resolve()
              return Promise.resolve()
            }
          })
        })
        await consumer.disconnect()
        return values
      })
      assert.includeMembers(leaked, ["aborted A1", "aborted C1"])

      // whole, and cut into responses of one batch each, so that markers lie outside of the response
      for (const maxBytesPerPartition of [1_048_576, 1]) {
        const member = yield* join(driver, {
          groupId: name(`ours-${maxBytesPerPartition}`),
          topics: [topic],
          options: { maxBytesPerPartition }
        })
        assert.deepStrictEqual(yield* take(member, 3), expected)
      }
      // from any offset
      const end = yield* probe.offset(topic, 0, "end")
      for (let at = 0n; at < end - 1n; at++) {
        const member = yield* join(driver, { groupId: name(`from-${at}`), topics: [topic], starts: () => at })
        const values: Array<string> = []
        while (values.at(-1) !== "last") values.push(...yield* take(member, 1))
        assert.deepStrictEqual(values, expected.slice(-values.length), `from ${at}`)
      }
    }))
}
