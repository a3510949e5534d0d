/**
 * Records read together, with their offsets as an opaque token that only a transaction can commit.
 */
import * as Predicate from "effect/Predicate"
import { type Token, TokenKey } from "./internal/batch.ts"
import type { TopicPartition } from "./TopicPartition.ts"

export interface Batch<out A> {
  /** In offset order inside each partition. Never empty. */
  readonly records: ReadonlyArray<A>
  readonly partitions: ReadonlyArray<TopicPartition>
  readonly [TokenKey]: Token
}

export const isBatch = (u: unknown): u is Batch<unknown> => Predicate.hasProperty(u, TokenKey)
