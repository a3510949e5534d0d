/**
 * Offsets are 64 bits wide on the wire, so they are `bigint` here; the brand keeps them apart from timestamps and counts.
 */
import * as Brand from "effect/Brand"
import * as Schema from "effect/Schema"

/** A position in a partition's log: the offset of a record, or of the next record to read. Never negative. */
export const Offset = Schema.BigInt.pipe(
  Schema.check(Schema.isGreaterThanOrEqualToBigInt(0n)),
  Schema.brand("Offset")
)

/** A position in a partition's log: the offset of a record, or of the next record to read. Never negative. */
export type Offset = typeof Offset.Type

/** Brands a value that a broker sent, without a check: for hot paths. */
export const offsetUnsafe = Brand.nominal<Offset>()
