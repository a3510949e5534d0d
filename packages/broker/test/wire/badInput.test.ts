import { Apis, Frame } from "@exactly-once/protocol"
import { connect } from "node:net"
import { assert, describe, it } from "vitest"
import { Runtime } from "../../src/Runtime.ts"
import { Probe } from "../support/Probe.ts"
import { RawClient } from "../support/RawClient.ts"
import { withBroker } from "../support/withBroker.ts"

const frame = (payload: Uint8Array): Uint8Array => {
  const bytes = new Uint8Array(4 + payload.length)
  new DataView(bytes.buffer).setInt32(0, payload.length)
  bytes.set(payload, 4)
  return bytes
}

const header = (key: number, version: number, correlationId = 7): Uint8Array => {
  const bytes = new Uint8Array(10)
  const view = new DataView(bytes.buffer)
  view.setInt16(0, key)
  view.setInt16(2, version)
  view.setInt32(4, correlationId)
  view.setInt16(8, -1)
  return bytes
}

const closes: Readonly<Record<string, Uint8Array>> = {
  "a negative size": Uint8Array.of(0xff, 0xff, 0xff, 0xff),
  "a size beyond the limit": Uint8Array.of(0x7f, 0xff, 0xff, 0xff),
  "an empty frame": frame(new Uint8Array(0)),
  "a frame shorter than a header": frame(Uint8Array.of(0, 3, 0)),
  "an API that does not exist": frame(header(999, 0)),
  "a version that is too high": frame(header(3, 99)),
  "a version that is too low": frame(header(0, 2)),
  "a negative version": frame(header(3, -1)),
  "a body that ends too early": frame(header(3, 1)),
  "something else than Kafka": Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

describe("a connection that sends", () => {
  for (const [what, bytes] of Object.entries(closes)) {
    it(
      `${what} is closed, and the others are served`,
      withBroker({ topics: { t: 1 } }, async (probe, broker) => {
        const bad = await RawClient.open(broker.addresses[0]!)
        bad.bytes(bytes)
        await bad.closed
        assert.strictEqual(await probe.latest(false), 0n)
      })
    )
  }

  it(
    "random bytes never takes the broker down",
    withBroker({ topics: { t: 1 } }, async (probe, broker) => {
      let seed = 1
      const random = () => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) >>> 8
      for (let round = 0; round < 200; round++) {
        const bad = await RawClient.open(broker.addresses[0]!)
        const payload = Uint8Array.from({ length: random() % 200 }, () => random() & 255)
        // Half of the frames name an API, so that bodies are reached.
        if (round % 2 === 0 && payload.length >= 10) payload.set(header(random() % 76, random() % 14), 0)
        bad.bytes(frame(payload))
        bad.socket.end()
        await bad.closed
      }
      assert.strictEqual(await probe.latest(false), 0n)
    })
  )

  it(
    "an ApiVersions of tomorrow is told of today's",
    withBroker({}, async (probe) => {
      const request = frame(header(18, 5, 77))
      const payload = await probe.client.exchange({ correlationId: 77, frame: request })
      const hex = Buffer.from(payload).toString("hex")
      assert.strictEqual(hex, "0000004d" + "0023" + "00000001" + "0012" + "0000" + "0004")
    })
  )

  it(
    "a request byte by byte is answered",
    withBroker({ topics: { t: 1 } }, async (probe) => {
      const body = { topics: [{ name: "t" }] }
      const bytes = Frame.encodeRequest(Apis.Metadata, body, { version: 1, correlationId: 900, clientId: "slow" })
      const answer = probe.client.exchange({ correlationId: 900, frame: bytes.subarray(0, 1) })
      for (const byte of bytes.subarray(1)) {
        probe.client.bytes(Uint8Array.of(byte))
        await new Promise(setImmediate)
      }
      assert.strictEqual(Frame.decodeResponse(Apis.Metadata, 1, await answer).body.topics[0]?.name, "t")
    })
  )

  it(
    "many requests at once gets the answers in order",
    withBroker({ topics: { t: 1 } }, async (probe) => {
      const order: Array<number> = []
      // The first waits on the broker; Kafka does not look at the next one of this connection meanwhile.
      const waiting = probe.fetch({ maxWaitMs: 50 }).then(() => order.push(0))
      const rest = [1, 2, 3].map((at) => probe.latest(false).then(() => order.push(at)))
      await Promise.all([waiting, ...rest])
      assert.deepStrictEqual(order, [0, 1, 2, 3])
    })
  )
})

describe("connections", () => {
  it(
    "a thousand idle ones are no burden",
    withBroker({ topics: { t: 1 } }, async (probe, broker, run) => {
      const idle = await Promise.all(Array.from({ length: 1000 }, () => RawClient.open(broker.addresses[0]!)))
      assert.strictEqual(await probe.latest(false), 0n)
      for (let i = 0; i < 1000 && await run(broker.connections) < 1001; i++) await new Promise(setImmediate)
      assert.strictEqual(await run(broker.connections), 1001)
      await Promise.all(idle.map((it) => it.close()))
      for (let i = 0; i < 1000 && await run(broker.connections) > 1; i++) await new Promise(setImmediate)
      assert.strictEqual(await run(broker.connections), 1)
    })
  )

  it(
    "one that announces a large frame and sends nothing holds no memory and nobody up",
    withBroker({ topics: { t: 1 } }, async (probe, broker) => {
      const before = process.memoryUsage().arrayBuffers
      const slow = await Promise.all(Array.from({ length: 50 }, () => RawClient.open(broker.addresses[0]!)))
      for (const it of slow) it.bytes(Uint8Array.of(0x05, 0, 0, 0, 0, 3))
      assert.strictEqual(await probe.latest(false), 0n)
      assert.isBelow(process.memoryUsage().arrayBuffers - before, 50_000_000)
      await Promise.all(slow.map((it) => it.close()))
    })
  )

  it(
    "one that asks and never reads is not given more to read",
    withBroker({ topics: { t: 1 } }, async (probe, broker) => {
      await probe.produce(9, { producerId: -1n, epoch: -1 }, { values: ["x".repeat(900_000)] })
      const at = broker.addresses[0]!.split(":")
      const socket = connect({ host: at[0]!, port: Number(at[1]) })
      await new Promise((resolve) => socket.once("connect", resolve))
      socket.pause()
      const fetch = Frame.encodeRequest(Apis.Fetch, {
        replicaId: -1,
        maxWaitMs: 0,
        minBytes: 1,
        isolationLevel: 0,
        topics: [{ topic: "t", partitions: [{ partition: 0, fetchOffset: 0n, partitionMaxBytes: 1_000_000 }] }]
      }, { version: 11, correlationId: 1, clientId: "deaf" })
      const before = process.memoryUsage().arrayBuffers
      for (let i = 0; i < 500; i++) socket.write(fetch)
      for (let i = 0; i < 20; i++) await probe.latest(false)
      // 500 answers of 900 kB would be 450 MB.
      assert.isBelow(process.memoryUsage().arrayBuffers - before, 100_000_000)
      socket.destroy()
    })
  )

  it("one that never reads does not keep the broker from stopping", async () => {
    const runtime = new Runtime({ topics: { t: 1 } })
    await runtime.start()
    const probe = await Probe.open(runtime.addresses[0]!)
    await probe.produce(9, { producerId: -1n, epoch: -1 }, { values: ["x".repeat(900_000)] })
    const [host, port] = runtime.addresses[0]!.split(":")
    const socket = connect({ host: host!, port: Number(port) })
    await new Promise((resolve) => socket.once("connect", resolve))
    socket.pause()
    socket.on("error", () => {})
    const body = { replicaId: -1, maxWaitMs: 0, minBytes: 1, isolationLevel: 0 }
    const partitions = [{ partition: 0, fetchOffset: 0n, partitionMaxBytes: 1_000_000 }]
    const topics = [{ topic: "t", partitions }]
    const frame = Frame.encodeRequest(Apis.Fetch, { ...body, topics }, {
      version: 11,
      correlationId: 1,
      clientId: null
    })
    for (let i = 0; i < 50; i++) socket.write(frame)
    await probe.latest(false)
    await runtime.stop()
    await probe.client.closed
    socket.destroy()
  })

  it(
    "one that is gone while its fetch waits leaves nothing behind",
    withBroker({ topics: { t: 1 } }, async (probe, broker) => {
      const reader = await Probe.open(broker.addresses[0]!)
      const waiting = reader.fetch({ maxWaitMs: 60_000 }).catch((error: Error) => error.message)
      await probe.latest(false)
      await reader.close()
      assert.strictEqual(await waiting, "closed")
      assert.strictEqual((await probe.produce(9, { producerId: -1n, epoch: -1 })).error, 0)
    })
  )
})
