/**
 * The port between `core` and a Kafka client. Bytes in, bytes out; schemas, budgets, ordering and the meaning of a
 * failure live in `core`, so that a driver stays small and every driver behaves alike.
 *
 * A driver promises:
 * - it never retries a request whose outcome is unknown, except where the protocol makes the repeat idempotent;
 * - every failure is a `DriverError` whose `failure` says what can be known, never less;
 * - it never commits an offset by itself and never moves a position by itself.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Headers } from "./Headers.ts"
import { toKafkaError as fromDriverError } from "./internal/failures.ts"
import type { KafkaError } from "./KafkaError.ts"
import type { Offset } from "./Offset.ts"
import type { TopicPartition } from "./TopicPartition.ts"

/**
 * What a failure means to its caller.
 * - `Retriable`: had no effect, may be asked again as it is.
 * - `Abortable`: the transaction cannot commit; after an abort it may be tried again.
 * - `Fenced`: another owner of the transactional.id, or the coordinator's own time-out, bumped the epoch (codes 47, 48,
 *   49, 90). The two cannot be told apart by the code alone.
 * - `Rebalanced`: the group does not know this member or generation any more (22, 25, 27, 82, 110, 113).
 * - `UnknownOutcome`: sent, not answered. It may or may not have taken effect.
 * - `Unavailable`: no broker answers, or no coordinator; had no effect.
 * - `Unauthorized`: refused by an ACL or by authentication.
 * - `InvalidRecord`: the broker or the client refused a record (too large, null where none may be, corrupt).
 * - `OffsetOutOfRange`: the position lies outside the log (code 1).
 * - `CorruptRecord`: bytes read do not match their checksum, or cannot be decompressed.
 * - `Misconfigured`: a setting that the cluster refuses (50 for a transaction timeout), a broker too old, a codec missing.
 * - `Fatal`: anything that no retry mends.
 */
export const FailureClass = Schema.Literals([
  "Retriable",
  "Abortable",
  "Fenced",
  "Rebalanced",
  "UnknownOutcome",
  "Unavailable",
  "Unauthorized",
  "InvalidRecord",
  "OffsetOutOfRange",
  "CorruptRecord",
  "Misconfigured",
  "Fatal"
])
export type FailureClass = typeof FailureClass.Type

/** A driver's only error. `description` says what happened and, where a person can mend it, what to do. */
export class DriverError extends Schema.TaggedError<DriverError>()("DriverError", {
  operation: Schema.String,
  failure: FailureClass,
  /** Kafka's error code where a broker answered with one. */
  code: Schema.optionalKey(Schema.Int),
  /** The setting that a person has to mend, as the user of the driver or of a layer knows it. */
  setting: Schema.optionalKey(Schema.String),
  /** The partition concerned, where there is one. */
  topic: Schema.optionalKey(Schema.String),
  partition: Schema.optionalKey(Schema.Int),
  offset: Schema.optionalKey(Schema.BigInt),
  description: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message() {
    return `${this.operation}: ${this.description}`
  }
}

/** For a driver's own layer: what went wrong before there was a driver, as the errors that programs handle. */
export const toKafkaError: (error: DriverError) => KafkaError = fromDriverError

/** Codecs by their names in Kafka's configuration. */
export type Compression = "none" | "gzip" | "snappy" | "lz4" | "zstd"

/** What a driver can do; `core` and the contract suite read it, and say which rules do not apply. */
export interface Capabilities {
  readonly name: string
  /** What a transactional.id is bound to: an input partition, or a member of the group (KIP-447). */
  readonly fencing: "partition" | "group"
  /** Transactions that may be open at once in one lane: 1, or 2 with alternating transactional ids. */
  readonly openTransactions: number
  /** Whether InitProducerId can carry its own producer id and epoch (KIP-360, version 3+). */
  readonly ownEpochInit: boolean
  /** Whether OffsetFetch can require stable offsets (KIP-447, version 7+). */
  readonly stableFetch: boolean
  /** Whether a rebalance waits until `onRevoking` has ended. */
  readonly holdsRevocation: boolean
  /** Whether KIP-890 transactions (version 2) are spoken when the cluster has finalized them. */
  readonly transactionsV2: boolean
  readonly compression: ReadonlyArray<Compression>
}

/** A record on its way out, encoded. Without `partition` the driver chooses: murmur2 of the key, sticky for a null key. */
export interface EncodedRecord {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers?: Headers | undefined
  /** Milliseconds since the epoch; the driver's clock when left out. */
  readonly timestamp?: bigint | undefined
  readonly partition?: number | undefined
}

/** A record as it was read. Byte arrays may be views over a fetch response: copy what outlives the batch. */
export interface FetchedRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: Offset
  readonly timestamp: bigint
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: Headers
}

/** Who delivered a batch: frozen at delivery, spent with the offsets (R1). */
export interface Delivery {
  readonly memberId: string
  /** The group's generation (classic) or the member epoch (KIP-848) at delivery. */
  readonly generation: number
  readonly groupInstanceId: string | null
}

/** Committed records of one partition, in offset order, without control records and aborted data. */
export interface FetchedBatch {
  readonly topic: string
  readonly partition: number
  readonly records: ReadonlyArray<FetchedRecord>
  /**
   * Where the batch handed out before it ended, or the position that was sought: batches join without a gap, so that one
   * fetched before a seek is known by its start (R5).
   */
  readonly startOffset: Offset
  /** Where the partition goes on: past the last record, and past the control and aborted records behind it (R2). */
  readonly nextOffset: Offset
  readonly delivery: Delivery
}

export interface ProducerIdentity {
  readonly producerId: bigint
  readonly epoch: number
}

/** Offsets to commit with a transaction. `metadata` carries the transaction's token (R4). */
export interface TransactionOffsets {
  readonly groupId: string
  /** `null`: a private group that nobody is a member of (a producer-only transaction's marker). */
  readonly delivery: Delivery | null
  readonly offsets: ReadonlyArray<TopicPartition & { readonly offset: Offset; readonly metadata: string }>
}

/**
 * One open transaction. Calls come one at a time. After any failure only `abort` may follow, and after that, or after a
 * failed or unanswered `commit`, `init` before the next `begin`.
 */
export interface TransactionHandle {
  /** Takes the records; answers when they are acknowledged or safely queued in order. A later `flush` tells. */
  readonly send: (topic: string, records: ReadonlyArray<EncodedRecord>) => Effect.Effect<void, DriverError>
  /** Every record sent so far is acknowledged. */
  readonly flush: Effect.Effect<void, DriverError>
  readonly sendOffsets: (offsets: TransactionOffsets) => Effect.Effect<void, DriverError>
  /** EndTxn(commit). `UnknownOutcome` when it was sent and not answered. */
  readonly commit: Effect.Effect<void, DriverError>
  /** EndTxn(abort). Harmless before anything was registered (R19). */
  readonly abort: Effect.Effect<void, DriverError>
}

/** The producer of one transactional.id. One owner, one transaction at a time. */
export interface TransactionalProducer {
  readonly transactionalId: string
  /**
   * InitProducerId: waits until the transaction that stands under the id has ended.
   * `Takeover` fences whoever holds the id; `Own` carries this producer's own id and epoch, so that a newer owner wins and
   * this call fails as `Fenced` (R9). A driver without `ownEpochInit` treats `Own` as `Takeover`; `core` then asks only
   * after it confirmed its assignment.
   */
  readonly init: (mode: "Takeover" | "Own") => Effect.Effect<ProducerIdentity, DriverError>
  readonly begin: Effect.Effect<TransactionHandle, DriverError>
}

/** The idempotent producer: no transaction. */
export interface IdempotentHandle {
  /**
   * Appends in order and answers with the offset of each record, in the order given. A failure is `UnknownOutcome` when
   * the records may have been written; the driver has then taken a new producer id, and what is sent next is not
   * compared with what was lost. An `InvalidRecord` without a code is the driver's own: nothing of the call was sent.
   */
  readonly send: (
    topic: string,
    records: ReadonlyArray<EncodedRecord>
  ) => Effect.Effect<ReadonlyArray<TopicPartition & { readonly offset: Offset }>, DriverError>
}

/** A member of the group as the coordinator knows it; `replica` and `incarnation` as its session announced them (R16). */
export interface GroupMember {
  readonly memberId: string
  readonly replica: string | undefined
  readonly incarnation: bigint | undefined
}

export interface ConsumerOptions {
  readonly groupId: string
  readonly topics: ReadonlyArray<string>
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly heartbeatIntervalMs: number
  readonly maxBytesPerPartition: number
  readonly maxWaitMs: number
  /** Unreleased batches that a partition may have out: 1, or more where transactions overlap. */
  readonly unreleasedPerPartition: number
  /** Announced to the group. Of two members of one replica the one with the lower incarnation is assigned nothing. */
  readonly member: { readonly replica: string; readonly incarnation: bigint } | undefined
  /** Awaited before the first fetch of these partitions; answers where each begins. A failure ends the consumer. */
  readonly onAssigned: (
    partitions: ReadonlyArray<TopicPartition>
  ) => Effect.Effect<ReadonlyArray<TopicPartition & { readonly offset: Offset }>, DriverError>
  /** Awaited, within the rebalance timeout, while the coordinator still counts these partitions as ours (R7). */
  readonly onRevoking: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void>
  /** The partitions are gone already: nothing waits, nothing is committed (R6). */
  readonly onLost: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void>
}

/** A member of a consumer group, reading committed records only. */
export interface GroupConsumer {
  /** Suspends until there is at least one batch. Every batch is given back with `release`. */
  readonly poll: Effect.Effect<ReadonlyArray<FetchedBatch>, DriverError>
  /** The batch is dealt with; its partition may be fetched again, from its position. */
  readonly release: (batch: FetchedBatch) => Effect.Effect<void>
  /** Moves the position and drops what was fetched ahead (R5). Nothing is committed. Ignored when not assigned. */
  readonly seek: (tp: TopicPartition, offset: Offset) => Effect.Effect<void>
  /** Asks the coordinator whether this member and generation still stand (a heartbeat). */
  readonly confirm: Effect.Effect<void, DriverError>
  readonly members: Effect.Effect<ReadonlyArray<GroupMember>, DriverError>
}

export interface CommittedOffset {
  readonly offset: Offset
  readonly metadata: string | null
}

export interface DriverAdmin {
  /** The number of partitions; code 3 when the topic does not exist. Never creates it. */
  readonly partitions: (topic: string) => Effect.Effect<number, DriverError>
  /** The group's committed offsets by `TopicPartition.format`; missing where none stands. `stable`: waits out pending ones. */
  readonly committed: (
    groupId: string,
    partitions: ReadonlyArray<TopicPartition>
  ) => Effect.Effect<ReadonlyMap<string, CommittedOffset>, DriverError>
  /** `earliest`: log start. `latest`: last stable offset. `end`: high watermark. By `TopicPartition.format`. */
  readonly offsets: (
    partitions: ReadonlyArray<TopicPartition>,
    at: "earliest" | "latest" | "end"
  ) => Effect.Effect<ReadonlyMap<string, Offset>, DriverError>
}

export interface TransactionalProducerOptions {
  readonly transactionalId: string
  readonly transactionTimeoutMs: number
  readonly compression: Compression
}

export interface IdempotentProducerOptions {
  readonly compression: Compression
  readonly deliveryTimeoutMs: number
}

/** A Kafka client behind the port. */
export class Driver extends Context.Service<Driver, {
  readonly capabilities: Capabilities
  /** Connects on first use. */
  readonly transactionalProducer: (
    options: TransactionalProducerOptions
  ) => Effect.Effect<TransactionalProducer, DriverError, Scope.Scope>
  readonly idempotentProducer: (
    options: IdempotentProducerOptions
  ) => Effect.Effect<IdempotentHandle, DriverError, Scope.Scope>
  /** Joins the group; leaves it when the scope closes. */
  readonly consumer: (options: ConsumerOptions) => Effect.Effect<GroupConsumer, DriverError, Scope.Scope>
  readonly admin: DriverAdmin
}>()("@exactly-once/core/Driver") {}
