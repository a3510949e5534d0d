/**
 * A batch's offsets, as an opaque token: only a transaction can spend it, once.
 */
import type { FetchedBatch } from "../Driver.ts"
import type { Offset } from "../Offset.ts"
import type { ConsumerRuntime } from "./consumerRuntime.ts"

/** Not exported by the package: a batch cannot be forged. */
export const TokenKey: unique symbol = Symbol.for("@exactly-once/core/Batch/token")

/** One partition's share of a batch. */
export interface Share {
  readonly fetched: FetchedBatch
  /** Where the partition stood before the batch: what a clean abort rewinds to. */
  readonly start: Offset
  /** Ownership of the partition at delivery; another number means that it was given away, or rewound, since (R1, R5). */
  readonly ownership: number
}

export interface Token {
  readonly runtime: ConsumerRuntime
  readonly shares: ReadonlyArray<Share>
  spent: boolean
}
