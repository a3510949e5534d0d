import { assert, describe, it } from "@effect/vitest"
import { Broker } from "@exactly-once/broker"
import { KafkaClient } from "@exactly-once/client"
import { Driver } from "@exactly-once/core"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { createServer, type Server } from "node:net"

const pem = (name: string) => readFileSync(new URL(`fixtures/${name}.pem`, import.meta.url), "utf8")

const brokerWith = (name: string) =>
  Broker.make({ tls: { key: pem(`${name}-key`), cert: pem(`${name}-cert`) }, topics: { in: 1 } })

const partitions = (options: KafkaClient.Options) =>
  Effect.flatMap(
    KafkaClient.make({ connectionTimeout: 500, requestTimeout: 1_000, ...options }),
    (driver) => driver.admin.partitions("in")
  )

/** A server that treats every connection alike, closed with the scope. */
const server = (handle: Parameters<typeof createServer>[1]) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly server: Server; readonly bootstrap: ReadonlyArray<string> }>((resume) => {
      const listening = createServer(handle)
      listening.listen(0, "127.0.0.1", () => {
        const address = listening.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(Effect.succeed({ server: listening, bootstrap: [`127.0.0.1:${port}`] }))
      })
    }),
    ({ server }) => Effect.sync(() => server.close())
  )

describe("a connection over TLS", () => {
  it.live("is made when the certificate is trusted", () =>
    Effect.gen(function*() {
      const { addresses } = yield* brokerWith("localhost")
      assert.strictEqual(yield* partitions({ bootstrap: addresses, ssl: { ca: pem("localhost-cert") } }), 1)
    }).pipe(Effect.scoped))

  for (
    const [what, name, ca] of [
      ["nobody vouches for it", "localhost", undefined],
      ["it names another host", "other", "other-cert"],
      ["it has expired", "expired", "expired-cert"]
    ] as const
  ) {
    it.live(`is refused when ${what}, and the ssl options are named`, () =>
      Effect.gen(function*() {
        const { addresses } = yield* brokerWith(name)
        const ssl = ca === undefined ? true : { ca: pem(ca) }
        const error = yield* Effect.flip(partitions({ bootstrap: addresses, ssl }))
        assert.strictEqual(error.failure, "Misconfigured")
        assert.strictEqual(error.setting, "ssl")
        assert.strictEqual(Driver.toKafkaError(error)._tag, "Misconfigured")
      }).pipe(Effect.scoped))
  }
})

describe("a listener that is no Kafka broker for this client", () => {
  it.live("that speaks TLS to a client without it is a typed failure", () =>
    Effect.gen(function*() {
      const { addresses } = yield* brokerWith("localhost")
      const error = yield* Effect.flip(partitions({ bootstrap: addresses }))
      assert.strictEqual(error.failure, "Unavailable")
    }).pipe(Effect.scoped))

  it.live("that accepts and never answers is given up in time", () =>
    Effect.gen(function*() {
      const { bootstrap } = yield* server(() => {})
      const error = yield* Effect.flip(partitions({ bootstrap }))
      assert.strictEqual(error.failure, "Unavailable")
    }).pipe(Effect.scoped))

  it.live("that answers text is a typed failure", () =>
    Effect.gen(function*() {
      const { bootstrap } = yield* server((socket) =>
        socket.on("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"))
      )
      const error = yield* Effect.flip(partitions({ bootstrap }))
      assert.strictEqual(error.failure, "Unavailable")
    }).pipe(Effect.scoped))

  it.live("that nobody listens on is a typed failure", () =>
    Effect.gen(function*() {
      const { bootstrap } = yield* Effect.scoped(server(() => {}))
      const error = yield* Effect.flip(partitions({ bootstrap }))
      assert.strictEqual(error.failure, "Unavailable")
    }).pipe(Effect.scoped))

  it.live("is refused by name when an address is none", () =>
    Effect.gen(function*() {
      for (const bootstrap of [[], ["nonsense"], ["host:0"], ["host:99999"]]) {
        const error = yield* Effect.flip(partitions({ bootstrap }))
        assert.strictEqual(error.failure, "Misconfigured")
        assert.strictEqual(error.setting, "bootstrap")
      }
    }).pipe(Effect.scoped))
})
