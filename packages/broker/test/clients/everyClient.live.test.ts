/**
 * Every client's flows on the embedded broker and on a real Kafka. Both are held to the same expectation: where only the
 * embedded broker fails it, the broker is wrong; where both do, it is the client, or the flow.
 */
import { assert, describe, it } from "vitest"
import { expected } from "../../../../scripts/clients/expected.ts"
import { runFlow } from "../../../../scripts/clients/run.ts"
import { missing, prepare } from "../../../../scripts/clients/toolchains.ts"
import { describeLive, liveBootstrap, liveKafka } from "../../../../scripts/vitest/live.ts"
import { withListeners } from "../support/withBroker.ts"

const { transactionVersion } = liveKafka

for (const [client, flows] of expected(transactionVersion)) {
  const absent = missing(client.toolchain)
  const toolchain = absent === undefined ? "" : ` [skipped: ${absent}]`

  describe.skipIf(absent !== undefined)(`${client.name}, transaction.version ${transactionVersion}${toolchain}`, () => {
    it("builds", () => prepare(client.toolchain), 600_000)

    for (const [flow, saw] of Object.entries(flows)) {
      it(
        `runs its flow ${flow} on the embedded broker`,
        withListeners({ nodes: 3, transactionVersion }, async (broker) => {
          assert.deepStrictEqual(await runFlow(client, flow, broker.bootstrap), saw)
        })
      )
    }

    describeLive("on a real Kafka", () => {
      for (const [flow, saw] of Object.entries(flows)) {
        it(`runs its flow ${flow}`, async () => {
          assert.deepStrictEqual(await runFlow(client, flow, liveBootstrap().join(",")), saw)
        })
      }
    })
  })
}
