import type { Contract } from "@exactly-once/testkit"
import { liveBootstrap, liveKafka } from "../../../../scripts/vitest/live.ts"

/** The real Kafka of the `live` project. */
export const realKafka: Contract.Target["broker"] = {
  bootstrap: liveBootstrap,
  transactionVersion: liveKafka.transactionVersion
}
