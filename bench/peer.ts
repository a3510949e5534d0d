/**
 * Our peer: the layers of `core` over the driver that `DRIVER` names, at their defaults. `HANDLER=record` runs one Effect
 * per record, `HANDLER=json` decodes and encodes values by a Schema; without it the handler gets batches of bytes.
 */
import {
  CommittedConsumer,
  IdempotentProducer,
  Topic,
  Transaction,
  transactionally,
  TransactionalSession
} from "@exactly-once/core"
import { Effect, Layer, References, Stream } from "effect"
import { driverFor } from "../examples/driver.ts"
import { answer, answerCopy, answerLatencies, producedKey, producedValue, settings } from "./peers/contract.ts"
import { transform } from "./peers/transform.ts"

const { brokers, durationMs, group, input, mode, output, records } = settings
const driver = driverFor(brokers.join(","))
const Input = Topic.bytes(input)
const Output = Topic.bytes(output)

const consumeProcess = (maxRecords: number | undefined) =>
  Layer.mergeAll(
    TransactionalSession.layer({ transactionalIdPrefix: `bench-${group}`, replica: "peer" }),
    CommittedConsumer.layer({ groupId: group, maxRecords })
  ).pipe(Layer.provide(driver))

const upper = (value: Uint8Array | null) => value === null ? null : transform(value)

const copy = Effect.gen(function*() {
  let first = 0
  let copied = 0
  let txns = 0
  const each = process.env["HANDLER"] === "record"
  yield* CommittedConsumer.batches(Input).pipe(
    transactionally((batch) => {
      if (first === 0) first = Date.now()
      const outputs = each
        ? Effect.forEach(batch.records, ({ key, value }) => Effect.sync(() => ({ key, value: upper(value) })))
        : Effect.sync(() => batch.records.map(({ key, value }) => ({ key, value: upper(value) })))
      return Effect.as(Effect.flatMap(outputs, (out) => Transaction.emit(Output, out)), batch.records.length)
    }),
    Stream.takeUntil((size) => {
      copied += size
      txns++
      return copied >= records
    }),
    Stream.runDrain,
    Effect.provide(consumeProcess(undefined))
  )
  answerCopy(first, copied, txns)
})

const transactions = Effect.gen(function*() {
  const latencies: Array<number> = []
  let started = 0
  yield* CommittedConsumer.batches(Input).pipe(
    transactionally((batch) => {
      const from = performance.now()
      if (started === 0) started = from
      return Effect.as(
        Transaction.emit(Output, batch.records.map(({ key, value }) => ({ key, value: upper(value) }))),
        from
      )
    }),
    Stream.takeUntil((from) => {
      const now = performance.now()
      latencies.push(now - from)
      return now - started >= durationMs
    }),
    Stream.runDrain,
    Effect.provide(consumeProcess(1))
  )
  answerLatencies(latencies, performance.now() - started)
})

const produce = Effect.gen(function*() {
  const producer = yield* IdempotentProducer.IdempotentProducer
  const perSend = 2000
  const started = performance.now()
  yield* Stream.range(0, Math.ceil(records / perSend) - 1).pipe(
    Stream.mapEffect((piece) => {
      const from = piece * perSend
      const size = Math.min(perSend, records - from)
      return producer.send(
        Output,
        Array.from({ length: size }, (_, i) => ({ key: producedKey(from + i), value: producedValue(from + i) }))
      )
    }, { concurrency: 3 }),
    Stream.runDrain
  )
  answer({ records, elapsed_ms: Math.round(performance.now() - started) })
}).pipe(Effect.provide(IdempotentProducer.layer().pipe(Layer.provide(driver))))

const work: Effect.Effect<void, unknown> = mode === "produce" ? produce : mode === "txn" ? transactions : copy

await Effect.runPromise(Effect.provideService(work, References.MinimumLogLevel, "Error"))
