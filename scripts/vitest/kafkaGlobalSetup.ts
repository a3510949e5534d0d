/**
 * Gives the `live` project a real Kafka: the one that KAFKA_BOOTSTRAP names, or one of its own for the length of the run
 * (KAFKA_TRANSACTION_VERSION=1 for the old transaction protocol). A test reads it with `inject("kafka")`, or from
 * KAFKA_BOOTSTRAP; where there is none, `scripts/vitest/live.ts` skips the test and says why.
 */
import type { TestProject } from "vitest/node"
import { MissingTool, startCluster } from "../lib/kafkaCluster.ts"

export interface LiveKafka {
  /** host:port list; undefined where there is no Kafka. */
  readonly bootstrap: string | undefined
  readonly transactionVersion: 1 | 2
  /** Why there is none. */
  readonly reason: string
}

declare module "vitest" {
  export interface ProvidedContext {
    readonly kafka: LiveKafka
  }
}

export default async (project: TestProject): Promise<(() => Promise<void>) | undefined> => {
  const transactionVersion = process.env["KAFKA_TRANSACTION_VERSION"] === "1" ? 1 : 2
  const bootstrap = process.env["KAFKA_BOOTSTRAP"]
  if (bootstrap !== undefined && bootstrap !== "") {
    project.provide("kafka", { bootstrap, transactionVersion, reason: "" })
    return undefined
  }
  try {
    const cluster = await startCluster({ transactionVersion, properties: { "auto.create.topics.enable": "false" } })
    process.env["KAFKA_BOOTSTRAP"] = cluster.bootstrap
    project.provide("kafka", { bootstrap: cluster.bootstrap, transactionVersion, reason: "" })
    return async () => {
      delete process.env["KAFKA_BOOTSTRAP"]
      await cluster.stop()
    }
  } catch (error) {
    if (!(error instanceof MissingTool)) throw error
    project.provide("kafka", { bootstrap: undefined, transactionVersion, reason: error.message })
    return undefined
  }
}
