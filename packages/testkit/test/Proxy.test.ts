import { assert, describe, it } from "@effect/vitest"
import { Apis } from "@exactly-once/protocol"
import { Proxy, RawConnection } from "@exactly-once/testkit"
import { Effect, Exit, Fiber } from "effect"
import { fakeBroker } from "./support/fakeBroker.ts"

const setup = Effect.gen(function*() {
  const broker = yield* fakeBroker
  const proxy = yield* Proxy.make({ bootstrap: [broker.address] })
  const address = proxy.bootstrap[0] ?? ""
  return { broker, proxy, address, client: yield* RawConnection.connect(address, "app-1") }
})

const commit = (client: RawConnection.RawConnection, transactionalId = "t", committed = true) =>
  client.request(Apis.EndTxn, 3, { transactionalId, producerId: 1n, producerEpoch: 0, committed })

const heartbeat = (client: RawConnection.RawConnection) =>
  client.request(Apis.Heartbeat, 4, { groupId: "g", generationId: 1, memberId: "m" })

describe("Proxy", () => {
  it.live("passes requests and answers through, and says what passed", () =>
    Effect.gen(function*() {
      const { broker, client, proxy } = yield* setup
      assert.strictEqual((yield* commit(client)).errorCode, 0)
      assert.deepStrictEqual(broker.applied, ["EndTxn commit t"])
      const delivered = yield* proxy.observed(({ phase }) => phase === "delivered")
      assert.strictEqual(delivered.clientId, "app-1")
      const phases = (yield* proxy.journal()).map(({ api, phase }) => `${phase} ${api}`.trim())
      assert.deepStrictEqual(phases, [
        "opened",
        "received EndTxn",
        "forwarded EndTxn",
        "answered EndTxn",
        "delivered EndTxn"
      ])
      const request: unknown = delivered.request()
      assert.deepInclude(request, { transactionalId: "t", committed: true })
      assert.deepInclude(delivered.response(), { errorCode: 0 })
    }))

  it.live("names itself where an answer names a broker", () =>
    Effect.gen(function*() {
      const { address, client } = yield* setup
      const { brokers } = yield* client.request(Apis.Metadata, 12, { topics: [] })
      assert.deepStrictEqual(brokers.map(({ host, port }) => `${host}:${port}`), [address])
    }))

  it.live("cuts before the broker: the request has no effect", () =>
    Effect.gen(function*() {
      const { broker, client, proxy } = yield* setup
      const rule = yield* proxy.inject({ api: "EndTxn", when: "before", do: "cut" })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(commit(client))))
      yield* rule.fired
      assert.deepStrictEqual(broker.applied, [])
      assert.strictEqual(yield* rule.count, 1)
    }))

  it.live("cuts after the broker: the request took effect and its answer is lost", () =>
    Effect.gen(function*() {
      const { broker, client, proxy } = yield* setup
      yield* proxy.inject({ api: "EndTxn", when: "after", do: "cut" })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(commit(client))))
      assert.deepStrictEqual(broker.applied, ["EndTxn commit t"])
    }))

  it.live("drops an answer and keeps the connection", () =>
    Effect.gen(function*() {
      const { broker, client, proxy } = yield* setup
      const rule = yield* proxy.inject({ api: "EndTxn", when: "after", do: "drop" })
      const lost = yield* Effect.forkChild(commit(client))
      yield* rule.fired
      assert.strictEqual((yield* heartbeat(client)).errorCode, 0)
      assert.deepStrictEqual(broker.applied, ["EndTxn commit t", "Heartbeat"])
      assert.strictEqual(lost.pollUnsafe(), undefined)
    }))

  it.live("holds a request, and what follows it, until it is released", () =>
    Effect.gen(function*() {
      const { broker, client, proxy } = yield* setup
      const rule = yield* proxy.inject({ api: "EndTxn", when: "before", do: "hold" })
      const held = yield* Effect.forkChild(commit(client))
      yield* rule.fired
      const behind = yield* Effect.forkChild(heartbeat(client), { startImmediately: true })
      assert.deepStrictEqual(broker.applied, [])
      yield* rule.release
      assert.strictEqual((yield* Fiber.join(held)).errorCode, 0)
      yield* Fiber.join(behind)
      assert.deepStrictEqual(broker.applied, ["EndTxn commit t", "Heartbeat"])
    }))

  it.live("lets others overtake a held request that does not block", () =>
    Effect.gen(function*() {
      const { broker, client, proxy } = yield* setup
      const rule = yield* proxy.inject({ api: "EndTxn", when: "before", do: "hold", blocks: false })
      const held = yield* Effect.forkChild(commit(client))
      yield* rule.fired
      yield* heartbeat(client)
      assert.deepStrictEqual(broker.applied, ["Heartbeat"])
      yield* rule.release
      yield* Fiber.join(held)
      assert.deepStrictEqual(broker.applied, ["Heartbeat", "EndTxn commit t"])
    }))

  it.live("delivers a held request late, when its client has gone", () =>
    Effect.gen(function*() {
      const { address, broker, proxy } = yield* setup
      const rule = yield* proxy.inject({ api: "EndTxn", when: "before", do: "hold" })
      yield* Effect.scoped(Effect.gen(function*() {
        const client = yield* RawConnection.connect(address, "gone")
        yield* Effect.forkChild(commit(client, "late"))
        yield* rule.fired
      }))
      assert.deepStrictEqual(broker.applied, [])
      yield* rule.release
      yield* proxy.observed(({ api, phase }) => api === "EndTxn" && phase === "answered")
      assert.deepStrictEqual(broker.applied, ["EndTxn commit late"])
    }))

  it.live("duplicates a request: two effects, one answer", () =>
    Effect.gen(function*() {
      const { broker, client, proxy } = yield* setup
      yield* proxy.inject({ api: "EndTxn", when: "before", do: "duplicate" })
      assert.strictEqual((yield* commit(client)).errorCode, 0)
      yield* heartbeat(client)
      assert.deepStrictEqual(broker.applied, ["EndTxn commit t", "EndTxn commit t", "Heartbeat"])
      const delivered = (yield* proxy.journal()).filter(({ api, phase }) => api === "EndTxn" && phase === "delivered")
      assert.lengthOf(delivered, 1)
    }))

  it.live("refuses with an error code, before and after the broker", () =>
    Effect.gen(function*() {
      const { broker, client, proxy } = yield* setup
      yield* proxy.inject({ api: "EndTxn", nth: 1, when: "before", do: { error: 51 } })
      yield* proxy.inject({ api: "EndTxn", nth: 2, when: "after", do: { error: 47 } })
      assert.strictEqual((yield* commit(client)).errorCode, 51)
      assert.deepStrictEqual(broker.applied, [])
      assert.strictEqual((yield* commit(client)).errorCode, 47)
      assert.deepStrictEqual(broker.applied, ["EndTxn commit t"])
    }))

  it.live("rewrites a request, and an answer", () =>
    Effect.gen(function*() {
      const { broker, client, proxy } = yield* setup
      yield* proxy.inject({
        api: "EndTxn",
        when: "before",
        do: { rewrite: (body) => ({ ...Object(body), committed: false }) }
      })
      yield* proxy.inject({
        api: "Heartbeat",
        when: "after",
        do: { rewrite: (body) => ({ ...Object(body), errorCode: 27 }) }
      })
      yield* commit(client)
      assert.deepStrictEqual(broker.applied, ["EndTxn abort t"])
      assert.strictEqual((yield* heartbeat(client)).errorCode, 27)
    }))

  it.live("answers in the broker's place", () =>
    Effect.gen(function*() {
      const { broker, client, proxy } = yield* setup
      yield* proxy.inject({
        api: "EndTxn",
        when: "before",
        do: { answer: (body) => ({ throttleTimeMs: Reflect.get(Object(body), "producerEpoch") + 7, errorCode: 0 }) }
      })
      assert.strictEqual((yield* commit(client)).throttleTimeMs, 7)
      assert.deepStrictEqual(broker.applied, [])
    }))

  it.live("fires on the nth match only, by client, version and body", () =>
    Effect.gen(function*() {
      const { address, broker, client, proxy } = yield* setup
      const other = yield* RawConnection.connect(address, "app-2")
      const rule = yield* proxy.inject({
        api: "EndTxn",
        version: 3,
        clientId: /^app-2$/,
        nth: 2,
        where: (body) => Reflect.get(Object(body), "committed") === true,
        when: "before",
        do: { error: 90 }
      })
      assert.strictEqual((yield* commit(client)).errorCode, 0)
      assert.strictEqual((yield* commit(other)).errorCode, 0)
      assert.strictEqual((yield* commit(other, "t", false)).errorCode, 0)
      assert.strictEqual((yield* commit(other)).errorCode, 90)
      assert.strictEqual((yield* commit(other)).errorCode, 0)
      assert.strictEqual(yield* rule.count, 1)
      assert.lengthOf(broker.applied, 4)
    }))

  it.live("pairs answers past a request that wants none", () =>
    Effect.gen(function*() {
      const { broker, client } = yield* setup
      const silent = yield* Effect.forkChild(
        client.request(Apis.Produce, 9, { acks: 0, timeoutMs: 1, topicData: [] }),
        {
          startImmediately: true
        }
      )
      assert.strictEqual((yield* heartbeat(client)).errorCode, 0)
      assert.deepStrictEqual(broker.applied, ["Produce acks=0", "Heartbeat"])
      yield* Fiber.interrupt(silent)
    }))

  it.live("freezes one client's connections and lets the others go on", () =>
    Effect.gen(function*() {
      const { address, broker, client, proxy } = yield* setup
      const other = yield* RawConnection.connect(address, "app-2")
      yield* heartbeat(client)
      const frozen = yield* proxy.freeze({ clientId: "app-1" })
      const waiting = yield* Effect.forkChild(commit(client), { startImmediately: true })
      yield* heartbeat(other)
      assert.deepStrictEqual(broker.applied, ["Heartbeat", "Heartbeat"])
      yield* frozen.thaw
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(broker.applied, ["Heartbeat", "Heartbeat", "EndTxn commit t"])
    }))

  it.live("severs connections, and refuses new ones while it is down", () =>
    Effect.gen(function*() {
      const { address, client, proxy } = yield* setup
      yield* heartbeat(client)
      assert.strictEqual(yield* proxy.sever(), 1)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(heartbeat(client))))
      yield* proxy.down
      const refused = yield* Effect.exit(Effect.flatMap(RawConnection.connect(address), heartbeat))
      assert.isTrue(Exit.isFailure(refused))
      yield* proxy.up
      const again = yield* RawConnection.connect(address)
      assert.strictEqual((yield* heartbeat(again)).errorCode, 0)
    }))

  it.live("an observer that waits for the next one is not shown the same one again", () =>
    Effect.gen(function*() {
      const { client, proxy } = yield* setup
      const watching = yield* Effect.forkChild(
        Effect.gen(function*() {
          const first = yield* proxy.observed(({ phase }) => phase === "delivered")
          const second = yield* proxy.observed(({ phase }) => phase === "delivered", first.index + 1)
          return second.index - first.index
        }),
        { startImmediately: true }
      )
      yield* heartbeat(client)
      yield* heartbeat(client)
      assert.isAbove(yield* Fiber.join(watching), 0)
    }))

  it.live("carries a frame of many megabytes in linear time", () =>
    Effect.gen(function*() {
      const { broker, client } = yield* setup
      const records = new Uint8Array(24 * 1024 * 1024)
      yield* client.request(Apis.Produce, 9, {
        acks: -1,
        timeoutMs: 1,
        topicData: [{ name: "t", partitionData: [{ index: 0, records }] }]
      })
      assert.deepStrictEqual(broker.applied, ["Produce acks=-1"])
    }))

  it.live("says so when a rule cannot be played", () =>
    Effect.gen(function*() {
      const { proxy } = yield* setup
      const error = yield* Effect.flip(proxy.inject({ api: "ApiVersions", when: "before", do: { error: 35 } }))
      assert.strictEqual(error._tag, "ProxyError")
      yield* Effect.flip(proxy.inject({ api: "EndTxn", nth: 0, when: "before", do: "cut" }))
    }))
})
