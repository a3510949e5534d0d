/** Small words that the producers share. */
import { Driver } from "@exactly-once/core"
import * as Effect from "effect/Effect"
import type { Cluster } from "../network/Cluster.ts"
import { type Failure, isUnsent } from "../network/failure.ts"
import type { TopicInfo } from "../network/metadata.ts"
import { retry } from "../network/retry.ts"

/** `NeedsInit`: no epoch, or the last transaction did not end cleanly. */
export type State = "NeedsInit" | "Ready" | "Open"

export const refuse = (
  operation: string,
  description: string,
  failure: Driver.FailureClass = "Abortable",
  topic?: string
): Driver.DriverError =>
  new Driver.DriverError({ operation, failure, description, ...(topic === undefined ? {} : { topic }) })

/** What a step of a transaction answers after an earlier one has failed. */
export const poisonOf = (operation: string, poison: Driver.DriverError): Driver.DriverError =>
  refuse(
    operation,
    `an earlier step of this transaction failed, it can only be aborted: ${poison.message}`,
    poison.failure === "Fenced" ? "Fenced" : "Abortable"
  )

/** A topic from the cache, else asked for; brokers that are away are waited for. */
export const findTopic = (cluster: Cluster, topic: string): Effect.Effect<TopicInfo, Failure> => {
  const known = cluster.known(topic)
  return known !== undefined
    ? Effect.succeed(known)
    : retry(
      // Asking for metadata changes nothing, whether it was answered or not.
      Effect.mapError(cluster.topic(topic), (failure): Failure => ({ ...failure, sent: false })),
      cluster.options.requestTimeout,
      (failure) => isUnsent(failure) || failure.code === 5
    )
}
