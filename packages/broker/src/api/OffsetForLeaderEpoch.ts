/**
 * OffsetForLeaderEpoch: v2-4
 *
 * Behaviour
 * - Where a leader epoch ended in this log (KIP-320): how a consumer finds out that what it read was lost with a leader.
 */
import { Apis } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { leaderEpochError } from "./leaderEpoch.ts"
import { serve } from "./Served.ts"

export const OffsetForLeaderEpoch = serve(Apis.OffsetForLeaderEpoch, {
  handle: (request, { cluster, node }, reply) => {
    const find = (topic: string, index: number, current: number, epoch: number) => {
      const partition = cluster.topics.partition(topic, index)
      if (partition === undefined) return { errorCode: Code.UNKNOWN_TOPIC_OR_PARTITION, partition: index }
      if (partition.leader !== node.id) return { errorCode: Code.NOT_LEADER_OR_FOLLOWER, partition: index }
      const errorCode = leaderEpochError(partition, current)
      if (errorCode !== Code.NONE) return { errorCode, partition: index }
      const end = partition.log.endOffsetForEpoch(epoch, partition.leaderEpoch)
      return { errorCode, partition: index, leaderEpoch: end.epoch, endOffset: BigInt(end.endOffset) }
    }
    reply({
      topics: request.topics.map(({ partitions, topic }) => ({
        topic,
        partitions: partitions.map((it) => find(topic, it.partition, it.currentLeaderEpoch, it.leaderEpoch))
      }))
    })
  },
  refuse: (request, errorCode) => ({
    topics: request.topics.map(({ partitions, topic }) => ({
      topic,
      partitions: partitions.map(({ partition }) => ({ errorCode, partition }))
    }))
  })
})
