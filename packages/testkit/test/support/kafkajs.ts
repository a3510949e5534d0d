import { KafkaJs } from "@exactly-once/kafkajs"
import type { Contract } from "@exactly-once/testkit"
import { liveBootstrap, liveKafka } from "../../../../scripts/vitest/live.ts"

/** The kafkajs driver against the real Kafka of the `live` project. */
export const kafkajs: Contract.Target = {
  name: "kafkajs on real Kafka",
  driver: (bootstrap) => KafkaJs.layer({ bootstrap, requestTimeout: 4_000, clientLogLevel: "nothing" }),
  capabilities: {
    name: "kafkajs",
    fencing: "partition",
    openTransactions: 1,
    ownEpochInit: false,
    stableFetch: false,
    holdsRevocation: true,
    transactionsV2: false,
    compression: ["none", "gzip", "snappy", "lz4", "zstd"]
  },
  broker: { bootstrap: liveBootstrap, transactionVersion: liveKafka.transactionVersion }
}
