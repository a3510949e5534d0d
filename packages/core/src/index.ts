/**
 * Exactly-once Kafka pipelines for Effect: an idempotent producer, a transactional session and a committed consumer, and
 * the bracket that joins them.
 */
export * as Batch from "./Batch.ts"
export * as CommittedConsumer from "./CommittedConsumer.ts"
export * as Driver from "./Driver.ts"
export * as ErrorCode from "./ErrorCode.ts"
export * as Headers from "./Headers.ts"
export * as IdempotentProducer from "./IdempotentProducer.ts"
export * as KafkaError from "./KafkaError.ts"
export * as Offset from "./Offset.ts"
export type * as Outcome from "./Outcome.ts"
export * as Positions from "./Positions.ts"
export * as Serde from "./Serde.ts"
export * as Topic from "./Topic.ts"
export * as TopicPartition from "./TopicPartition.ts"
export * as Transaction from "./Transaction.ts"
export {
  type Check,
  type ExternalServices,
  transactionally,
  type TransactionFailure,
  withTransaction
} from "./Transactionally.ts"
export * as TransactionalSession from "./TransactionalSession.ts"
export * as TransactionError from "./TransactionError.ts"
