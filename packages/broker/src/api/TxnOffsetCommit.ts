/**
 * TxnOffsetCommit: v0-5
 *
 * Behaviour
 * - The transaction is verified like a batch into the group's partition of the offsets topic, then the group checks member and generation,
 *   then the offsets are pending until the transaction's marker.
 *
 * Versions
 * - v3 carries member and generation (KIP-447), v4 knows 120, v5 adds the offsets partition to the transaction by itself.
 */
import { Apis, type TxnOffsetCommitRequest, type TxnOffsetCommitResponse } from "@exactly-once/protocol"
import { OFFSETS_TOPIC } from "../cluster/Topic.ts"
import * as Code from "../errorCodes.ts"
import { callerOf } from "./groups.ts"
import { type RequestContext, serve } from "./Served.ts"
import { verify } from "./verification.ts"

type Request = TxnOffsetCommitRequest.TxnOffsetCommitRequest
type Response = TxnOffsetCommitResponse.TxnOffsetCommitResponseInput

const refusal = (request: Request, errorCode: number): Response => ({
  throttleTimeMs: 0,
  topics: request.topics.map(({ name, partitions }) => ({
    name,
    partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode }))
  }))
})

/** The transaction's side of it, before the group is asked. */
const admit = (request: Request, context: RequestContext): number => {
  const { cluster, version } = context
  const index = cluster.groupPartition(request.groupId)
  const partition = cluster.topics.partition(OFFSETS_TOPIC, index)
  if (partition === undefined) return Code.NOT_COORDINATOR
  const producerId = Number(request.producerId)
  const { producers } = partition.log
  if (producers.hasOpenTransaction(producerId, request.producerEpoch)) return Code.NONE
  if (producers.isFenced(producerId, request.producerEpoch)) return Code.INVALID_PRODUCER_EPOCH
  const producer = { transactionalId: request.transactionalId, producerId, epoch: request.producerEpoch }
  const support = version >= 5 ? "Adds" : version === 4 ? "Abortable" : "InvalidState"
  const { error } = verify(cluster, producer, { topic: OFFSETS_TOPIC, partition: index }, support)
  // What a produce of an older version reports as 19, an offset commit of any version knows by its name.
  if (error === Code.NOT_ENOUGH_REPLICAS) {
    return cluster.hasTransactionCoordinator() ? Code.CONCURRENT_TRANSACTIONS : Code.COORDINATOR_NOT_AVAILABLE
  }
  return error
}

export const TxnOffsetCommit = serve(Apis.TxnOffsetCommit, {
  handle: (request, context, reply) => {
    const { cluster } = context
    const misplaced = cluster.groupError(request.groupId, context.node.id)
    const error = misplaced === Code.NONE ? admit(request, context) : misplaced
    if (error !== Code.NONE) return reply(refusal(request, error))
    cluster.group<Response>(
      (ticket, now) => cluster.groups.txnOffsetCommit(request, callerOf(context), ticket, now),
      (response) => {
        const stored = response.topics.some(({ partitions }) => partitions.some((it) => it.errorCode === Code.NONE))
        if (stored) {
          const partition = cluster.topics.partition(OFFSETS_TOPIC, cluster.groupPartition(request.groupId))
          const producer = { id: Number(request.producerId), epoch: request.producerEpoch }
          partition?.log.appendUnread(producer, cluster.now())
        }
        reply(response)
      }
    )
  },
  refuse: refusal
})
