import { assert, describe, it } from "@effect/vitest"
import { KafkaJs } from "@exactly-once/kafkajs"
import { Config, ConfigProvider, Effect, Layer, Schema } from "effect"
import { readFileSync } from "node:fs"
import { createServer, type Server, type Socket } from "node:net"
import { createServer as createTlsServer } from "node:tls"
import { internals, problems } from "../src/internal/kafkajsInternals.ts"
import { selfTest } from "../src/internal/selfTest.ts"

/** A server on a port of its own. */
const listening = (
  onConnection: (socket: Socket) => void,
  serve: (onConnection: (socket: Socket) => void) => Server = createServer
) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly server: Server; readonly address: string; readonly sockets: Set<Socket> }>((resume) => {
      const sockets = new Set<Socket>()
      const server = serve((socket) => {
        sockets.add(socket)
        socket.on("error", () => {})
        onConnection(socket)
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(Effect.succeed({ server, sockets, address: `127.0.0.1:${port}` }))
      })
    }),
    ({ server, sockets }) =>
      Effect.sync(() => {
        for (const socket of sockets) socket.destroy()
        server.close()
      })
  )

const fixture = (name: string) => readFileSync(new URL(`fixtures/${name}`, import.meta.url))

/** A certificate of its own for localhost; the key guards nothing else. */
const overTls = (onConnection: (socket: Socket) => void): Server =>
  createTlsServer({ cert: fixture("localhost-cert.pem"), key: fixture("localhost-key.pem") }, onConnection)

const build = (options: KafkaJs.Options) =>
  Effect.flip(Effect.scoped(KafkaJs.make({ clientLogLevel: "nothing", ...options })))

/** ApiVersions version 2, answered with these ranges. */
const answerVersions =
  (ranges: ReadonlyArray<readonly [key: number, min: number, max: number]>) => (socket: Socket) => {
    socket.on("data", (request: Buffer) => {
      const body = Buffer.alloc(4 + 2 + 4 + ranges.length * 6 + 4)
      request.copy(body, 0, 8, 12)
      body.writeInt32BE(ranges.length, 6)
      ranges.forEach(([key, min, max], i) => {
        body.writeInt16BE(key, 10 + i * 6)
        body.writeInt16BE(min, 12 + i * 6)
        body.writeInt16BE(max, 14 + i * 6)
      })
      const size = Buffer.alloc(4)
      size.writeInt32BE(body.length)
      socket.write(Buffer.concat([size, body]))
    })
  }

describe("the layer", () => {
  it.live("brokers that refuse connections are unavailable, by name, in bounded time", () =>
    Effect.gen(function*() {
      const { address, server } = yield* listening(() => {})
      server.close()
      const error = yield* build({ bootstrap: [address] })
      assert.strictEqual(error.failure, "Unavailable")
      assert.include(error.message, address.split(":")[1] ?? "a port")
    }))

  it.live("a broker that accepts and says nothing is unavailable after twice the connection timeout", () =>
    Effect.gen(function*() {
      const { address } = yield* listening(() => {})
      const started = performance.now()
      const error = yield* build({ bootstrap: [address], connectionTimeout: 200 })
      assert.strictEqual(error.failure, "Unavailable")
      assert.isBelow(performance.now() - started, 3_000)
    }))

  it.live("of several addresses one that answers is enough to be asked", () =>
    Effect.gen(function*() {
      const dead = yield* listening(() => {})
      dead.server.close()
      const alive = yield* listening(answerVersions([[0, 0, 7]]))
      for (let i = 0; i < 4; i++) {
        const error = yield* build({ bootstrap: [dead.address, alive.address] })
        assert.strictEqual(error.failure, "Misconfigured")
      }
    }))

  it.live("a broker that is too old is named as such, with what it lacks", () =>
    Effect.gen(function*() {
      const { address } = yield* listening(answerVersions([[0, 0, 5], [1, 0, 7], [3, 0, 6], [10, 0, 2], [22, 0, 1]]))
      const error = yield* build({ bootstrap: [address] })
      assert.strictEqual(error.failure, "Misconfigured")
      assert.include(error.message, "Produce v7 (0-5)")
      assert.include(error.message, "TxnOffsetCommit v1 (none)")
      assert.include(error.message, "Kafka 2.3 or newer")
    }))

  it.live("TLS: a certificate that is not trusted is a setting, one that is lets the client in", () =>
    Effect.gen(function*() {
      const { address } = yield* listening(answerVersions([]), overTls)
      const distrusted = yield* build({ bootstrap: [address], ssl: true })
      assert.strictEqual(distrusted.failure, "Misconfigured")
      assert.include(distrusted.message, "check the ssl options")
      const trusted = yield* build({ bootstrap: [address], ssl: { ca: fixture("localhost-cert.pem") } })
      assert.include(trusted.message, "do not speak")
    }))

  it.live("addresses that are none are settings to mend", () =>
    Effect.gen(function*() {
      for (const bootstrap of [[], ["localhost"], ["localhost:0"], ["a:b:9092"], [""]]) {
        const error = yield* build({ bootstrap })
        assert.strictEqual(error.failure, "Misconfigured", bootstrap.join())
      }
    }))

  it.live("options may come from the configuration", () =>
    Effect.gen(function*() {
      const { address } = yield* listening(answerVersions([]))
      const layer = KafkaJs.layerConfig({
        bootstrap: Config.Array(Schema.NonEmptyString, "KAFKA_BOOTSTRAP"),
        clientLogLevel: Config.succeed<KafkaJs.ClientLogLevel>("nothing")
      }).pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord({ KAFKA_BOOTSTRAP: address }))))
      const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
      assert.strictEqual(error._tag, "Misconfigured")
      assert.include(error.message, "do not speak")
    }))

  it.live("fails with the errors that programs handle, and names the setting", () =>
    Effect.gen(function*() {
      const refusal = (options: KafkaJs.Options) =>
        Effect.flip(Effect.scoped(Layer.build(KafkaJs.layer({ clientLogLevel: "nothing", ...options }))))
      const bad = yield* refusal({ bootstrap: ["localhost"] })
      assert.strictEqual(bad._tag === "Misconfigured" && bad.setting, "bootstrap")
      const { address } = yield* listening(answerVersions([]), overTls)
      const distrusted = yield* refusal({ bootstrap: [address], ssl: true })
      assert.strictEqual(distrusted._tag === "Misconfigured" && distrusted.setting, "ssl")
      const dead = yield* listening(() => {})
      dead.server.close()
      assert.strictEqual((yield* refusal({ bootstrap: [dead.address] }))._tag, "KafkaUnavailable")
    }))
})

describe("the self-test", () => {
  it.effect("passes on the pinned client", () => selfTest)

  it("finds another version", () => {
    assert.deepStrictEqual(problems({ ...internals(), version: "2.3.0" }), [
      "kafkajs is 2.3.0, this driver needs exactly 2.2.4"
    ])
  })

  it("finds a request or a class that changed its shape", () => {
    const inside = internals()
    const { Fetch: _, ...requests } = inside.requests
    assert.deepStrictEqual(problems({ ...inside, requests }), ["request Fetch v11"])
    class Pool extends inside.ConnectionPool {
      override readonly pool = []
    }
    assert.deepStrictEqual(problems({ ...inside, ConnectionPool: Pool }), ["ConnectionPool, Broker and Connection"])
  })
})
