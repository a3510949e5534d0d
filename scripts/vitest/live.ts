/** What a `*.live.test.ts` needs: the cluster, or a reason to be skipped. */
import { describe, inject } from "vitest"
import type { LiveKafka } from "./kafkaGlobalSetup.ts"

export const liveKafka: LiveKafka = inject("kafka")

/** host:port list of the cluster under test. Read it inside a test or hook of `describeLive` only. */
export const liveBootstrap = (): ReadonlyArray<string> => {
  if (liveKafka.bootstrap === undefined) throw new Error(liveKafka.reason)
  return liveKafka.bootstrap.split(",")
}

/** `describe` where there is a Kafka; elsewhere its tests count as skipped, under a name that holds the reason. */
export const describeLive = (name: string, body: () => void): void => {
  if (liveKafka.bootstrap === undefined) describe.skip(`${name} [skipped: ${liveKafka.reason}]`, body)
  else describe(name, body)
}
