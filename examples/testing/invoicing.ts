/**
 * A pipeline as an application has it: it asks for its services and knows nothing of tests.
 */
import { CommittedConsumer, Topic, Transaction, transactionally } from "@exactly-once/core"
import { Effect, Schema } from "effect"

const Order = Schema.Struct({ id: Schema.String, cents: Schema.Int })
const Invoice = Schema.Struct({ order: Schema.String, cents: Schema.Int, taxCents: Schema.Int })

export const Orders = Topic.json("orders", { key: Schema.String, value: Order })
export const Invoices = Topic.json("invoices", { key: Schema.String, value: Invoice })

/** `taxOf` stands for whatever a body asks the world. */
export const invoicing = <E>(taxOf: (cents: number) => Effect.Effect<number, E>) =>
  CommittedConsumer.batches(Orders).pipe(
    transactionally((batch) =>
      Effect.gen(function*() {
        const invoices = yield* Effect.forEach(batch.records, ({ key, value }) =>
          Effect.map(taxOf(value.cents), (taxCents) => ({
            key,
            value: { order: value.id, cents: value.cents, taxCents }
          })))
        yield* Transaction.emit(Invoices, invoices)
      })
    )
  )
