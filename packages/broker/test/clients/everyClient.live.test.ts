/**
 * Every client's flows on the embedded broker and on a real Kafka. Both are held to the same expectation: where only the
 * embedded broker fails it, the broker is wrong; where both do, it is the client, or the flow.
 */
import { assert, describe, it } from "vitest"
import { type Client, franzGo, java, streams } from "../../../../scripts/clients/clients.ts"
import { expected } from "../../../../scripts/clients/expected.ts"
import { type Names, runFlow } from "../../../../scripts/clients/run.ts"
import { missing, prepare } from "../../../../scripts/clients/toolchains.ts"
import { unrest } from "../../../../scripts/clients/unrest.ts"
import { describeLive, liveBootstrap, liveKafka } from "../../../../scripts/vitest/live.ts"
import { withListeners } from "../support/withBroker.ts"

const { transactionVersion } = liveKafka

/**
 * The flows that lose and repeat nothing in a cluster that is not at rest either. Kafka Streams is given more time between
 * two events: a group's sessions start anew with each move of its coordinator, so that a dead member would never leave.
 * librdkafka 2.16.0 is left out: an AddOffsetsToTxn that it has to send while the coordinator is away may be put up for a
 * retry that never comes, and send_offsets_to_transaction does not return although every broker is back.
 */
const unsettled = new Map<Client, ReadonlyArray<string>>([
  [java, ["copy", "copy848"]],
  [franzGo, ["copy", "copy848"]],
  [streams, ["counts"]]
])

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

    for (const [flow, saw] of Object.entries(flows).filter(([name]) => unsettled.get(client)?.includes(name))) {
      it(
        `runs its flow ${flow} while leaders and coordinators of the embedded broker move and it restarts`,
        withListeners({ nodes: 3, transactionVersion }, async (broker) => {
          const [everyMs, events] = client === streams ? [2_000, 15] : [150, 60]
          const perPartition = client === streams ? 200 : client === franzGo ? 20_000 : 2_000
          const during = (names: Names) => unrest(broker, names, everyMs, events)
          const counted = client === streams ? {} : { copied: 3 * perPartition }
          assert.deepStrictEqual(await runFlow(client, flow, broker.bootstrap, { perPartition, during }), {
            ...saw,
            ...counted
          })
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
