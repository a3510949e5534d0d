/**
 * Metadata: v0-13
 *
 * Behaviour
 * - Nodes, and topics with their leaders. A topic that is asked for by name and does not exist is created, if client and broker allow it.
 *
 * Versions
 * - v1 null asks for all topics (v0: an empty list does); v4 the client may forbid creation; v7 leader epochs; v10 topic ids in answers,
 *   v12 in questions.
 */
import { Apis, type MetadataRequest, type MetadataResponse, Uuid } from "@exactly-once/protocol"
import { isValidName, type Partition, type Topic } from "../cluster/Topic.ts"
import * as Code from "../errorCodes.ts"
import { type RequestContext, serve } from "./Served.ts"

type Answer = MetadataResponse.MetadataResponseTopicInput

const failed = (name: string | null, topicId: string, errorCode: number): Answer => ({
  errorCode,
  name,
  topicId,
  partitions: []
})

export const describePartition = ({ index, leader, leaderEpoch }: Partition) => ({
  errorCode: Code.NONE,
  partitionIndex: index,
  leaderId: leader,
  leaderEpoch,
  replicaNodes: [leader],
  isrNodes: [leader]
})

const describe = (topic: Topic): Answer => ({
  errorCode: Code.NONE,
  name: topic.name,
  topicId: topic.id,
  isInternal: topic.isInternal,
  partitions: topic.partitions.map(describePartition)
})

const find = (
  { name, topicId }: MetadataRequest.MetadataRequestTopic,
  mayCreate: boolean,
  { cluster }: RequestContext
): Answer => {
  if (name === null) {
    const topic = cluster.topics.withId(topicId)
    return topic === undefined ? failed(null, topicId, Code.UNKNOWN_TOPIC_ID) : describe(topic)
  }
  const topic = cluster.topics.get(name)
  if (topic !== undefined) return describe(topic)
  if (!isValidName(name)) return failed(name, Uuid.ZERO, Code.INVALID_TOPIC_EXCEPTION)
  return mayCreate && cluster.options.autoCreateTopics
    ? describe(cluster.createTopic(name, cluster.options.defaultPartitions))
    : failed(name, Uuid.ZERO, Code.UNKNOWN_TOPIC_OR_PARTITION)
}

const nodes = (context: RequestContext) => context.nodes.map(({ host, id, port }) => ({ nodeId: id, host, port }))

export const Metadata = serve(Apis.Metadata, {
  handle: (request, context, reply) => {
    const { cluster, version } = context
    const all = request.topics === null || (version === 0 && request.topics.length === 0)
    const mayCreate = version < 4 || request.allowAutoTopicCreation
    reply({
      brokers: nodes(context),
      clusterId: cluster.options.clusterId,
      controllerId: context.nodes[0]?.id ?? -1,
      topics: all
        ? Array.from(cluster.topics.all(), describe)
        : (request.topics ?? []).map((it) => find(it, mayCreate, context))
    })
  },
  refuse: (request, error, context) => ({
    brokers: nodes(context),
    clusterId: context.cluster.options.clusterId,
    controllerId: context.nodes[0]?.id ?? -1,
    topics: (request.topics ?? []).map(({ name, topicId }) =>
      context.version >= 12 || name !== null ? failed(name, topicId, error) : failed("", topicId, error)
    )
  })
})
