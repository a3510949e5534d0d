/**
 * DescribeTransactions: v0
 *
 * Behaviour
 * - State, producer, timeout, start and partitions of each id asked for (KIP-664); 105 for one that is not known.
 */
import { Apis } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { type RequestContext, serve } from "./Served.ts"

const failed = (transactionalId: string, errorCode: number) => ({
  errorCode,
  transactionalId,
  transactionState: "",
  transactionTimeoutMs: 0,
  transactionStartTimeMs: 0n,
  producerId: 0n,
  producerEpoch: 0,
  topics: []
})

const describe = (transactionalId: string, { cluster, node }: RequestContext) => {
  if (transactionalId === "") return failed(transactionalId, Code.INVALID_REQUEST)
  const misplaced = cluster.transactionError(transactionalId, node.id)
  if (misplaced !== Code.NONE) return failed(transactionalId, misplaced)
  const found = cluster.transactions.get(transactionalId)
  if (found === undefined) return failed(transactionalId, Code.TRANSACTIONAL_ID_NOT_FOUND)
  const topics = new Map<string, Array<number>>()
  for (const { partition, topic } of found.partitions.values()) {
    topics.set(topic, [...(topics.get(topic) ?? []), partition])
  }
  return {
    errorCode: Code.NONE,
    transactionalId,
    transactionState: found.state,
    transactionTimeoutMs: found.timeoutMs,
    transactionStartTimeMs: BigInt(found.startedAt),
    producerId: BigInt(found.producerId),
    producerEpoch: found.epoch,
    topics: Array.from(topics, ([topic, partitions]) => ({ topic, partitions }))
  }
}

export const DescribeTransactions = serve(Apis.DescribeTransactions, {
  handle: (request, context, reply) =>
    reply({ throttleTimeMs: 0, transactionStates: request.transactionalIds.map((id) => describe(id, context)) }),
  refuse: (request, error) => ({
    throttleTimeMs: 0,
    transactionStates: request.transactionalIds.map((id) => failed(id, error))
  })
})
