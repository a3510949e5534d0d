import type { ConsumerGroupHeartbeatRequest } from "@exactly-once/protocol"
import { OWNS_NOTHING, samePartitions, toMessage, type TopicPartitions } from "./Assignment.ts"
import { computeTarget } from "./assignors.ts"
import { type ConsumerGroup, type ConsumerMember, STATIC_LEAVE_EPOCH } from "./ConsumerGroup.ts"
import {
  admit,
  fenceMember,
  findGroup,
  findMember,
  renewSession,
  staticMember,
  unknownMember
} from "./consumerMembers.ts"
import { GroupError, validateHeartbeat } from "./consumerValidation.ts"
import * as codes from "./errorCodes.ts"
import { type GroupContext, reply } from "./GroupContext.ts"
import type { Caller, Ticket } from "./GroupEnvironment.ts"
import { reconcile } from "./reconcile.ts"
import { compilePattern, resolvePatterns, subscribedTopicIds, subscriptionHash } from "./subscriptions.ts"

type Request = ConsumerGroupHeartbeatRequest.ConsumerGroupHeartbeatRequest

const LEAVE_EPOCH = -1

interface Heartbeat {
  readonly errorCode: number
  readonly errorMessage: string | null
  readonly memberId: string | null
  readonly memberEpoch: number
  readonly heartbeatIntervalMs: number
  readonly assignment: { readonly topicPartitions: ReadonlyArray<TopicPartitions> } | null
}

/** ConsumerGroupHeartbeat: joins with epoch 0, leaves with -1 (or -2 for a static member that means to come back), else keeps alive. */
export const consumerGroupHeartbeat = (
  context: GroupContext,
  request: Request,
  caller: Caller,
  ticket: Ticket
): void => {
  let answer: Heartbeat
  try {
    validateHeartbeat(request, caller.version)
    answer = request.memberEpoch === LEAVE_EPOCH || request.memberEpoch === STATIC_LEAVE_EPOCH
      ? leave(context, request)
      : beat(context, request, caller)
  } catch (error) {
    if (!(error instanceof GroupError)) throw error
    answer = {
      errorCode: error.code,
      errorMessage: error.message,
      memberId: null,
      memberEpoch: 0,
      heartbeatIntervalMs: 0,
      assignment: null
    }
  }
  reply(context, ticket, { throttleTimeMs: 0, ...answer })
}

const beat = (context: GroupContext, request: Request, caller: Caller): Heartbeat => {
  const joins = request.memberEpoch === 0
  // Everything that can be refused is refused before anything is changed.
  const group = findGroup(context, request.groupId, joins)
  const { maxSize } = context.options
  if (group.members.size >= maxSize && !group.members.has(request.memberId)) {
    throw new GroupError(
      codes.GROUP_MAX_SIZE_REACHED,
      `The consumer group has reached its maximum capacity of ${maxSize} members.`
    )
  }
  const memberId = request.memberId === "" ? context.environment.newMemberId() : request.memberId
  const existing = findMember(group, request, memberId)
  const pattern = request.subscribedTopicRegex
  if (pattern !== null && pattern !== "" && !group.resolved.has(pattern)) compilePattern(pattern)

  const member = existing ?? admit(context, group, request, memberId, caller)
  const before = member.assigned
  const change = updateSubscription(group, member, request, caller)
  if (change.takesEffect || group.metadataStale) refreshMetadata(context, group, change.takesEffect)
  updateTarget(context, group)
  const settled = group.isReconciled(member) && !change.any
  const moved = !settled && reconcile(group, member, {
    subscribed: subscribedTopicIds(context.environment, group, member),
    subscriptionChanged: change.any,
    claimed: request.topicPartitions
  })
  if (moved) {
    if (member.state === "unrevoked") context.timers.set(member.revocation, context.now + member.rebalanceTimeout)
    else context.timers.cancel(member.revocation)
  }
  renewSession(context, member)
  // As in Kafka, what a new pattern stands for is known only after the heartbeat that brought it was answered.
  if (change.newPattern) refreshPatterns(context, group)
  const full = request.rebalanceTimeoutMs !== -1 && request.topicPartitions !== null &&
    (request.subscribedTopicNames !== null || request.subscribedTopicRegex !== null)
  return {
    errorCode: codes.NONE,
    errorMessage: null,
    memberId: member.memberId,
    memberEpoch: member.epoch,
    heartbeatIntervalMs: context.options.consumerHeartbeatInterval,
    assignment: joins || full || !samePartitions(before, member.assigned)
      ? { topicPartitions: toMessage(member.assigned) }
      : null
  }
}

interface SubscriptionChange {
  readonly any: boolean
  /** The group needs a new target at once. */
  readonly takesEffect: boolean
  readonly newPattern: boolean
}

/** Takes over what the request says; fields that are null stay as they were. */
const updateSubscription = (
  group: ConsumerGroup,
  member: ConsumerMember,
  request: Request,
  caller: Caller
): SubscriptionChange => {
  member.clientId = caller.clientId
  member.clientHost = caller.clientHost
  if (request.rackId !== null) member.rackId = request.rackId
  if (request.rebalanceTimeoutMs !== -1) member.rebalanceTimeout = request.rebalanceTimeoutMs
  // Validated before.
  if (request.serverAssignor === "uniform" || request.serverAssignor === "range") {
    member.serverAssignor = request.serverAssignor
  }
  let takesEffect = false
  let newPattern = false
  if (request.subscribedTopicNames !== null) {
    const names = [...new Set(request.subscribedTopicNames)].sort()
    takesEffect = names.length !== member.subscribedTopics.length ||
      names.some((name, i) => name !== member.subscribedTopics[i])
    member.subscribedTopics = names
  }
  const regex = request.subscribedTopicRegex
  if (regex !== null && regex !== member.regex) {
    member.regex = regex
    group.forgetUnusedPatterns()
    newPattern = regex !== "" && !group.resolved.has(regex)
    takesEffect ||= !newPattern
  }
  return { any: takesEffect || newPattern, takesEffect, newPattern }
}

const refreshMetadata = (context: GroupContext, group: ConsumerGroup, changed: boolean): void => {
  if (group.metadataStale) resolvePatterns(context.environment, group)
  group.metadataStale = false
  const hash = subscriptionHash(context.environment, group)
  if (!changed && hash === group.metadataHash) return
  group.epoch++
  group.metadataHash = hash
}

const refreshPatterns = (context: GroupContext, group: ConsumerGroup): void => {
  resolvePatterns(context.environment, group)
  refreshMetadata(context, group, false)
}

const updateTarget = (context: GroupContext, group: ConsumerGroup): void => {
  if (group.epoch <= group.assignmentEpoch) return
  const { environment, now, options } = context
  if (group.assignedAt !== undefined && now < group.assignedAt + options.consumerAssignmentInterval) return
  group.target = computeTarget(
    group.assignor,
    Array.from(group.members.values(), (member) => ({
      memberId: member.memberId,
      instanceId: member.instanceId,
      topicIds: subscribedTopicIds(environment, group, member),
      target: group.targetOf(member.memberId)
    })),
    (topicId) => environment.partitions(environment.topicName(topicId) ?? "") ?? 0
  )
  group.assignmentEpoch = group.epoch
  group.assignedAt = now
}

const leave = (context: GroupContext, request: Request): Heartbeat => {
  const { groupId, instanceId, memberEpoch, memberId } = request
  const group = context.groups.get(groupId)
  if (group?.type !== "consumer") {
    throw new GroupError(
      codes.GROUP_ID_NOT_FOUND,
      group === undefined ? `Group ${groupId} not found.` : `Group ${groupId} is not a consumer group.`
    )
  }
  const member = instanceId === null ? group.members.get(memberId) : staticMember(group, memberId, instanceId)
  if (member === undefined) throw unknownMember(groupId, memberId)
  if (instanceId !== null && memberEpoch === STATIC_LEAVE_EPOCH) {
    // It keeps its partitions until its session ends, so that coming back costs no rebalance.
    member.epoch = STATIC_LEAVE_EPOCH
    group.setOwnership(member, member.assigned, OWNS_NOTHING)
  } else {
    fenceMember(context, group, memberId)
  }
  return {
    errorCode: codes.NONE,
    errorMessage: null,
    memberId,
    memberEpoch,
    heartbeatIntervalMs: 0,
    assignment: null
  }
}
