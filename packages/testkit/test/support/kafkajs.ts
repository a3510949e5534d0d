import { KafkaJs } from "@exactly-once/kafkajs"
import type { Contract } from "@exactly-once/testkit"

/** The kafkajs driver against a cluster. */
export const kafkajs = (cluster: string, broker: Contract.Target["broker"]): Contract.Target => ({
  name: `kafkajs on ${cluster}`,
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
  broker
})
