import { Contract } from "@exactly-once/testkit"
import { it } from "vitest"
import { describeLive, liveBootstrap, liveKafka } from "../../../scripts/vitest/live.ts"
import { cases, client } from "./support/contract.ts"

Contract.register(
  { describe: describeLive, it },
  client("real Kafka", {
    bootstrap: liveBootstrap,
    get transactionVersion() {
      return liveKafka.transactionVersion
    }
  }),
  cases
)
