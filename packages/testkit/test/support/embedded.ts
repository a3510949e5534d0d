import { Broker } from "@exactly-once/broker"
import { Effect, Exit, Scope } from "effect"
import { afterAll, beforeAll } from "vitest"

/** An embedded broker for the tests of one file. Answers its bootstrap addresses, inside a test or hook. */
export const embedded = (): () => ReadonlyArray<string> => {
  const scope = Scope.makeUnsafe()
  let bootstrap: ReadonlyArray<string> = []
  beforeAll(async () => {
    const making = Broker.make({ transactionVersion: 2, groups: { minSessionTimeout: 1_000 } })
    bootstrap = (await Effect.runPromise(Scope.provide(making, scope))).bootstrap.split(",")
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return () => bootstrap
}
