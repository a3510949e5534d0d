/**
 * CreateTopics: v2-7
 *
 * Behaviour
 * - Creates topics at once. -1 partitions or replicas take the broker's default. More replicas than nodes are refused, though none are kept.
 *
 * Versions
 * - v5 the configuration in the answer; v7 the topic's id.
 */
import { Apis, type CreateTopicsRequest, type CreateTopicsResponse } from "@exactly-once/protocol"
import { isValidName } from "../cluster/Topic.ts"
import * as Code from "../errorCodes.ts"
import { type RequestContext, serve } from "./Served.ts"
import { invalidSetting, topicSettings } from "./settings.ts"

type Answer = CreateTopicsResponse.CreatableTopicResultInput

const failed = (name: string, errorCode: number, errorMessage: string): Answer => ({ name, errorCode, errorMessage })

const create = (
  asked: CreateTopicsRequest.CreatableTopic,
  validateOnly: boolean,
  { cluster, nodes }: RequestContext
): Answer => {
  const { assignments, configs, name, numPartitions, replicationFactor } = asked
  if (!isValidName(name)) return failed(name, Code.INVALID_TOPIC_EXCEPTION, `"${name}" is not a topic name`)
  if (cluster.topics.get(name) !== undefined) {
    return failed(name, Code.TOPIC_ALREADY_EXISTS, `Topic '${name}' already exists.`)
  }
  const collision = cluster.topics.colliding(name)
  if (collision !== undefined) {
    return failed(name, Code.INVALID_TOPIC_EXCEPTION, `Topic '${name}' collides with existing topic: ${collision}`)
  }
  const byHand = assignments.length > 0
  if (byHand && (numPartitions !== -1 || replicationFactor !== -1)) {
    return failed(name, Code.INVALID_REQUEST, "Either a replica assignment or numbers, not both")
  }
  const known = new Set(nodes.map(({ id }) => id))
  if (byHand && assignments.some(({ brokerIds }) => brokerIds.length === 0 || brokerIds.some((id) => !known.has(id)))) {
    return failed(name, Code.INVALID_REPLICA_ASSIGNMENT, "The assignment names a node that does not exist")
  }
  const indices = assignments.map((it) => it.partitionIndex).sort((a, b) => a - b)
  if (indices.some((index, at) => index !== at)) {
    return failed(name, Code.INVALID_REPLICA_ASSIGNMENT, "The assignment leaves out a partition")
  }
  if (!byHand && (numPartitions === 0 || numPartitions < -1)) {
    return failed(name, Code.INVALID_PARTITIONS, "Number of partitions was set to an invalid non-positive value.")
  }
  if (!byHand && (replicationFactor === 0 || replicationFactor < -1 || replicationFactor > nodes.length)) {
    return failed(
      name,
      Code.INVALID_REPLICATION_FACTOR,
      `A replication factor of ${replicationFactor} on ${nodes.length} nodes`
    )
  }
  const invalid = configs.map((it) => invalidSetting(it.name, it.value)).find((it) => it !== undefined)
  if (invalid !== undefined) return failed(name, Code.INVALID_CONFIG, invalid)
  const partitions = byHand
    ? assignments.length
    : numPartitions === -1
    ? cluster.options.defaultPartitions
    : numPartitions
  const replicas = byHand ? assignments[0]!.brokerIds.length : replicationFactor === -1 ? 1 : replicationFactor
  const config = configs.flatMap(({ name, value }) => value === null ? [] : [[name, value] as const])
  const answer = {
    name,
    errorCode: Code.NONE,
    errorMessage: null,
    numPartitions: partitions,
    replicationFactor: replicas
  }
  if (validateOnly) return { ...answer, configs: [] }
  const topic = cluster.createTopic(name, partitions, config)
  for (const { brokerIds, partitionIndex } of assignments) {
    const partition = topic.partitions[partitionIndex]
    if (partition !== undefined) partition.leader = brokerIds[0]!
  }
  return {
    ...answer,
    topicId: topic.id,
    configs: topicSettings(topic, cluster.options).map(({ configSource, isSensitive, name, readOnly, value }) => ({
      name,
      value,
      readOnly,
      configSource,
      isSensitive
    }))
  }
}

export const CreateTopics = serve(Apis.CreateTopics, {
  handle: (request, context, reply) => {
    const names = request.topics.map(({ name }) => name)
    const twice = new Set(names.filter((name, at) => names.indexOf(name) !== at))
    const topics = request.topics
      .filter(({ name }, at) => names.indexOf(name) === at)
      .map((asked) =>
        twice.has(asked.name)
          ? failed(asked.name, Code.INVALID_REQUEST, "Duplicate topic name.")
          : create(asked, request.validateOnly, context)
      )
    reply({ topics })
  },
  refuse: (request, error) => ({ topics: request.topics.map(({ name }) => failed(name, error, "")) })
})
