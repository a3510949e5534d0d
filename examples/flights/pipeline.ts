/**
 * The pipeline: flights in, late and punctual flights out, outputs and offsets in one transaction per batch.
 */
import { CommittedConsumer, Transaction, transactionally, TransactionalSession } from "@exactly-once/core"
import { Effect, Layer, Stream } from "effect"
import { driver } from "../driver.ts"
import { classify, topics } from "./topics.ts"

/** Set by `flights.ts`, so that each run has topics and a group of its own. */
const { flights, groupId, late, punctual } = topics(process.env["FLIGHTS_RUN"] ?? "0")

/** `sent` runs when a batch's outputs are with the brokers and nothing has committed: where a crash hurts most. */
export const pipeline = (replica: string, sent: Effect.Effect<void>) =>
  CommittedConsumer.batches(flights).pipe(
    transactionally((batch) =>
      Effect.gen(function*() {
        const verdicts = batch.records.map(classify)
        yield* Transaction.emit(late, verdicts.filter(({ value }) => value.delay > 15))
        yield* Transaction.emit(punctual, verdicts.filter(({ value }) => value.delay <= 15))
        yield* Transaction.flush
        yield* sent
      })
    ),
    Stream.runDrain,
    Effect.provide(
      Layer.mergeAll(
        TransactionalSession.layer({ transactionalIdPrefix: groupId, replica, transactionTimeout: "5 seconds" }),
        CommittedConsumer.layer({
          groupId,
          sessionTimeout: "3 seconds",
          maxBytesPerPartition: 8_192,
          maxWait: "100 millis"
        })
      ).pipe(Layer.provide(driver))
    )
  )
