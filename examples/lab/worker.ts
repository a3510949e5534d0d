/**
 * A worker of the lab on our layers: the flights pipeline, with a body that fails once at the flight `LAB_FAIL_ID`, when
 * its outputs are written.
 */
import { CommittedConsumer, Transaction, transactionally, TransactionalSession } from "@exactly-once/core"
import { KafkaJs } from "@exactly-once/kafkajs"
import { Config, Data, Effect, Layer, References, Schedule, Stream } from "effect"
import { classify, topics } from "../flights/topics.ts"
import { runSupervised } from "../supervised.ts"

class BodyFailed extends Data.TaggedError("BodyFailed") {}

const program = Effect.gen(function*() {
  const bootstrap = yield* Config.NonEmptyString("KAFKA_BOOTSTRAP")
  const run = yield* Config.NonEmptyString("FLIGHTS_RUN")
  const name = yield* Config.NonEmptyString("LAB_WORKER")
  const mode = yield* Config.NonEmptyString("LAB_MODE")
  let failing = yield* Config.Int("LAB_FAIL_ID").pipe(Config.withDefault(-1))
  const { flights, groupId, late, punctual } = topics(run)

  const pipeline = CommittedConsumer.batches(flights).pipe(
    transactionally((batch) =>
      Effect.gen(function*() {
        const verdicts = batch.records.map(classify)
        yield* Transaction.emit(late, verdicts.filter(({ value }) => value.delay > 15))
        yield* Transaction.emit(punctual, verdicts.filter(({ value }) => value.delay <= 15))
        yield* Transaction.flush
        if (batch.records.some(({ value }) => value.id === failing)) {
          failing = -1
          return yield* new BodyFailed()
        }
      })
    ),
    Stream.runDrain,
    Effect.retry({ while: (error) => error._tag === "BodyFailed", schedule: Schedule.recurs(1) })
  )

  const driver = KafkaJs.layer({
    bootstrap: bootstrap.split(","),
    clientId: name,
    requestTimeout: 5_000,
    unsafeResendUnderNewSequences: mode === "resend"
  })
  yield* Effect.provide(
    pipeline,
    Layer.mergeAll(
      TransactionalSession.layer({ transactionalIdPrefix: groupId, replica: name, transactionTimeout: "30 seconds" }),
      CommittedConsumer.layer({ groupId, maxRecords: 100, maxWait: "100 millis", sessionTimeout: "6 seconds" })
    ).pipe(Layer.provide(driver))
  )
})

runSupervised(Effect.provideService(program, References.MinimumLogLevel, "Fatal"))
