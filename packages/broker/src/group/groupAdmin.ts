import type {
  ConsumerGroupDescribeRequest,
  DeleteGroupsRequest,
  DescribeGroupsRequest,
  ListGroupsRequest,
  OffsetDeleteRequest
} from "@exactly-once/protocol"
import { type OwnedPartitions, type Partitions, toMessage, union } from "./Assignment.ts"
import { type ClassicGroup, EMPTY_BYTES, metadataOf } from "./ClassicGroup.ts"
import type { ConsumerGroup } from "./ConsumerGroup.ts"
import {
  GROUP_ID_NOT_FOUND,
  GROUP_SUBSCRIBED_TO_TOPIC,
  INVALID_GROUP_ID,
  NON_EMPTY_GROUP,
  NONE,
  UNKNOWN_TOPIC_OR_PARTITION
} from "./errorCodes.ts"
import { type GroupContext, removeGroup, reply } from "./GroupContext.ts"
import type { Caller, Ticket } from "./GroupEnvironment.ts"

/** From here on DescribeGroups says that there is no such group. */
const NOT_FOUND_FROM = 6
const AUTHORIZED_OPERATIONS_NOT_ASKED = -2_147_483_648
/** Read, Delete, Describe, DescribeConfigs and AlterConfigs: all that a group knows, as for everyone where there is no authorizer. */
const ALL_OPERATIONS = 3_400

const operations = (asked: boolean): number => asked ? ALL_OPERATIONS : AUTHORIZED_OPERATIONS_NOT_ASKED

/** ListGroups, by state and type if asked for; both regardless of case. */
export const listGroups = (
  context: GroupContext,
  request: ListGroupsRequest.ListGroupsRequest,
  _caller: Caller,
  ticket: Ticket
): void => {
  const states = new Set(request.statesFilter.map((state) => state.trim().toLowerCase()))
  const types = new Set(request.typesFilter.map((type) => type.toLowerCase()))
  const groups = []
  for (const group of context.groups.values()) {
    if (states.size > 0 && !states.has(group.state.toLowerCase())) continue
    if (types.size > 0 && !types.has(group.type)) continue
    groups.push({
      groupId: group.groupId,
      protocolType: group.type === "consumer" ? "consumer" : group.protocolType ?? "",
      groupState: group.state,
      groupType: group.type
    })
  }
  reply(context, ticket, { throttleTimeMs: 0, errorCode: NONE, groups })
}

/** DescribeGroups, of classic groups only. */
export const describeGroups = (
  context: GroupContext,
  request: DescribeGroupsRequest.DescribeGroupsRequest,
  caller: Caller,
  ticket: Ticket
): void => {
  const groups = request.groups.map((groupId) => {
    const group = context.groups.get(groupId)
    if (group?.type === "classic") return describeClassic(group, request.includeAuthorizedOperations)
    const known = caller.version < NOT_FOUND_FROM
    return {
      errorCode: known ? NONE : GROUP_ID_NOT_FOUND,
      errorMessage: known
        ? null
        : group === undefined
        ? `Group ${groupId} not found.`
        : `Group ${groupId} is not a classic group.`,
      groupId,
      groupState: "Dead",
      protocolType: "",
      protocolData: "",
      members: [],
      authorizedOperations: AUTHORIZED_OPERATIONS_NOT_ASKED
    }
  })
  reply(context, ticket, { throttleTimeMs: 0, groups })
}

const describeClassic = (group: ClassicGroup, withOperations: boolean) => {
  const stable = group.state === "Stable"
  return {
    errorCode: NONE,
    errorMessage: null,
    groupId: group.groupId,
    groupState: group.state,
    protocolType: group.protocolType ?? "",
    protocolData: stable ? group.protocolName ?? "" : "",
    members: Array.from(group.members.values(), (member) => ({
      memberId: member.memberId,
      groupInstanceId: member.instanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      memberMetadata: stable ? metadataOf(member, group.protocolName) : EMPTY_BYTES,
      memberAssignment: member.assignment
    })),
    authorizedOperations: operations(withOperations)
  }
}

/** ConsumerGroupDescribe, of groups of the consumer protocol only. */
export const consumerGroupDescribe = (
  context: GroupContext,
  request: ConsumerGroupDescribeRequest.ConsumerGroupDescribeRequest,
  _caller: Caller,
  ticket: Ticket
): void => {
  const groups = request.groupIds.map((groupId) => {
    const group = context.groups.get(groupId)
    if (group?.type === "consumer") return describeConsumer(context, group, request.includeAuthorizedOperations)
    const invalid = groupId === ""
    return {
      errorCode: invalid ? INVALID_GROUP_ID : GROUP_ID_NOT_FOUND,
      errorMessage: invalid
        ? null
        : group === undefined
        ? `Group ${groupId} not found.`
        : `Group ${groupId} is not a consumer group.`,
      groupId,
      groupState: "",
      groupEpoch: 0,
      assignmentEpoch: 0,
      assignorName: "",
      members: [],
      authorizedOperations: AUTHORIZED_OPERATIONS_NOT_ASKED
    }
  })
  reply(context, ticket, { throttleTimeMs: 0, groups })
}

const MODERN_MEMBER = 1

const describeConsumer = (context: GroupContext, group: ConsumerGroup, withOperations: boolean) => {
  const named = (partitions: Partitions | OwnedPartitions) => ({
    topicPartitions: toMessage(partitions).flatMap(({ partitions, topicId }) => {
      const topicName = context.environment.topicName(topicId)
      return topicName === undefined ? [] : [{ topicId, topicName, partitions }]
    })
  })
  return {
    errorCode: NONE,
    errorMessage: null,
    groupId: group.groupId,
    groupState: group.state,
    groupEpoch: group.epoch,
    assignmentEpoch: group.assignmentEpoch,
    assignorName: group.assignor,
    members: Array.from(group.members.values(), (member) => ({
      memberId: member.memberId,
      instanceId: member.instanceId,
      rackId: member.rackId,
      memberEpoch: member.epoch,
      clientId: member.clientId,
      clientHost: member.clientHost,
      subscribedTopicNames: member.subscribedTopics,
      subscribedTopicRegex: member.regex,
      // What a member is still to give up counts as its own.
      assignment: named(union(member.assigned, member.revoking)),
      targetAssignment: named(group.targetOf(member.memberId)),
      memberType: MODERN_MEMBER
    })),
    authorizedOperations: operations(withOperations)
  }
}

/** DeleteGroups: groups without members, with all their offsets. */
export const deleteGroups = (
  context: GroupContext,
  request: DeleteGroupsRequest.DeleteGroupsRequest,
  _caller: Caller,
  ticket: Ticket
): void => {
  const results = request.groupsNames.map((groupId) => {
    const group = context.groups.get(groupId)
    if (group === undefined) return { groupId, errorCode: GROUP_ID_NOT_FOUND }
    if (!group.isEmpty) return { groupId, errorCode: NON_EMPTY_GROUP }
    context.offsets.deleteGroup(groupId)
    removeGroup(context, groupId)
    return { groupId, errorCode: NONE }
  })
  reply(context, ticket, { throttleTimeMs: 0, results })
}

/** OffsetDelete: offsets of topics that no member subscribes to. */
export const offsetDelete = (
  context: GroupContext,
  request: OffsetDeleteRequest.OffsetDeleteRequest,
  _caller: Caller,
  ticket: Ticket
): void => {
  const { groupId } = request
  const group = context.groups.get(groupId)
  const unknown: Array<DeletedTopic> = []
  const known: Array<DeletedTopic> = []
  for (const { name, partitions } of request.topics) {
    const count = context.environment.partitions(name) ?? 0
    const missing = partitions.filter(({ partitionIndex }) => partitionIndex >= count)
    const present = partitions.filter(({ partitionIndex }) => partitionIndex < count)
    if (missing.length > 0) unknown.push(answerAll(name, missing, UNKNOWN_TOPIC_OR_PARTITION))
    if (present.length > 0) known.push(answerAll(name, present, NONE))
  }
  const refuse = (errorCode: number): void => reply(context, ticket, { errorCode, throttleTimeMs: 0, topics: [] })
  if (groupId === "") return refuse(INVALID_GROUP_ID)
  if (group === undefined) return refuse(GROUP_ID_NOT_FOUND)
  // What a group of another kind than consumers does with its offsets cannot be known while it has members.
  if (group.type === "classic" && !group.isEmpty && !group.isConsumer) return refuse(NON_EMPTY_GROUP)
  const topics = known.map((topic) => {
    if (group.isSubscribedTo(topic.name)) {
      return answerAll(topic.name, topic.partitions, GROUP_SUBSCRIBED_TO_TOPIC)
    }
    for (const { partitionIndex } of topic.partitions) context.offsets.delete(groupId, topic.name, partitionIndex)
    return topic
  })
  reply(context, ticket, { errorCode: NONE, throttleTimeMs: 0, topics: [...unknown, ...topics] })
}

interface DeletedTopic {
  readonly name: string
  readonly partitions: ReadonlyArray<{ readonly partitionIndex: number; readonly errorCode: number }>
}

const answerAll = (
  name: string,
  partitions: ReadonlyArray<{ readonly partitionIndex: number }>,
  errorCode: number
): DeletedTopic => ({ name, partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode })) })
