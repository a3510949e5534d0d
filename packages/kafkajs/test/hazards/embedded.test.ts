import { describe } from "@effect/vitest"
import { Broker } from "@exactly-once/broker"
import { Effect, Exit, Scope } from "effect"
import { afterAll, beforeAll } from "vitest"
import { hazards } from "./all.ts"
import { leaders } from "./leaders.ts"

describe("kafkajs hazards, on the embedded broker", () => {
  const scope = Scope.makeUnsafe()
  let addresses: ReadonlyArray<string> = []
  beforeAll(async () => {
    addresses = (await Effect.runPromise(
      Scope.provide(Broker.make({ prepareDelay: 5, groups: { minSessionTimeout: 1_000 } }), scope)
    )).addresses
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  hazards({ bootstrap: () => addresses })
})

describe("kafkajs hazards, on three embedded brokers", () => {
  leaders(Effect.map(Broker.make({ nodes: 3 }), (broker) => ({
    bootstrap: broker.addresses,
    createTopic: (name) =>
      broker.createTopic(name, 2).pipe(
        Effect.andThen(broker.moveLeader(name, 0, 1)),
        Effect.andThen(broker.moveLeader(name, 1, 2)),
        Effect.orDie
      ),
    moveLeader: (name) => Effect.orDie(broker.moveLeader(name, 1, 1))
  })))
})
