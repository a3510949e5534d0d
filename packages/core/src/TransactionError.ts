/**
 * What can become of a transaction, as errors. Each says what happened, why, and the one thing a caller can do.
 */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

/**
 * Another owner took the work: its InitProducerId raised the epoch, and every request of ours is refused (codes 47, 90).
 * Nothing of the transaction is visible. **Do not retry: stop this pipeline**; the owner has the records.
 * `by`: a newer process under the same replica name, another member of the group that was given the partition, or
 * unknown where the protocol does not tell.
 */
export class ProducerFenced extends Schema.TaggedError<ProducerFenced>()("ProducerFenced", {
  transactionalId: Schema.String,
  by: Schema.Literals(["NewerInstance", "GroupMember", "Unknown"]),
  description: Schema.String
}) {
  override get message() {
    return `${this.transactionalId} was fenced (${this.by}): ${this.description}. Stop; another owner has the records`
  }
}

/**
 * The transaction took longer than its budget and was aborted. **External effects of the body may have happened.**
 * `enforcedBy: "Session"`: our own deadline, before the broker's, so that the abort is clean and the records are read
 * again. `"Coordinator"`: transaction.timeout.ms passed first (a frozen process, a budget that was not kept); seen as code
 * 47, 48 or 90 once that much time has passed (KIP-588, KIP-890). Make the body faster or its batches smaller, or give
 * it a longer `transactionTimeout`.
 */
export class TransactionTimedOut extends Schema.TaggedError<TransactionTimedOut>()("TransactionTimedOut", {
  transactionalId: Schema.String,
  phase: Schema.Literals(["Body", "Send", "Offsets", "Commit"]),
  enforcedBy: Schema.Literals(["Session", "Coordinator"]),
  budget: Schema.Duration,
  elapsed: Schema.Duration
}) {
  override get message() {
    return `the transaction of ${this.transactionalId} was aborted by the ${this.enforcedBy.toLowerCase()} in phase ${this.phase} after ` +
      `${Duration.toMillis(this.elapsed)} ms (budget ${
        Duration.toMillis(this.budget)
      } ms). External effects of its body may have happened`
  }
}

/** Why a transaction was aborted. */
export const AbortReason = Schema.Literals([
  "SendFailed",
  "OffsetsFailed",
  "CommitRefused",
  "Rebalanced",
  "BodyFailed",
  "Interrupted",
  "PredecessorAborted",
  "Unavailable"
])
export type AbortReason = typeof AbortReason.Type

/**
 * Aborted: nothing of it is visible to a read_committed consumer, no offset moved. **May be retried**; inside
 * `transactionally` the batch was rewound and is delivered again unless this error is raised.
 */
export class TransactionAborted extends Schema.TaggedError<TransactionAborted>()("TransactionAborted", {
  transactionalId: Schema.String,
  reason: AbortReason,
  /** Kafka's error code, where a broker gave one. */
  code: Schema.optionalKey(Schema.Int),
  description: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message() {
    return `the transaction of ${this.transactionalId} was aborted (${this.reason}): ${this.description}`
  }
}

/**
 * EndTxn was sent, no answer came, and within the budget neither a repeat nor the token in the committed offsets could
 * tell whether it committed. The consumer has not moved. **Restart the pipeline**: it starts from the committed offset,
 * which is right either way.
 */
export class CommitOutcomeUnknown extends Schema.TaggedError<CommitOutcomeUnknown>()("CommitOutcomeUnknown", {
  transactionalId: Schema.String,
  elapsed: Schema.Duration,
  description: Schema.String
}) {
  override get message() {
    return `whether the transaction of ${this.transactionalId} committed is unknown after ` +
      `${Duration.toMillis(this.elapsed)} ms: ${this.description}. Restart; work resumes from the committed offset`
  }
}

/** The four ends of a transaction that are not a commit. */
export type TransactionError = ProducerFenced | TransactionTimedOut | TransactionAborted | CommitOutcomeUnknown

const tags: ReadonlySet<string> = new Set([
  "ProducerFenced",
  "TransactionTimedOut",
  "TransactionAborted",
  "CommitOutcomeUnknown"
])

export const isTransactionError = (u: unknown): u is TransactionError =>
  Predicate.hasProperty(u, "_tag") && typeof u._tag === "string" && tags.has(u._tag)

/**
 * A newer live process runs under this one's replica name: a copied configuration, or this process was frozen and
 * replaced. **Stop for good**; a supervisor must not restart it. The newer process carries on. Give every replica a
 * name of its own (a StatefulSet's ordinal, not a Deployment's image).
 */
export class ReplicaClash extends Schema.TaggedError<ReplicaClash>()("ReplicaClash", {
  replica: Schema.String,
  incarnation: Schema.BigInt,
  newer: Schema.BigInt
}) {
  override get message() {
    return `a newer process (incarnation ${this.newer}) runs as replica "${this.replica}"; this one (${this.incarnation}) stops. ` +
      `Give every replica its own name`
  }
}

/**
 * The program used a transaction in a way that types cannot forbid. The transaction aborts.
 * - `TokenSpent`: a batch was enlisted a second time.
 * - `Nested`: a transaction inside another one's body, hidden behind `Effect.provide`.
 * - `Ended`: an emit from a fiber that outlived its body.
 * - `ForeignBatch`: a batch of a consumer that was started without this session, or of a second consumer.
 * - `SecondPartition`: with `fencing: "partition"` a transaction holds one input partition; else the partitions of one lane.
 * - `ConsumedAfterEmit`: with `fencing: "partition"` a batch is enlisted before records went out.
 */
export class TransactionMisuse extends Schema.TaggedError<TransactionMisuse>()("TransactionMisuse", {
  reason: Schema.Literals(["TokenSpent", "Nested", "Ended", "ForeignBatch", "SecondPartition", "ConsumedAfterEmit"]),
  description: Schema.String
}) {
  override get message() {
    return `${this.reason}: ${this.description}`
  }
}
