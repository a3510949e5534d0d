/**
 * AddPartitionsToTxn: v0-5
 *
 * Behaviour
 * - Begins the transaction, or widens it. If one partition of the request cannot be added, none is: 3 for one that does not exist, 29 for
 *   an internal topic, 55 for the others.
 *
 * Versions
 * - v2 says 90 where older ones say 47; v4-5 carry several transactions, and may only ask whether partitions were added. They are meant
 *   for brokers; some clients send them.
 */
import { type AddPartitionsToTxnRequest, Apis } from "@exactly-once/protocol"
import { isInternal } from "../cluster/Topic.ts"
import * as Code from "../errorCodes.ts"
import { fencedError } from "./fencing.ts"
import { type RequestContext, serve } from "./Served.ts"

type Topics = ReadonlyArray<AddPartitionsToTxnRequest.AddPartitionsToTxnTopic>

const results = (topics: Topics, errorOf: (topic: string, partition: number) => number) =>
  topics.map(({ name, partitions }) => ({
    name,
    resultsByPartition: partitions.map((partitionIndex) => ({
      partitionIndex,
      partitionErrorCode: errorOf(name, partitionIndex)
    }))
  }))

interface Asked {
  readonly transactionalId: string
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly verifyOnly: boolean
  readonly topics: Topics
}

const add = (asked: Asked, context: RequestContext) => {
  const { cluster } = context
  const { topics, transactionalId } = asked
  const misplaced = cluster.transactionError(transactionalId, context.node.id)
  if (transactionalId !== "" && misplaced !== Code.NONE) return results(topics, () => misplaced)
  const producer = { transactionalId, producerId: Number(asked.producerId), epoch: asked.producerEpoch }
  const errorOf = (topic: string, partition: number): number => {
    if (isInternal(topic)) return Code.TOPIC_AUTHORIZATION_FAILED
    return cluster.topics.partition(topic, partition) === undefined ? Code.UNKNOWN_TOPIC_OR_PARTITION : Code.NONE
  }
  if (topics.some(({ name, partitions }) => partitions.some((partition) => errorOf(name, partition) !== Code.NONE))) {
    return results(topics, (topic, partition) => errorOf(topic, partition) || Code.OPERATION_NOT_ATTEMPTED)
  }
  if (asked.verifyOnly) {
    return results(topics, (topic, partition) => cluster.transactions.verify(producer, { topic, partition }))
  }
  const partitions = topics.flatMap(({ name, partitions }) =>
    partitions.map((partition) => ({ topic: name, partition }))
  )
  const error = fencedError(
    cluster.transactions.add(producer, partitions, cluster.transactionTime()),
    context.version >= 2
  )
  cluster.arm()
  return results(topics, () => error)
}

export const AddPartitionsToTxn = serve(Apis.AddPartitionsToTxn, {
  handle: (request, context, reply) => {
    if (context.version >= 4) {
      const resultsByTransaction = request.transactions.map((transaction) => ({
        transactionalId: transaction.transactionalId,
        topicResults: add(transaction, context)
      }))
      return reply({ throttleTimeMs: 0, resultsByTransaction })
    }
    const asked: Asked = {
      transactionalId: request.v3AndBelowTransactionalId,
      producerId: request.v3AndBelowProducerId,
      producerEpoch: request.v3AndBelowProducerEpoch,
      verifyOnly: false,
      topics: request.v3AndBelowTopics
    }
    reply({ throttleTimeMs: 0, resultsByTopicV3AndBelow: add(asked, context) })
  },
  refuse: (request, error, context) =>
    context.version >= 4
      ? { throttleTimeMs: 0, errorCode: error }
      : { throttleTimeMs: 0, resultsByTopicV3AndBelow: results(request.v3AndBelowTopics, () => error) }
})
