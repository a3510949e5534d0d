import { assert, describe, it } from "vitest"
import { kafkajs, platformatic } from "../../../../scripts/clients/clients.ts"
import { expected } from "../../../../scripts/clients/expected.ts"
import { runFlow } from "../../../../scripts/clients/run.ts"
import { withListeners } from "../support/withBroker.ts"

for (const client of [kafkajs, platformatic]) {
  describe(`${client.name}, unmodified`, () => {
    for (const [flow, saw] of Object.entries(expected(2).get(client) ?? {})) {
      it(
        `runs its flow ${flow}`,
        withListeners({ nodes: 3 }, async (broker) => {
          assert.deepStrictEqual(await runFlow(client, flow, broker.bootstrap), saw)
        }),
        60_000
      )
    }
  })
}
