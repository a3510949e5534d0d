/**
 * Kafka in the process: an embedded broker with transactions, for tests and for trying things out.
 *
 * Start with `Broker.layer`. Everything else exported here is a type of its options or of what it tells.
 */
export {
  Broker,
  type BrokerOptions,
  type BrokerShape,
  BrokerStartError,
  type InjectedFault,
  UnknownPartition
} from "./Broker.ts"
export type { ClusterSnapshot } from "./cluster/Cluster.ts"
export type { ClusterOptions, Environment, TimeScope, TopicOptions } from "./cluster/Options.ts"
export type { FaultAction, FaultRule, Step } from "./fault/Faults.ts"
export type { CommittedOffset, GroupOptions } from "./group/GroupCoordinator.ts"
export type { LogBatch, LogRecord, PartitionState, TransactionView } from "./introspection.ts"
export type { RuntimeOptions } from "./Runtime.ts"
export type { Mechanism, SaslOptions } from "./security/Credentials.ts"
export type { TransactionState } from "./transaction/Transaction.ts"
export type { Channel, ChannelHandlers } from "./wire/InProcess.ts"
export type { TlsOptions } from "./wire/Listener.ts"
