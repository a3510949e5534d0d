/** What the coordinator knows of one transactional id. */

/** The states of KIP-98 under the names that DescribeTransactions prints. */
export type TransactionState =
  | "Empty"
  | "Ongoing"
  | "PrepareCommit"
  | "PrepareAbort"
  | "CompleteCommit"
  | "CompleteAbort"
  | "Dead"

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

export const NO_PRODUCER_ID = -1
export const NO_EPOCH = -1
/** The last epoch a client gets to see. One above is kept free, so that the coordinator can always fence. */
const LAST_EPOCH = 32_766

export interface Transaction {
  readonly transactionalId: string
  producerId: number
  /** The producer id before the latest change of state: a client that lost the answer to a change of ids still knows this one. */
  previousProducerId: number
  /** The id that takes over when this transaction is complete, because its epochs are used up; -1 otherwise. */
  nextProducerId: number
  epoch: number
  /** The epoch before the latest bump, if the client that caused the bump may ask again; -1 when nobody may. */
  lastEpoch: number
  timeoutMs: number
  state: TransactionState
  readonly partitions: Map<string, TopicPartition>
  /** When the open transaction began; -1 before the first. */
  startedAt: number
  updatedAt: number
}

/** The key of a partition in a transaction. */
export const keyOf = (topic: string, partition: number): string => `${topic}-${partition}`

export const isPreparing = (state: TransactionState): boolean => state === "PrepareCommit" || state === "PrepareAbort"

export const isEpochExhausted = (epoch: number): boolean => epoch >= LAST_EPOCH

/** Markers to write into every partition of a transaction; afterwards `TransactionCoordinator.complete` ends it. */
export interface Completion {
  readonly transactionalId: string
  readonly commit: boolean
  readonly producerId: number
  /** The epoch the markers carry: the producer's own (v1), or the one that the end of the transaction bumped to (v2). */
  readonly producerEpoch: number
  readonly partitions: ReadonlyArray<TopicPartition>
}
