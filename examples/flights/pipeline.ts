/**
 * The pipeline: flights in, late and punctual flights out, outputs and offsets in one transaction per batch.
 */
import { CommittedConsumer, Topic, Transaction, transactionally, TransactionalSession } from "@exactly-once/core"
import { Effect, Layer, Schema, Stream } from "effect"
import { driver } from "../driver.ts"

const Flight = Schema.Struct({
  id: Schema.Int,
  date: Schema.String,
  delay: Schema.Int,
  distance: Schema.Int,
  origin: Schema.String,
  destination: Schema.String
})

const Verdict = Schema.Struct({
  id: Schema.Int,
  route: Schema.String,
  delay: Schema.Int,
  verdict: Schema.Literals(["early", "on time", "late", "very late"])
})

/** Set by `flights.ts`, so that each run has topics and a group of its own. */
const run = process.env["FLIGHTS_RUN"] ?? "0"

/** Keyed by the airport of departure. */
export const Flights = Topic.json(`flights-${run}`, { key: Schema.String, value: Flight })
export const Late = Topic.json(`flights-${run}-late`, { key: Schema.String, value: Verdict })
export const Punctual = Topic.json(`flights-${run}-punctual`, { key: Schema.String, value: Verdict })

export const groupId = `flights-${run}-classifier`

const verdict = (delay: number): typeof Verdict.Type["verdict"] =>
  delay < 0 ? "early" : delay <= 15 ? "on time" : delay <= 60 ? "late" : "very late"

const classify = ({ key, value: { delay, destination, id, origin } }: Topic.RecordOf<typeof Flights>) => ({
  key,
  value: { id, route: `${origin}-${destination}`, delay, verdict: verdict(delay) }
})

/** `sent` runs when a batch's outputs are with the brokers and nothing has committed: where a crash hurts most. */
export const pipeline = (replica: string, sent: Effect.Effect<void>) =>
  CommittedConsumer.batches(Flights).pipe(
    transactionally((batch) =>
      Effect.gen(function*() {
        const flights = batch.records.map(classify)
        yield* Transaction.emit(Late, flights.filter(({ value }) => value.delay > 15))
        yield* Transaction.emit(Punctual, flights.filter(({ value }) => value.delay <= 15))
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
