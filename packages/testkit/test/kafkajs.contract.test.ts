import { Broker } from "@exactly-once/broker"
import { Contract } from "@exactly-once/testkit"
import { Effect, Exit, Scope } from "effect"
import { afterAll, beforeAll, describe, it } from "vitest"
import { kafkajs } from "./support/kafkajs.ts"

const scope = Scope.makeUnsafe()
let bootstrap: ReadonlyArray<string> = []

beforeAll(async () => {
  const broker = await Effect.runPromise(
    Scope.provide(Broker.make({ transactionVersion: 2, groups: { minSessionTimeout: 1_000 } }), scope)
  )
  bootstrap = broker.bootstrap.split(",")
})
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

Contract.register(
  { describe, it },
  kafkajs("the embedded broker", { bootstrap: () => bootstrap, transactionVersion: 2 })
)
