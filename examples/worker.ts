/**
 * A long-running worker to start from: copies every committed record of one topic to another, exactly once. It runs
 * until SIGTERM, survives broker restarts, and ends with an exit code that tells a supervisor what to do: see
 * `supervised.ts`.
 *
 *   KAFKA_BOOTSTRAP=localhost:9092 IN_TOPIC=orders OUT_TOPIC=copies GROUP_ID=copier TXN_ID_PREFIX=copier npm run worker
 */
import { CommittedConsumer, Topic, Transaction, transactionally, TransactionalSession } from "@exactly-once/core"
import { Config, Duration, Effect, Layer, Stream } from "effect"
import { driver } from "./driver.ts"
import { runSupervised } from "./supervised.ts"

const settings = Config.all({
  input: Config.NonEmptyString("IN_TOPIC"),
  output: Config.NonEmptyString("OUT_TOPIC"),
  groupId: Config.NonEmptyString("GROUP_ID"),
  prefix: Config.NonEmptyString("TXN_ID_PREFIX"),
  index: Config.String("WORKER_INDEX").pipe(Config.withDefault("0")),
  transactionTimeout: Config.Int("TXN_TIMEOUT_MS").pipe(Config.withDefault(10_000)),
  sessionTimeout: Config.Int("SESSION_TIMEOUT_MS").pipe(Config.withDefault(10_000))
})

const worker = Effect.gen(function*() {
  const { groupId, index, input, output, prefix, sessionTimeout, transactionTimeout } = yield* settings
  const Input = Topic.bytes(input)
  const Output = Topic.bytes(output)

  const copy = CommittedConsumer.batches(Input).pipe(
    transactionally((batch) =>
      Effect.as(
        Transaction.emit(Output, batch.records.map(({ headers, key, value }) => ({ key, value, headers }))),
        batch.records.length
      )
    ),
    Stream.runForEach((copied) => Effect.logInfo(`copied ${copied} records`))
  )

  yield* Effect.provide(
    copy,
    Layer.mergeAll(
      TransactionalSession.layer({
        transactionalIdPrefix: prefix,
        replica: `worker-${index}`,
        transactionTimeout: Duration.millis(transactionTimeout)
      }),
      CommittedConsumer.layer({
        groupId,
        startFrom: "earliest",
        sessionTimeout: Duration.millis(sessionTimeout),
        rebalanceTimeout: Duration.millis(Math.max(3 * transactionTimeout, sessionTimeout, 30_000))
      })
    ).pipe(Layer.provide(driver))
  )
})

runSupervised(worker)
