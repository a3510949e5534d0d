/**
 * EndTxn: v0-5
 *
 * Behaviour
 * - Answered when the decision is made; the markers follow. Asked again meanwhile it is 51, afterwards the same answer as before.
 *
 * Versions
 * - v2 says 90 where older ones say 47. v5 (KIP-890) answers the producer's next epoch, which every end of a transaction moves to; an abort
 *   of nothing is then allowed, and a request one epoch behind is a repeated one: 0 if the transaction ended that way, else 48.
 */
import { Apis } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { fencedError } from "./fencing.ts"
import { serve } from "./Served.ts"

export const EndTxn = serve(Apis.EndTxn, {
  handle: (request, context, reply) => {
    const { cluster, version } = context
    const { committed, transactionalId } = request
    const misplaced = cluster.transactionError(transactionalId, context.node.id)
    if (transactionalId !== "" && misplaced !== Code.NONE) return reply({ throttleTimeMs: 0, errorCode: misplaced })
    const producer = { transactionalId, producerId: Number(request.producerId), epoch: request.producerEpoch }
    const bumps = version >= 5
    const outcome = cluster.settle(cluster.transactions.end(producer, committed, bumps, cluster.transactionTime()))
    if (outcome.error !== Code.NONE) {
      return reply({ throttleTimeMs: 0, errorCode: fencedError(outcome.error, version >= 2) })
    }
    reply(
      bumps
        ? {
          throttleTimeMs: 0,
          errorCode: Code.NONE,
          producerId: BigInt(outcome.producerId),
          producerEpoch: outcome.epoch
        }
        : { throttleTimeMs: 0, errorCode: Code.NONE }
    )
  },
  refuse: (_request, errorCode) => ({ throttleTimeMs: 0, errorCode })
})
