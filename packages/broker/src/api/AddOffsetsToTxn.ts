/**
 * AddOffsetsToTxn: v0-4
 *
 * Behaviour
 * - Adds the partition of the offsets topic in which the group's offsets live, as AddPartitionsToTxn would.
 *
 * Versions
 * - v2 says 90 where older ones say 47.
 */
import { Apis } from "@exactly-once/protocol"
import { OFFSETS_TOPIC } from "../cluster/Topic.ts"
import * as Code from "../errorCodes.ts"
import { fencedError } from "./fencing.ts"
import { serve } from "./Served.ts"

export const AddOffsetsToTxn = serve(Apis.AddOffsetsToTxn, {
  handle: (request, context, reply) => {
    const { cluster } = context
    const { groupId, transactionalId } = request
    const misplaced = cluster.transactionError(transactionalId, context.node.id)
    if (transactionalId !== "" && misplaced !== Code.NONE) return reply({ throttleTimeMs: 0, errorCode: misplaced })
    const producer = { transactionalId, producerId: Number(request.producerId), epoch: request.producerEpoch }
    const at = { topic: OFFSETS_TOPIC, partition: cluster.groupPartition(groupId) }
    const error = cluster.transactions.add(producer, [at], cluster.transactionTime())
    cluster.arm()
    reply({ throttleTimeMs: 0, errorCode: fencedError(error, context.version >= 2) })
  },
  refuse: (_request, errorCode) => ({ throttleTimeMs: 0, errorCode })
})
