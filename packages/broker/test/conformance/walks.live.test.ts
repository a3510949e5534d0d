/** Random walks nobody has taken before, step by step the same in Kafka and in the embedded broker. `CONFORMANCE_WALKS` says how many. */
import { assert, it } from "vitest"
import { describeLive, liveBootstrap, liveKafka } from "../../../../scripts/vitest/live.ts"
import { walk } from "./cases/walks.ts"
import { inEmbedded } from "./embedded.ts"
import { runCase } from "./run.ts"
import { type Case, plain } from "./suite.ts"

const WALKS = Number(process.env["CONFORMANCE_WALKS"] ?? 20)
const STEPS = 60
const first = Math.floor(Math.random() * 1_000_000_000)

describeLive(`random walks, transaction.version ${liveKafka.transactionVersion}`, () => {
  for (let seed = first; seed < first + WALKS; seed++) {
    // One after the other: see conformance.live.test.ts for what producers do to each other.
    it(`seed ${seed}`, async () => {
      const each: Case = { section: "random walks", name: `seed ${seed}`, run: (world) => walk(world, seed, STEPS) }
      const { transactionVersion } = liveKafka
      const embedded = await inEmbedded(each, transactionVersion)
      const address = liveBootstrap()[0] ?? ""
      const kafka = await runCase(each, { address, transactionVersion, prefix: `walk-${seed}` })
      assert.deepStrictEqual(plain(embedded), plain(kafka))
    })
  }
})
