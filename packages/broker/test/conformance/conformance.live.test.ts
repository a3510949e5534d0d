/** Every case against Kafka: that it still answers what is kept in `measured`. `KAFKA_TRANSACTION_VERSION` picks the version. */
import { assert, it } from "vitest"
import { describeLive, liveBootstrap, liveKafka } from "../../../../scripts/vitest/live.ts"
import { cases } from "./cases/index.ts"
import { runCase, runsAlone } from "./run.ts"
import { type Case, expected, plain } from "./suite.ts"

// Kafka verifies batches of several producers in one request, and answers all of them as the oldest client among them understands; a case
// that another one disturbed so is asked again.
const again = { retry: 3 }

let asked = 0
const run = Math.random().toString(36).slice(2, 8)

const check = (it: Case) => async () => {
  const [address, ...others] = liveBootstrap()
  assert.deepStrictEqual(others, [], "the cases are meant for a single broker")
  const { transactionVersion } = liveKafka
  const prefix = `${run}-${asked++}`
  const answer = plain(await runCase(it, { address: address ?? "", transactionVersion, prefix }))
  assert.deepStrictEqual(answer, expected(it, transactionVersion))
}

describeLive(`${cases.length} cases, transaction.version ${liveKafka.transactionVersion}`, () => {
  for (const each of cases.filter((it) => !runsAlone(it))) {
    it.concurrent(`${each.section}: ${each.name}`, again, check(each))
  }
  for (const each of cases.filter(runsAlone)) it(`${each.section}: ${each.name}`, again, check(each))
})
