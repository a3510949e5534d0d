import { assert, it } from "@effect/vitest"
import { type Driver, Offset } from "@exactly-once/core"
import { Deferred, Effect, Exit, Option, Scope } from "effect"
import { describeLive } from "../../../scripts/vitest/live.ts"
import { behindProxy, bytes, driverOf, fresh, offset, record, valueOf } from "./support/kafka.ts"
import { join, take } from "./support/member.ts"

const records = (...values: ReadonlyArray<string>) => values.map((value) => ({ key: bytes("k"), value: bytes(value) }))

const range = (count: number) => Array.from({ length: count }, (_, i) => `v${i}`)

describeLive("kafkajs driver, consumer", () => {
  it.live("every committed record once, in order, with the offset past what is not seen", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ in: 1 })
      yield* probe.produce(name("in"), 0, records("a"))
      const aborted = yield* probe.transaction(name("t1"), 30_000)
      yield* aborted.produce(name("in"), 0, records("aborted"))
      yield* aborted.end(false)
      const committed = yield* probe.transaction(name("t2"), 30_000)
      yield* committed.produce(name("in"), 0, records("b", "c"))
      yield* committed.end(true)
      const end = yield* probe.offset(name("in"), 0, "end")
      const member = yield* join(driver, { groupId: name("group"), topics: [name("in")] })
      let last: bigint = -1n
      const values = yield* take(member, 3, (batch) => Effect.sync(() => last = batch.nextOffset))
      assert.deepStrictEqual(values, ["a", "b", "c"])
      assert.strictEqual(last, end)
    }))

  it.live("records, keys, timestamps and headers come back as they went out", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ in: 1 })
      const headers: Driver.EncodedRecord["headers"] = [
        ["b", bytes("1")],
        ["a", bytes("2")],
        ["b", bytes("3")],
        ["1", bytes("")],
        ["__proto__", bytes("4")],
        ["ä", Uint8Array.of(0, 255)]
      ]
      const timestamps = [1n, 1_700_000_000_000n, 999n]
      const idempotent = yield* driver.idempotentProducer({ compression: "none", deliveryTimeoutMs: 10_000 })
      const offsets = yield* idempotent.send(
        name("in"),
        timestamps.map((timestamp) => ({ key: null, value: null, headers, timestamp }))
      )
      assert.deepStrictEqual(offsets.map(({ offset }) => offset), [offset(0), offset(1), offset(2)])
      // a null header value, from another client
      yield* probe.produce(name("in"), 0, [{ key: Uint8Array.of(), value: bytes("x"), headers: [["n", null]] }])
      const member = yield* join(driver, { groupId: name("group"), topics: [name("in")] })
      const read: Array<Driver.FetchedRecord> = []
      yield* take(member, 4, (batch) => Effect.sync(() => read.push(...batch.records)))
      const plain = (list: Driver.FetchedRecord["headers"]) =>
        list.map(([key, value]) => [key, value === null ? null : Buffer.from(value).toString("hex")])
      assert.deepStrictEqual(read.slice(0, 3).map(({ timestamp }) => timestamp), timestamps)
      for (const sent of read.slice(0, 3)) {
        assert.deepStrictEqual([sent.key, sent.value], [null, null])
        assert.deepStrictEqual(plain(sent.headers), plain(headers))
      }
      assert.deepStrictEqual([read[3]?.key?.length, plain(read[3]?.headers ?? [])], [0, [["n", null]]])
    }))

  for (const compression of ["gzip", "snappy", "lz4", "zstd"] as const) {
    it.live(`${compression} goes round`, () =>
      Effect.gen(function*() {
        const { driver, name } = yield* fresh({ in: 1 })
        assert.include(driver.capabilities.compression, compression)
        const producer = yield* driver.transactionalProducer({
          transactionalId: name("txn"),
          transactionTimeoutMs: 10_000,
          compression
        })
        yield* producer.init("Takeover")
        const transaction = yield* producer.begin
        yield* transaction.send(name("in"), range(2_000).map((value) => record("key", value)))
        yield* transaction.commit
        const member = yield* join(driver, { groupId: name("group"), topics: [name("in")] })
        assert.deepStrictEqual(yield* take(member, 2_000), range(2_000))
      }))
  }

  it.live("a batch that is out keeps its partition back, and no other", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ in: 2 })
      yield* probe.produce(name("in"), 0, records("p0 first"))
      const member = yield* join(driver, { groupId: name("group"), topics: [name("in")] })
      const [held] = yield* member.consumer.poll
      assert.strictEqual(held?.partition, 0)
      yield* probe.produce(name("in"), 0, records("p0 second"))
      yield* probe.produce(name("in"), 1, records("p1 first"))
      const [other] = yield* member.consumer.poll
      assert.deepStrictEqual([other?.partition, other?.records.map(valueOf)], [1, ["p1 first"]])
      assert.isTrue(Option.isNone(yield* Effect.timeoutOption(member.consumer.poll, 1_000)))
      if (held !== undefined) yield* member.consumer.release(held)
      const [second] = yield* member.consumer.poll
      assert.deepStrictEqual(second?.records.map(valueOf), ["p0 second"])
    }))

  it.live("seek goes back, and drops what was out and what was fetched ahead", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ in: 1 })
      yield* probe.produce(name("in"), 0, records("a"))
      const member = yield* join(driver, {
        groupId: name("group"),
        topics: [name("in")],
        options: { unreleasedPerPartition: 2 }
      })
      const [held] = yield* member.consumer.poll
      yield* probe.produce(name("in"), 0, records("b"))
      const [ahead] = yield* member.consumer.poll
      assert.deepStrictEqual([held, ahead].map((batch) => batch?.records.map(valueOf)), [["a"], ["b"]])
      yield* member.consumer.seek({ topic: name("in"), partition: 0 }, offset(0))
      const again = yield* take(member, 2)
      assert.deepStrictEqual(again, ["a", "b"])
      // giving back what the seek dropped changes nothing
      if (held !== undefined) yield* member.consumer.release(held)
      if (ahead !== undefined) yield* member.consumer.release(ahead)
      yield* probe.produce(name("in"), 0, records("c"))
      assert.deepStrictEqual(yield* take(member, 1), ["c"])
    }))

  it.live("nothing is handed out before positions are known, and reading starts there", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ in: 1 })
      yield* probe.produce(name("in"), 0, records("a", "b", "c"))
      const go = yield* Deferred.make<void>()
      const member = yield* join(driver, {
        groupId: name("group"),
        topics: [name("in")],
        onAssigned: Deferred.await(go),
        starts: () => 2n
      })
      yield* member.told(/assigning 0/)
      assert.isTrue(Option.isNone(yield* Effect.timeoutOption(member.consumer.poll, 700)))
      yield* Deferred.succeed(go, undefined)
      assert.deepStrictEqual(yield* take(member, 1), ["c"])
    }))

  it.live("a member that joins gets its partitions only after the other has handed them back", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ in: 2 })
      for (const partition of [0, 1]) yield* probe.produce(name("in"), partition, records("x"))
      const go = yield* Deferred.make<void>()
      const group = { groupId: name("group"), topics: [name("in")] }
      const first = yield* join(driver, {
        ...group,
        member: { replica: "a", incarnation: 1n },
        onRevoking: Deferred.await(go)
      })
      yield* first.told(/assigned 0,1/)
      const before = (yield* first.consumer.poll)[0]?.delivery.generation
      const second = yield* join(yield* driverOf(), { ...group, member: { replica: "b", incarnation: 1n } })
      yield* first.told(/revoking 0,1/)
      // while it hands back it is still a member of its generation, and is given nothing new
      assert.strictEqual((yield* Effect.flip(first.consumer.confirm)).code, 27)
      assert.isTrue(Option.isNone(yield* Effect.timeoutOption(first.consumer.poll, 500)))
      assert.deepStrictEqual(second.log, [])
      yield* Deferred.succeed(go, undefined)
      yield* second.told(/assigned/)
      yield* first.told(/assigned \d$/)
      assert.deepStrictEqual(second.log, ["assigning 1", "assigned 1"])
      assert.deepStrictEqual(first.log.slice(2), ["revoking 0,1", "revoked 0,1", "assigning 0", "assigned 0"])
      const after = (yield* second.consumer.poll)[0]?.delivery
      assert.isAbove(after?.generation ?? 0, before ?? 0)
      yield* first.consumer.confirm
      const members = yield* second.consumer.members
      assert.deepStrictEqual(
        members.map(({ incarnation, replica }) => [replica, incarnation]).toSorted(),
        [["a", 1n], ["b", 1n]]
      )
    }))

  it.live("a member that leaves gives its partitions over at once", () =>
    Effect.gen(function*() {
      const { driver, name } = yield* fresh({ in: 2 })
      const group = { groupId: name("group"), topics: [name("in")] }
      const scope = yield* Scope.make()
      const leaving = yield* Scope.provide(join(driver, group), scope)
      yield* leaving.told(/assigned 0,1/)
      const staying = yield* join(yield* driverOf(), group)
      yield* staying.told(/assigned \d/)
      yield* Scope.close(scope, Exit.void)
      // long before its session would have ended
      yield* Effect.timeout(staying.told(/assigned 0,1/), 3_000)
    }))

  it.live("a consumer closes in bounded time while its group is still joining", () =>
    Effect.gen(function*() {
      const { driver, name, proxy } = yield* behindProxy({ in: 2 })
      const group = { groupId: name("group"), topics: [name("in")] }
      const first = yield* join(yield* driverOf(), { ...group, onRevoking: Effect.never })
      yield* first.told(/assigned 0,1/)
      const scope = yield* Scope.make()
      const second = yield* Scope.provide(join(driver, group), scope)
      yield* first.told(/revoking 0,1/)
      yield* proxy.observed(({ api, phase }) => api === "JoinGroup" && phase === "forwarded")
      yield* Effect.timeout(Scope.close(scope, Exit.void), 3_000)
      assert.deepStrictEqual(second.log, [])
    }))

  it.live("a coordinator that moves is found again, and nothing is lost", () =>
    Effect.gen(function*() {
      const { driver, name, probe, proxy } = yield* behindProxy({ in: 1 })
      const member = yield* join(driver, { groupId: name("group"), topics: [name("in")] })
      yield* member.told(/assigned 0/)
      const moved = yield* proxy.inject({ api: "Heartbeat", when: "before", do: { error: 16 } })
      yield* moved.fired
      yield* member.consumer.confirm
      yield* probe.produce(name("in"), 0, records("a"))
      assert.deepStrictEqual(yield* take(member, 1), ["a"])
      assert.deepStrictEqual(member.log, ["assigning 0", "assigned 0"])
    }))

  it.live("a generation that ended without us is lost, not revoked", () =>
    Effect.gen(function*() {
      const { driver, name, proxy } = yield* behindProxy({ in: 1 })
      const member = yield* join(driver, { groupId: name("group"), topics: [name("in")] })
      yield* member.told(/assigned 0/)
      yield* proxy.inject({ api: "Heartbeat", when: "before", do: { error: 22 } })
      yield* member.told(/lost 0/)
      assert.notInclude(member.log, "revoking 0")
    }))

  it.live("of two members of one replica the older is assigned nothing", () =>
    Effect.gen(function*() {
      const { driver, name } = yield* fresh({ in: 2 })
      const group = { groupId: name("group"), topics: [name("in")] }
      const older = yield* join(driver, { ...group, member: { replica: "a", incarnation: 1n } })
      yield* older.told(/assigned 0,1/)
      const newer = yield* join(yield* driverOf(), { ...group, member: { replica: "a", incarnation: 2n } })
      yield* newer.told(/assigned 0,1/)
      yield* older.told(/assigned $/)
      assert.deepStrictEqual(older.assigned(), [])
    }))

  it.live("a restart does not wait for the session of the process that crashed before it", () =>
    Effect.gen(function*() {
      const { driver, name, proxy } = yield* behindProxy({ in: 2 })
      const group = { groupId: name("group"), topics: [name("in")], options: { sessionTimeoutMs: 30_000 } }
      const crashed = yield* join(driver, { ...group, member: { replica: "a", incarnation: 1n } })
      yield* crashed.told(/assigned 0,1/)
      const frozen = yield* proxy.freeze()
      const restarted = yield* join(yield* driverOf(), { ...group, member: { replica: "a", incarnation: 2n } })
      yield* Effect.timeout(restarted.told(/assigned 0,1/), 5_000)
      yield* frozen.thaw
    }))

  it.live("a member whose session the coordinator gave up hears that its partitions are lost", () =>
    Effect.gen(function*() {
      const { driver, name, proxy } = yield* behindProxy({ in: 1 }, { requestTimeout: 1_000 })
      const member = yield* join(driver, {
        groupId: name("group"),
        topics: [name("in")],
        options: { sessionTimeoutMs: 1_500, heartbeatIntervalMs: 300 }
      })
      yield* member.told(/assigned 0/)
      const frozen = yield* proxy.freeze()
      yield* member.told(/lost 0/)
      yield* frozen.thaw
      const again = member.log.length
      yield* Effect.raceFirst(member.told(/never/), Effect.sleep(100))
      while (member.log.length < again + 2) yield* Effect.sleep(50)
      assert.deepStrictEqual(member.log.filter((entry) => entry.startsWith("revok")), [])
      assert.deepStrictEqual(member.log.slice(-2), ["assigning 0", "assigned 0"])
    }))

  it.live("brokers that go away for a while are waited for", () =>
    Effect.gen(function*() {
      const { driver, name, probe, proxy } = yield* behindProxy({ in: 1 })
      const member = yield* join(driver, { groupId: name("group"), topics: [name("in")] })
      yield* member.told(/assigned 0/)
      yield* proxy.down
      yield* Effect.sleep(2_000)
      yield* probe.produce(name("in"), 0, records("after"))
      yield* proxy.up
      assert.deepStrictEqual(yield* take(member, 1), ["after"])
      assert.deepStrictEqual(member.log, ["assigning 0", "assigned 0"])
    }))

  it.live("brokers that stay away end the consumer as unavailable", () =>
    Effect.gen(function*() {
      const { driver, name, proxy } = yield* behindProxy({ in: 1 }, { reconnectTimeout: 2_000 })
      const member = yield* join(driver, {
        groupId: name("group"),
        topics: [name("in")],
        options: { sessionTimeoutMs: 1_500, heartbeatIntervalMs: 300 }
      })
      yield* member.told(/assigned 0/)
      yield* proxy.down
      const error = yield* Effect.flip(member.consumer.poll)
      assert.strictEqual(error.failure, "Unavailable")
      assert.include(member.log, "lost 0")
    }))

  it.live("a failing onAssigned ends the consumer with its error", () =>
    Effect.gen(function*() {
      const { driver, name } = yield* fresh({ in: 1 })
      const cause = yield* Effect.flip(driver.admin.partitions(name("missing")))
      const member = yield* join(driver, {
        groupId: name("group"),
        topics: [name("in")],
        onAssigned: Effect.fail(cause)
      })
      assert.strictEqual(yield* Effect.flip(member.consumer.poll), cause)
    }))

  it.live("a topic that is not there is named when the consumer is made", () =>
    Effect.gen(function*() {
      const { driver, name } = yield* fresh({})
      const error = yield* Effect.flip(join(driver, { groupId: name("group"), topics: [name("missing")] }))
      assert.deepStrictEqual([error.failure, error.code, error.topic], ["Misconfigured", 3, name("missing")])
    }))

  it.live("a topic that is deleted while it is read ends the consumer, and is named", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ in: 1 })
      yield* probe.produce(name("in"), 0, records("a"))
      const member = yield* join(driver, { groupId: name("group"), topics: [name("in")] })
      assert.deepStrictEqual(yield* take(member, 1), ["a"])
      yield* probe.deleteTopic(name("in"))
      const error = yield* Effect.flip(member.consumer.poll)
      assert.deepStrictEqual([error.failure, error.code, error.topic], ["Misconfigured", 3, name("in")])
    }))

  it.live("offsets of the log: where it starts, where committed data ends, where it ends", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* fresh({ in: 1 })
      yield* probe.produce(name("in"), 0, records("a"))
      const open = yield* probe.transaction(name("txn"), 30_000)
      yield* open.produce(name("in"), 0, records("b"))
      const at = (where: "earliest" | "latest" | "end") =>
        Effect.map(driver.admin.offsets([{ topic: name("in"), partition: 0 }], where), (found) => [...found.values()])
      assert.deepStrictEqual(yield* at("earliest"), [Offset.offsetUnsafe(0n)])
      assert.deepStrictEqual(yield* at("latest"), [Offset.offsetUnsafe(1n)])
      assert.deepStrictEqual(yield* at("end"), [Offset.offsetUnsafe(2n)])
    }))
})
