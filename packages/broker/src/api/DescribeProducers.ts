/**
 * DescribeProducers: v0
 *
 * Behaviour
 * - What the leader of a partition remembers of each producer (KIP-664): epoch, last sequence, the start of an open transaction.
 */
import { Apis } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { ProducerStates } from "../log/ProducerStates.ts"
import { serve } from "./Served.ts"

export const DescribeProducers = serve(Apis.DescribeProducers, {
  handle: (request, context, reply) => {
    const describe = (topic: string, partitionIndex: number) => {
      const partition = context.cluster.topics.partition(topic, partitionIndex)
      if (partition === undefined) {
        return { partitionIndex, errorCode: Code.UNKNOWN_TOPIC_OR_PARTITION, activeProducers: [] }
      }
      if (partition.leader !== context.node.id) {
        return { partitionIndex, errorCode: Code.NOT_LEADER_OR_FOLLOWER, activeProducers: [] }
      }
      const activeProducers = Array.from(partition.log.producers.values(), (entry) => ({
        producerId: BigInt(entry.producerId),
        producerEpoch: entry.epoch,
        lastSequence: ProducerStates.lastSequenceOf(entry),
        lastTimestamp: BigInt(entry.lastTimestamp),
        coordinatorEpoch: entry.coordinatorEpoch,
        currentTxnStartOffset: BigInt(entry.transactionStart)
      }))
      return { partitionIndex, errorCode: Code.NONE, activeProducers }
    }
    reply({
      throttleTimeMs: 0,
      topics: request.topics.map(({ name, partitionIndexes }) => ({
        name,
        partitions: partitionIndexes.map((index) => describe(name, index))
      }))
    })
  },
  refuse: (request, errorCode) => ({
    throttleTimeMs: 0,
    topics: request.topics.map(({ name, partitionIndexes }) => ({
      name,
      partitions: partitionIndexes.map((partitionIndex) => ({ partitionIndex, errorCode, activeProducers: [] }))
    }))
  })
})
