/**
 * DescribeTopicPartitions: v0
 *
 * Behaviour
 * - Topics by name or all of them, in the order of their names, at most so many partitions at once; a cursor says where to go on (KIP-966).
 */
import { Apis, type DescribeTopicPartitionsResponse, Uuid } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { describePartition } from "./Metadata.ts"
import { serve } from "./Served.ts"

type Answer = DescribeTopicPartitionsResponse.DescribeTopicPartitionsResponseTopicInput

const LIMIT = 2000

const compare = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

export const DescribeTopicPartitions = serve(Apis.DescribeTopicPartitions, {
  handle: (request, { cluster }, reply) => {
    const { cursor } = request
    const asked = request.topics.length === 0 ? [...cluster.topics.names()] : request.topics.map(({ name }) => name)
    const names = [...new Set(asked)].sort(compare).filter((name) => cursor === null || name >= cursor.topicName)
    let room = request.responsePartitionLimit > 0 ? Math.min(request.responsePartitionLimit, LIMIT) : LIMIT
    const topics: Array<Answer> = []
    for (const name of names) {
      const topic = cluster.topics.get(name)
      if (topic === undefined) {
        topics.push({ errorCode: Code.UNKNOWN_TOPIC_OR_PARTITION, name, topicId: Uuid.ZERO, partitions: [] })
        continue
      }
      const first = cursor?.topicName === name ? cursor.partitionIndex : 0
      const partitions = topic.partitions.slice(first, first + room).map((it) => ({
        ...describePartition(it),
        eligibleLeaderReplicas: [],
        lastKnownElr: []
      }))
      room -= partitions.length
      const { id, isInternal } = topic
      topics.push({ errorCode: Code.NONE, name, topicId: id, isInternal, partitions })
      const next = first + partitions.length
      if (next < topic.partitions.length) {
        return reply({ topics, nextCursor: { topicName: name, partitionIndex: next } })
      }
      const following = names[names.indexOf(name) + 1]
      if (room === 0 && following !== undefined) {
        return reply({ topics, nextCursor: { topicName: following, partitionIndex: 0 } })
      }
    }
    reply({ topics, nextCursor: null })
  },
  refuse: (request, errorCode) => ({
    topics: request.topics.map(({ name }) => ({ errorCode, name, topicId: Uuid.ZERO, partitions: [] })),
    nextCursor: null
  })
})
