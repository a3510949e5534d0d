/**
 * What kafkajs 2.2.4 does by itself, and what this driver does in the same place. Where the plain client can be shown
 * failing, the test shows it first: should a case pass there, its remedy has become idle.
 */
import { assert, it } from "@effect/vitest"
import { Proxy } from "@exactly-once/testkit"
import { Effect } from "effect"
import { CompressionTypes, Kafka, logLevel, type Producer, type Transaction } from "kafkajs"
import { describeLive, liveBootstrap } from "../../../scripts/vitest/live.ts"
import {
  behindProxy,
  bytes,
  committedValues,
  driverOf,
  failure,
  fresh,
  offset,
  offsetsOf,
  producerOf,
  record
} from "./support/kafka.ts"
import { join, take } from "./support/member.ts"

const plain = (bootstrap: ReadonlyArray<string>) =>
  new Kafka({ brokers: [...bootstrap], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 50, retries: 8 } })

const promised = <A>(run: () => Promise<A>) => Effect.promise(run)

const connected = (producer: Producer) =>
  Effect.acquireRelease(
    promised(() => producer.connect().then(() => producer)),
    (open) => Effect.ignore(Effect.tryPromise(() => open.disconnect()))
  )

const lostAnswer = { api: "Produce", when: "after", do: "cut" } as const

const sorted = (values: ReadonlyArray<string>) => values.toSorted()

describeLive("kafkajs hazards", () => {
  it.live("H1: of three sends at once, one answer lost, each is there once and in order", () =>
    Effect.gen(function*() {
      const { driver, name, probe, proxy } = yield* behindProxy({ plain: 1, ours: 1 })
      const client = yield* connected(plain(proxy.bootstrap).producer({ idempotent: true, maxInFlightRequests: 5 }))
      yield* promised(() => client.send({ topic: name("plain"), messages: [{ key: "k", value: "0" }] }))
      yield* proxy.inject(lostAnswer)
      yield* promised(() =>
        Promise.all(
          ["A", "B", "C"].map((value) => client.send({ topic: name("plain"), messages: [{ key: "k", value }] }))
        )
      )
      assert.notDeepEqual(sorted(yield* committedValues(probe, name("plain"))), ["0", "A", "B", "C"])

      const idempotent = yield* driver.idempotentProducer({ compression: "none", deliveryTimeoutMs: 10_000 })
      yield* idempotent.send(name("ours"), [record("k", "0")])
      yield* proxy.inject(lostAnswer)
      const offsets = yield* Effect.forEach(
        ["A", "B", "C"],
        (value) => idempotent.send(name("ours"), [record("k", value)]),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(offsets.flat().map(({ offset }) => offset), [offset(1), offset(2), offset(3)])
      assert.deepStrictEqual(yield* committedValues(probe, name("ours")), ["0", "A", "B", "C"])
    }))

  it.live("H1: three sends at once inside a transaction are there once, or the transaction is not", () =>
    Effect.gen(function*() {
      const { driver, name, probe, proxy } = yield* behindProxy({ ours: 1 })
      const producer = yield* producerOf(driver, name("txn"))
      yield* producer.init("Takeover")
      const attempt = Effect.gen(function*() {
        const transaction = yield* producer.begin
        yield* Effect.forEach(
          ["A", "B", "C"],
          (value) => Effect.andThen(transaction.send(name("ours"), [record("k", value)]), transaction.flush),
          { concurrency: "unbounded" }
        ).pipe(Effect.andThen(transaction.commit), Effect.tapError(() => transaction.abort))
      })
      yield* proxy.inject(lostAnswer)
      assert.strictEqual(yield* failure(attempt), "UnknownOutcome")
      yield* producer.init("Own")
      yield* attempt
      assert.deepStrictEqual(yield* committedValues(probe, name("ours")), ["A", "B", "C"])
    }))

  it.live("H2: a record without a key whose answer was lost is there once", () =>
    Effect.gen(function*() {
      const { driver, name, probe, proxy } = yield* behindProxy({ plain: 4, ours: 4 })
      const all = (topic: string) =>
        Effect.map(
          Effect.forEach([0, 1, 2, 3], (partition) => committedValues(probe, topic, partition)),
          (values) => values.flat()
        )
      const client = yield* connected(plain(proxy.bootstrap).producer({ idempotent: true }))
      yield* proxy.inject(lostAnswer)
      yield* promised(() => client.send({ topic: name("plain"), messages: [{ value: "x" }] }))
      assert.deepStrictEqual(yield* all(name("plain")), ["x", "x"])

      const idempotent = yield* driver.idempotentProducer({ compression: "none", deliveryTimeoutMs: 10_000 })
      yield* proxy.inject(lostAnswer)
      yield* idempotent.send(name("ours"), [record(null, "x")])
      assert.deepStrictEqual(yield* all(name("ours")), ["x"])
    }))

  it.live("H4: a transaction with a failed send cannot commit", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ plain: 1, ours: 1 })
      yield* probe.createTopic(name("small"), 1, { "max.message.bytes": "2000" })
      const large = "x".repeat(5_000)
      const client = yield* connected(
        plain(liveBootstrap()).producer({ transactionalId: name("plain"), maxInFlightRequests: 1 })
      )
      const forgetful = yield* promised(() => client.transaction())
      yield* promised(() => forgetful.send({ topic: name("plain"), messages: [{ key: "k", value: "half" }] }))
      yield* Effect.flip(
        Effect.tryPromise(() => forgetful.send({ topic: name("small"), messages: [{ value: large }] }))
      )
      yield* promised(() => forgetful.commit())
      assert.deepStrictEqual(yield* committedValues(probe, name("plain")), ["half"])

      const producer = yield* producerOf(driver, name("ours"))
      yield* producer.init("Takeover")
      const transaction = yield* producer.begin
      yield* transaction.send(name("ours"), [record("k", "half")])
      yield* transaction.send(name("small"), [record("k", large)])
      const error = yield* Effect.flip(transaction.flush)
      assert.deepStrictEqual([error.failure, error.code, error.topic], ["InvalidRecord", 10, name("small")])
      assert.strictEqual(yield* failure(transaction.commit), "Abortable")
      yield* transaction.abort
      assert.deepStrictEqual(yield* committedValues(probe, name("ours")), [])
    }))

  it.live("H5: after a failure the next transaction has a new epoch", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ ours: 1 })
      yield* probe.createTopic(name("small"), 1, { "max.message.bytes": "2000" })
      const producer = yield* producerOf(driver, name("txn"))
      const first = yield* producer.init("Takeover")
      const transaction = yield* producer.begin
      yield* transaction.send(name("small"), [record("k", "x".repeat(5_000))])
      yield* Effect.flip(transaction.flush)
      yield* transaction.abort
      assert.strictEqual(yield* failure(producer.begin), "Fatal")
      const second = yield* producer.init("Own")
      assert.isTrue(second.epoch > first.epoch || second.producerId !== first.producerId)
      const next = yield* producer.begin
      yield* next.send(name("ours"), [record("k", "next")])
      yield* next.commit
      assert.deepStrictEqual(yield* committedValues(probe, name("ours")), ["next"])
    }))

  it.live("H6: the token read back tells our own commit from another's that reached the same offset", () =>
    Effect.gen(function*() {
      const { driver, name, proxy } = yield* behindProxy({ in: 1 })
      const tp = { topic: name("in"), partition: 0 }
      const producer = yield* producerOf(driver, name("txn"))
      yield* producer.init("Takeover")
      const first = yield* producer.begin
      yield* first.sendOffsets(offsetsOf(name("group"), tp, 5, "mine"))
      yield* proxy.inject({ api: "EndTxn", when: "before", do: "cut" })
      assert.strictEqual(yield* failure(first.commit), "UnknownOutcome")
      // it was not applied, and another owner redoes the batch before we look
      const other = yield* producerOf(driver, name("txn"))
      yield* other.init("Takeover")
      const second = yield* other.begin
      yield* second.sendOffsets(offsetsOf(name("group"), tp, 5, "theirs"))
      yield* second.commit
      yield* producer.init("Takeover")
      const [found] = (yield* driver.admin.committed(name("group"), [tp])).values()
      assert.deepStrictEqual(found, { offset: offset(5), metadata: "theirs" })
    }))

  it.live("H7: offsets first, transaction after transaction, without a failure", () =>
    Effect.gen(function*() {
      const { driver, name } = yield* fresh({ in: 1 })
      const client = yield* connected(
        plain(liveBootstrap()).producer({ transactionalId: name("plain"), maxInFlightRequests: 1 })
      )
      let refused = 0
      for (let n = 0; n < 30; n++) {
        const transaction = yield* promised(() => client.transaction())
        const offsets = [{ topic: name("in"), partitions: [{ partition: 0, offset: String(n) }] }]
        const sent = yield* Effect.result(
          Effect.tryPromise(() => transaction.sendOffsets({ consumerGroupId: name("plain"), topics: offsets }))
        )
        if (sent._tag === "Failure") refused++
        yield* promised(() => sent._tag === "Failure" ? transaction.abort() : transaction.commit())
      }
      assert.isAbove(refused, 0)

      const producer = yield* producerOf(driver, name("ours"))
      yield* producer.init("Takeover")
      for (let n = 0; n < 30; n++) {
        const transaction = yield* producer.begin
        yield* transaction.sendOffsets(offsetsOf(name("ours"), { topic: name("in"), partition: 0 }, n))
        yield* transaction.commit
      }
    }))

  it.live("H8: a transaction that the coordinator timed out is fenced, and the producer goes on after init", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ out: 1 })
      const aborted = (id: string) =>
        Effect.gen(function*() {
          for (;;) {
            const listed = yield* probe.transactions(["CompleteAbort"])
            if (listed.some(({ transactionalId }) => transactionalId === id)) return
            yield* Effect.sleep(50)
          }
        })
      const client = yield* connected(
        plain(liveBootstrap()).producer({
          transactionalId: name("plain"),
          transactionTimeout: 1_000,
          maxInFlightRequests: 1
        })
      )
      const stale: Transaction = yield* promised(() => client.transaction())
      yield* promised(() => stale.send({ topic: name("out"), messages: [{ key: "k", value: "plain" }] }))
      yield* aborted(name("plain"))
      yield* Effect.flip(Effect.tryPromise(() => stale.commit()))
      // the plain producer cannot begin another one, ever
      yield* Effect.flip(Effect.tryPromise(() => client.transaction()))

      const producer = yield* driver.transactionalProducer({
        transactionalId: name("ours"),
        transactionTimeoutMs: 1_000,
        compression: "none"
      })
      yield* producer.init("Takeover")
      const transaction = yield* producer.begin
      yield* transaction.send(name("out"), [record("k", "timed out")])
      yield* transaction.flush
      yield* aborted(name("ours"))
      assert.strictEqual(yield* failure(transaction.commit), "Fenced")
      yield* producer.init("Own")
      const next = yield* producer.begin
      yield* next.send(name("out"), [record("k", "next")])
      yield* next.commit
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), ["next"])
    }))

  it.live("H9: offsets read before init can be overtaken by the predecessor, those read after cannot", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ in: 1, out: 1 })
      const tp = { topic: name("in"), partition: 0 }
      const read = Effect.map(driver.admin.committed(name("group"), [tp]), (found) => found.size)
      const first = yield* probe.transaction(name("txn"), 30_000)
      yield* first.sendOffset(name("group"), name("in"), 0, 5n)
      const tooEarly = yield* read
      yield* first.end(true)
      // read first, and the batch below 5 is done a second time
      assert.deepStrictEqual([tooEarly, yield* read], [0, 1])

      const second = yield* probe.transaction(name("txn"), 30_000)
      yield* second.sendOffset(name("group"), name("in"), 0, 9n)
      const producer = yield* producerOf(driver, name("txn"))
      yield* producer.init("Takeover")
      const [found] = (yield* driver.admin.committed(name("group"), [tp])).values()
      assert.strictEqual(found?.offset, offset(5))
      yield* Effect.flip(second.end(true))
      const [still] = (yield* driver.admin.committed(name("group"), [tp])).values()
      assert.strictEqual(still?.offset, offset(5))
    }))

  it.live("H10: a batch carries the generation that it was delivered in", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ in: 1 })
      yield* probe.produce(name("in"), 0, [record("k", "x")])
      const group = { groupId: name("group"), topics: [name("in")], member: { replica: "a", incarnation: 1n } }
      const member = yield* join(driver, group)
      const [batch] = yield* member.consumer.poll
      const generation = batch?.delivery.generation ?? 0
      const other = yield* join(yield* driverOf(), { ...group, member: { replica: "b", incarnation: 1n } })
      yield* other.told(/assigned/)
      yield* member.told(/revoked 0/)
      const [again] = yield* member.consumer.poll
      assert.strictEqual(batch?.delivery.generation, generation)
      assert.isAbove(again?.delivery.generation ?? 0, generation)
    }))

  it.live("H11: a position outside of the log is an error, and nothing is committed or reset", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ in: 1 })
      yield* probe.produce(name("in"), 0, ["a", "b", "c"].map((value) => record("k", value)))
      const consumer = plain(liveBootstrap()).consumer({ groupId: name("plain"), maxWaitTimeInMs: 100 })
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
      const { driver, name, probe } = yield* fresh({ in: 1 })
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

      const consumer = plain(liveBootstrap()).consumer({ groupId: name("plain"), maxWaitTimeInMs: 100 })
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

  it.live("H13: reading commits nothing, by time or by leaving", () =>
    Effect.gen(function*() {
      const { name, probe } = yield* fresh({ in: 1 })
      yield* probe.produce(name("in"), 0, [record("k", "x")])
      yield* Effect.scoped(Effect.gen(function*() {
        const member = yield* join(yield* driverOf(), { groupId: name("group"), topics: [name("in")] })
        yield* take(member, 1)
      }))
      assert.strictEqual((yield* probe.committed(name("group"), name("in"), 0)).offset, -1n)
    }))

  it.live("H16: a header without a value is sent as one, and what cannot be sent is refused by name", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ in: 1, out: 1 })
      const client = yield* connected(plain(liveBootstrap()).producer())
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
      const [batch] = (yield* probe.fetch(name("in"), 0, 0n)).batches
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
      const { driver, name } = yield* fresh({ in: 1 })
      const without = yield* driverOf({ codecs: { snappy: undefined } })
      assert.notInclude(without.capabilities.compression, "snappy")
      const refused = yield* Effect.flip(producerOf(without, name("txn"), "snappy"))
      assert.strictEqual(refused.failure, "Misconfigured")
      assert.include(refused.message, "snappy")
      // the plain client refuses snappy both ways
      const client = yield* connected(plain(liveBootstrap()).producer())
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

  it.live("an idempotent send that stays unanswered is an unknown outcome, and the next one starts anew", () =>
    Effect.gen(function*() {
      const { driver, name, probe, proxy } = yield* behindProxy({ out: 1 }, { requestTimeout: 300 })
      const producer = yield* driver.idempotentProducer({ compression: "none", deliveryTimeoutMs: 1_000 })
      yield* producer.send(name("out"), [record("k", "first")])
      const lost = yield* proxy.inject({ api: "Produce", when: "after", do: "drop", nth: "every" })
      assert.strictEqual(yield* failure(producer.send(name("out"), [record("k", "unknown")])), "UnknownOutcome")
      yield* lost.disarm
      yield* producer.send(name("out"), [record("k", "last")])
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), ["first", "unknown", "last"])
    }))

  it.live("the proxy in these tests is not what fails: without a fault the plain client is right", () =>
    Effect.gen(function*() {
      const { name, probe } = yield* fresh({ plain: 1 })
      const proxy = yield* Proxy.make({ bootstrap: liveBootstrap() })
      const client = yield* connected(plain(proxy.bootstrap).producer({ idempotent: true }))
      yield* promised(() => client.send({ topic: name("plain"), messages: [{ key: "k", value: "A" }] }))
      assert.deepStrictEqual(yield* committedValues(probe, name("plain")), ["A"])
    }))
})
