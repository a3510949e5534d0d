import { assert, it } from "@effect/vitest"
import { IdempotentProducer, Topic } from "@exactly-once/core"
import { KafkaJs } from "@exactly-once/kafkajs"
import { Effect, Layer, Logger, Redacted, References } from "effect"
import { inspect } from "node:util"
import { afterAll, beforeAll } from "vitest"
import { describeLive } from "../../../../scripts/vitest/live.ts"
import { committedValues } from "../support/kafka.ts"
import { addresses, type Guarded, plainPassword, scene, scramPassword, startGuarded } from "./support.ts"

describeLive("logins and TLS", () => {
  let guarded: Guarded
  beforeAll(async () => {
    guarded = await startGuarded()
  })
  afterAll(() => guarded?.stop())

  const secure = (sasl: KafkaJs.Sasl, options: Partial<KafkaJs.Options> = {}) =>
    Layer.fresh(
      KafkaJs.layer({
        bootstrap: addresses(guarded.cluster.listeners["SECURE"]),
        clientLogLevel: "debug",
        sasl,
        ...options
      })
    )

  const scram = (password: string): KafkaJs.Sasl => ({
    mechanism: "scram-sha-256",
    username: "alice",
    password: Redacted.make(password)
  })

  const plain = (password: string): KafkaJs.Sasl => ({
    mechanism: "plain",
    username: "bob",
    password: Redacted.make(password)
  })

  /** What is logged at every level while `effect` runs, annotations and causes included. */
  const logged = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
    const lines: Array<string> = []
    const logger = Logger.make((options) => {
      lines.push(
        inspect([options.message, options.cause, options.fiber.getRef(References.CurrentLogAnnotations)], { depth: 20 })
      )
    })
    return Effect.map(
      Effect.exit(effect).pipe(
        Effect.provide(Logger.layer([logger])),
        Effect.provideService(References.MinimumLogLevel, "All")
      ),
      (exit) => ({ exit, log: lines.join("\n") })
    )
  }

  const assertSecret = (text: string, ...secrets: ReadonlyArray<string>) => {
    for (const secret of secrets) {
      assert.notInclude(text, secret)
      for (const encoding of ["base64", "hex"] as const) {
        assert.notInclude(text, Buffer.from(secret).toString(encoding).replace(/=+$/, ""))
      }
    }
  }

  it.live.each(
    [
      ["SCRAM-SHA-256", scram, scramPassword],
      ["PLAIN", plain, plainPassword]
    ] as const
  )("%s: the right password lets in, and is in no log line", ([_name, sasl, password]) =>
    Effect.gen(function*() {
      const { exit, log } = yield* logged(Effect.scoped(Layer.build(secure(sasl(password)))))
      assert.strictEqual(exit._tag, "Success")
      assert.isAbove(log.length, 0)
      assertSecret(log, password)
    }))

  it.live.each(
    [
      ["SCRAM-SHA-256", scram],
      ["PLAIN", plain]
    ] as const
  )(
    "%s: a wrong password is unauthorized, in no log line and not in the error",
    ([_name, sasl]) =>
      Effect.gen(function*() {
        const wrong = "a-wr0ng-pa55word"
        const { exit, log } = yield* logged(Effect.flip(Effect.scoped(Layer.build(secure(sasl(wrong))))))
        if (exit._tag !== "Success") return assert.fail(inspect(exit))
        const error = exit.value
        assert.strictEqual(error._tag, "Unauthorized")
        assert.include(error.message, "sasl")
        assertSecret(log, wrong)
        assertSecret(
          [String(error), error.stack, JSON.stringify(error), inspect(error, { depth: 20 })].join("\n"),
          wrong
        )
      })
  )

  it.live("a mechanism that the broker has not enabled is unauthorized, and named", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.scoped(Layer.build(
        secure({ mechanism: "scram-sha-512", username: "alice", password: Redacted.make(scramPassword) })
      )))
      assert.strictEqual(error._tag, "Unauthorized")
      assert.include(error.message.toUpperCase(), "SCRAM-SHA-512")
    }))

  it.live("no credentials on a listener that wants them is told apart from a broker that is away", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.scoped(Layer.build(
        Layer.fresh(KafkaJs.layer({
          bootstrap: addresses(guarded.cluster.listeners["SECURE"]),
          clientLogLevel: "nothing",
          connectionTimeout: 1_000
        }))
      )))
      assert.include(error.message, "sasl")
    }))

  const tls = (ssl: KafkaJs.Options["ssl"]) =>
    Layer.fresh(
      KafkaJs.layer({
        bootstrap: addresses(guarded.cluster.listeners["TLS"]),
        clientLogLevel: "nothing",
        connectionTimeout: 2_000,
        ssl
      })
    )

  it.live("TLS: a broker whose certificate our own authority signed is written to", () =>
    Effect.gen(function*() {
      const { name, probe } = yield* scene(guarded.cluster)

      yield* IdempotentProducer.send(Topic.string(name("out")), [{ key: "k", value: "over TLS" }]).pipe(
        Effect.provide(IdempotentProducer.layer().pipe(Layer.provide(tls({ ca: guarded.ca }))))
      )
      assert.deepStrictEqual(yield* committedValues(probe, name("out")), ["over TLS"])
    }))

  it.live("TLS: another authority, and the system's own, are settings to mend", () =>
    Effect.gen(function*() {
      for (const ssl of [{ ca: guarded.otherCa }, true] as const) {
        const error = yield* Effect.flip(Effect.scoped(Layer.build(tls(ssl))))
        assert.strictEqual(error._tag, "Misconfigured")
        assert.include(error.message, "ssl")
        assert.include(error.message, "certificate")
      }
    }))

  it.live("TLS: spoken to a plain listener, and plain text to a TLS one, end in bounded time", () =>
    Effect.gen(function*() {
      const started = performance.now()
      const plainText = yield* Effect.flip(Effect.scoped(Layer.build(tls(false))))
      const toPlain = yield* Effect.flip(Effect.scoped(Layer.build(
        Layer.fresh(
          KafkaJs.layer({
            bootstrap: addresses(guarded.cluster.bootstrap),
            clientLogLevel: "nothing",
            connectionTimeout: 2_000,
            ssl: { ca: guarded.ca }
          })
        )
      )))
      assert.isBelow(performance.now() - started, 12_000)
      for (const error of [plainText, toPlain]) assert.include(error.message, "ssl")
    }))
})
