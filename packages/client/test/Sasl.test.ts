import { assert, describe, it } from "@effect/vitest"
import { Broker } from "@exactly-once/broker"
import { KafkaClient } from "@exactly-once/client"
import { Effect, Redacted } from "effect"

const broker = Broker.make({ sasl: { users: { alice: "open sesame, =please" } }, topics: { in: 1 } })

const partitions = (bootstrap: ReadonlyArray<string>, sasl?: KafkaClient.Sasl) =>
  Effect.flatMap(
    KafkaClient.make({ bootstrap, sasl, connectionTimeout: 1_000, requestTimeout: 1_000 }),
    (driver) => driver.admin.partitions("in")
  )

describe("a listener with SASL", () => {
  for (const mechanism of ["plain", "scram-sha-256", "scram-sha-512"] as const) {
    const as = (username: string, password: string): KafkaClient.Sasl => ({
      mechanism,
      username,
      password: Redacted.make(password)
    })

    it.live(`lets in who knows the password, ${mechanism}`, () =>
      Effect.gen(function*() {
        const { addresses } = yield* broker
        assert.strictEqual(yield* partitions(addresses, as("alice", "open sesame, =please")), 1)
      }).pipe(Effect.scoped))

    it.live(`refuses a wrong password and an unknown user, and names the option, ${mechanism}`, () =>
      Effect.gen(function*() {
        const { addresses } = yield* broker
        for (const sasl of [as("alice", "wrong"), as("bob", "open sesame, =please")]) {
          const error = yield* Effect.flip(partitions(addresses, sasl))
          assert.strictEqual(error.failure, "Unauthorized")
          assert.strictEqual(error.setting, "sasl")
          assert.notInclude(JSON.stringify(error), Redacted.value(sasl.password))
        }
      }).pipe(Effect.scoped))
  }

  it.live("is a typed failure for a client without credentials, with a hint", () =>
    Effect.gen(function*() {
      const { addresses } = yield* broker
      const error = yield* Effect.flip(partitions(addresses))
      assert.strictEqual(error.failure, "Unavailable")
      assert.match(error.description, /sasl/)
    }).pipe(Effect.scoped))
})
