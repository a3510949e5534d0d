/**
 * InitProducerId: v0-5
 *
 * Behaviour
 * - Without a transactional id: a new producer id, epoch 0; what else the request says is ignored.
 * - With one: fences whoever holds it. While a transaction of it is open, aborts that and answers 51 until it is over.
 *
 * Versions
 * - v3 a producer that recovers names its id and epoch (KIP-360); v4 says 90 where older ones say 47.
 */
import { Apis } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { fencedError } from "./fencing.ts"
import { serve } from "./Served.ts"

const none = (errorCode: number) => ({ errorCode, producerId: -1n, producerEpoch: -1 })

export const InitProducerId = serve(Apis.InitProducerId, {
  handle: (request, context, reply) => {
    const { cluster } = context
    const { producerEpoch, transactionalId } = request
    const producerId = Number(request.producerId)
    if ((producerId < 0) !== (producerEpoch < 0)) return reply(none(Code.INVALID_REQUEST))
    if (transactionalId === null) {
      return reply({ errorCode: Code.NONE, producerId: BigInt(cluster.newProducerId()), producerEpoch: 0 })
    }
    const misplaced = cluster.transactionError(transactionalId, context.node.id)
    if (transactionalId !== "" && misplaced !== Code.NONE) return reply(none(misplaced))
    const expected = producerId < 0 ? undefined : { producerId, epoch: producerEpoch }
    const outcome = cluster.settle(
      cluster.transactions.init(transactionalId, request.transactionTimeoutMs, expected, cluster.transactionTime())
    )
    if (outcome.error !== Code.NONE) return reply(none(fencedError(outcome.error, context.version >= 4)))
    reply({ errorCode: Code.NONE, producerId: BigInt(outcome.producerId), producerEpoch: outcome.epoch })
  },
  refuse: (_request, error) => none(error)
})
