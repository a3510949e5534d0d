/** An embedded broker for one case. */
import { Broker } from "@exactly-once/broker"
import { Effect } from "effect"
import { assert } from "vitest"
import { EXHAUSTION } from "./cases/exhaustion.ts"
import { runCase } from "./run.ts"
import type { Answer, Case, TransactionVersion } from "./suite.ts"

/** Runs a case in a broker of its own, in which nothing may go wrong meanwhile. */
export const inEmbedded = (it: Case, transactionVersion: TransactionVersion): Promise<Answer> =>
  Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const broker = yield* Broker.make({
      transactionVersion,
      autoCreateTopics: false,
      internalPartitions: 5,
      groups: { minSessionTimeout: 1_000, consumerAssignmentInterval: 50 },
      // What takes a minute with Kafka.
      ...(it.section === EXHAUSTION ? { firstEpoch: 32_700 } : {})
    })
    const [address] = broker.addresses
    const answer = yield* Effect.promise(() =>
      runCase(it, { address: address ?? "", transactionVersion, broker, prefix: "case" })
    )
    assert.deepStrictEqual(yield* broker.defects, [])
    return answer
  })))
