import { describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, Option, Schema, Stream } from "effect"
import {
  type Batch,
  CommittedConsumer,
  type Headers,
  IdempotentProducer,
  type KafkaError,
  type Offset,
  Topic,
  Transaction,
  transactionally,
  type TransactionalSession,
  type TransactionError,
  type TransactionFailure,
  withTransaction
} from "../../src/index.ts"

const Order = Schema.Struct({ amount: Schema.Number })
const Orders = Topic.json("orders", { key: Schema.String, value: Order })
const Clicks = Topic.json("clicks", { key: Schema.NullOr(Schema.String), value: Schema.NullOr(Schema.Date) })
const Raw = Topic.bytes("raw")
const Copies = Topic.string("copies")

class Pricing extends Context.Service<Pricing, { readonly price: (amount: number) => string }>()("Pricing") {}
class TooDear extends Schema.TaggedError<TooDear>()("TooDear", { amount: Schema.Number }) {}

type Success<S> = S extends Stream.Stream<infer A, infer _E, infer _R> ? A : never
type Failure<S> = S extends Stream.Stream<infer _A, infer E, infer _R> ? E : never
type Needs<S> = S extends Stream.Stream<infer _A, infer _E, infer R> ? R : never

type Session = TransactionalSession.TransactionalSession
type Consumer = CommittedConsumer.CommittedConsumer

describe("types that the compiler infers", () => {
  it("a topic's records have its name, its key and its value", () => {
    const stream = CommittedConsumer.batches(Orders)
    expectTypeOf<Success<typeof stream>>().toEqualTypeOf<
      Batch.Batch<Topic.InRecord<"orders", string, { readonly amount: number }>>
    >()
    expectTypeOf<Needs<typeof stream>>().toEqualTypeOf<Consumer>()
    expectTypeOf<Failure<typeof stream>>().toEqualTypeOf<
      | KafkaError.KafkaError
      | KafkaError.CorruptRecord
      | KafkaError.DecodeError
      | KafkaError.OffsetOutOfRange
      | TransactionError.ReplicaClash
    >()
    const bytes = CommittedConsumer.batches(Raw)
    expectTypeOf<Success<typeof bytes>["records"][number]["value"]>().toEqualTypeOf<Uint8Array | null>()
    expectTypeOf<Success<typeof bytes>["records"][number]["offset"]>().toEqualTypeOf<Offset.Offset>()
    expectTypeOf<Success<typeof bytes>["records"][number]["headers"]>().toEqualTypeOf<Headers.Headers>()
  })

  it("records of several topics are told apart by `topic`", () => {
    const stream = CommittedConsumer.batches([Orders, Clicks, Raw])
    type Read = Success<typeof stream>["records"][number]
    expectTypeOf<Read["topic"]>().toEqualTypeOf<"orders" | "clicks" | "raw">()
    const dispatch = (record: Read) => {
      switch (record.topic) {
        case "orders":
          expectTypeOf(record.value).toEqualTypeOf<{ readonly amount: number }>()
          return record.key.length + record.value.amount
        case "clicks":
          expectTypeOf(record.key).toEqualTypeOf<string | null>()
          expectTypeOf(record.value).toEqualTypeOf<Date | null>()
          return record.value?.getTime()
        case "raw":
          expectTypeOf(record.value).toEqualTypeOf<Uint8Array | null>()
          return record.value?.byteLength
      }
    }
    expectTypeOf(dispatch).returns.toEqualTypeOf<number | undefined>()
  })

  it("a pipeline has its body's result, errors and services; the transaction is provided", () => {
    const piped = CommittedConsumer.batches([Orders, Clicks]).pipe(
      transactionally((batch) =>
        Effect.gen(function*() {
          expectTypeOf(batch.records[0]?.topic).toEqualTypeOf<"orders" | "clicks" | undefined>()
          const { price } = yield* Pricing
          for (const record of batch.records) {
            if (record.topic === "orders" && record.value.amount > 9) {
              return yield* new TooDear({ amount: record.value.amount })
            }
          }
          yield* Transaction.emit(Copies, batch.records.map(({ topic }) => ({ key: topic, value: price(1) })))
          return Option.some(batch.records.length)
        })
      )
    )
    expectTypeOf<Success<typeof piped>>().toEqualTypeOf<Option.Option<number>>()
    expectTypeOf<Needs<typeof piped>>().toEqualTypeOf<Pricing | Session | Consumer>()
    expectTypeOf<Failure<typeof piped>>().toEqualTypeOf<
      CommittedConsumer.ConsumeError | Transaction.EmitError | TransactionFailure | TooDear
    >()

    const dataFirst = transactionally(
      CommittedConsumer.batches(Orders),
      (batch) => Effect.succeed(batch.records.map(({ value }) => value.amount))
    )
    expectTypeOf<Success<typeof dataFirst>>().toEqualTypeOf<Array<number>>()
    expectTypeOf<Failure<typeof dataFirst>>().toEqualTypeOf<CommittedConsumer.ConsumeError | TransactionFailure>()
  })

  it("one effect in a transaction keeps its result, errors and services", () => {
    const effect = withTransaction(Effect.gen(function*() {
      const { price } = yield* Pricing
      yield* Transaction.emit(Copies, [{ key: "k", value: price(1) }])
      return yield* Transaction.remaining
    }))
    expectTypeOf<Effect.Services<typeof effect>>().toEqualTypeOf<Pricing | Session>()
    expectTypeOf<Effect.Error<typeof effect>>().toEqualTypeOf<Transaction.EmitError | TransactionFailure>()
  })

  it("every failure of a pipeline can be handled by its tag, and then none is left", () => {
    const stop = () => Effect.void
    const handled = CommittedConsumer.batches(Orders).pipe(
      transactionally((batch) => Transaction.emit(Copies, batch.records.map(({ key }) => ({ key, value: "v" })))),
      Stream.runDrain,
      Effect.catchTags({
        ProducerFenced: stop,
        TransactionTimedOut: stop,
        TransactionAborted: stop,
        CommitOutcomeUnknown: stop,
        ReplicaClash: stop,
        TransactionMisuse: stop,
        KafkaUnavailable: stop,
        Unauthorized: stop,
        Misconfigured: stop,
        KafkaFailure: stop,
        CorruptRecord: stop,
        DecodeError: stop,
        EncodeError: stop,
        InvalidRecord: stop,
        OffsetOutOfRange: stop
      })
    )
    expectTypeOf<Effect.Error<typeof handled>>().toEqualTypeOf<never>()
  })

  it("a record's types come from its topic, not from what is given", () => {
    const refused = () => [
      // @ts-expect-error the topic's keys are never null
      Transaction.emit(Orders, [{ key: null, value: { amount: 1 } }]),
      // @ts-expect-error the topic's values are numbers
      Transaction.emit(Orders, [{ key: "k", value: { amount: "1" } }]),
      // @ts-expect-error a record has a key, if only null
      IdempotentProducer.send(Clicks, [{ value: null }]),
      // @ts-expect-error a batch is read, not made
      Transaction.consumed({ records: [], partitions: [] })
    ]
    expectTypeOf(refused).toBeFunction()
    const tombstone = IdempotentProducer.send(Clicks, [{ key: null, value: null }])
    expectTypeOf<Effect.Success<typeof tombstone>>().toEqualTypeOf<ReadonlyArray<IdempotentProducer.Written>>()
  })
})
