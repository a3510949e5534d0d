/** How the leader of a partition reports what the transaction coordinator said about a batch or an offset commit (KIP-890). */
import type { Cluster } from "../cluster/Cluster.ts"
import * as Code from "../errorCodes.ts"
import type { TopicPartition } from "../transaction/Transaction.ts"
import type { Producer } from "../transaction/TransactionCoordinator.ts"

/** What the version of the request makes of it: older clients know fewer errors, newer ones have the partition added at once. */
export type Support = "InvalidState" | "Abortable" | "Adds"

export interface Verified {
  readonly error: number
  readonly message: string | null
}

const UNVERIFIED = "Unable to verify the partition has been added to the transaction."

const report = (error: number, support: Support): Verified => {
  switch (error) {
    case Code.TRANSACTION_ABORTABLE:
      return {
        error: support === "InvalidState" ? Code.INVALID_TXN_STATE : error,
        message: "The partition was not added to the transaction"
      }
    case Code.PRODUCER_FENCED:
      return { error: Code.INVALID_PRODUCER_EPOCH, message: null }
    case Code.CONCURRENT_TRANSACTIONS:
      return support === "Adds"
        ? { error, message: null }
        : { error: Code.NOT_ENOUGH_REPLICAS, message: `${UNVERIFIED} The previous transaction is being ended` }
    case Code.NOT_COORDINATOR:
      return { error: Code.NOT_ENOUGH_REPLICAS, message: `${UNVERIFIED} There is no coordinator yet` }
    default:
      return { error, message: null }
  }
}

/** Asks the coordinator whether `partition` is part of the transaction, or has it added. */
export const verify = (
  cluster: Cluster,
  producer: Producer,
  partition: TopicPartition,
  support: Support
): Verified => {
  if (!cluster.hasTransactionCoordinator()) return report(Code.NOT_COORDINATOR, support)
  if (support !== "Adds") return report(cluster.transactions.verify(producer, partition), support)
  const error = cluster.transactions.add(producer, [partition], cluster.transactionTime())
  cluster.arm()
  return report(error, support)
}
