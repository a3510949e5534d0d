/** Who is in a consumer group: who may join, who is fenced, and what a member leaves behind. */
import type { ConsumerGroupHeartbeatRequest } from "@exactly-once/protocol"
import { isSubset, OWNS_NOTHING, type TopicPartitions } from "./Assignment.ts"
import { ConsumerGroup, type ConsumerMember, STATIC_LEAVE_EPOCH } from "./ConsumerGroup.ts"
import { GroupError } from "./consumerValidation.ts"
import * as codes from "./errorCodes.ts"
import { type GroupContext, removeGroup } from "./GroupContext.ts"
import type { Caller } from "./GroupEnvironment.ts"
import { subscriptionHash } from "./subscriptions.ts"
import { makeTimer } from "./Timers.ts"

type Request = ConsumerGroupHeartbeatRequest.ConsumerGroupHeartbeatRequest

/** The group that a heartbeat is for; a new one, not yet known to the coordinator, if the member may found it. */
export const findGroup = (context: GroupContext, groupId: string, joins: boolean): ConsumerGroup => {
  const existing = context.groups.get(groupId)
  if (existing?.type === "consumer") return existing
  if (existing === undefined && !joins) {
    throw new GroupError(codes.GROUP_ID_NOT_FOUND, `Consumer group ${groupId} not found.`)
  }
  if (existing !== undefined && !(joins && existing.isEmpty)) {
    throw new GroupError(
      codes.GROUP_ID_NOT_FOUND,
      joins
        ? `Cannot upgrade classic group ${groupId} to consumer group because online upgrade is disabled.`
        : `Group ${groupId} is not a consumer group.`
    )
  }
  return new ConsumerGroup(groupId, context.now)
}

/** The member that speaks, `undefined` if it is yet to be admitted. */
export const findMember = (group: ConsumerGroup, request: Request, memberId: string): ConsumerMember | undefined => {
  const { instanceId, memberEpoch } = request
  const joins = memberEpoch === 0
  if (instanceId === null) {
    const member = group.members.get(memberId)
    if (member === undefined && !joins) throw unknownMember(group.groupId, memberId)
    if (member !== undefined) checkEpoch(member, memberEpoch, request.topicPartitions)
    return member
  }
  const holder = group.staticMember(instanceId)
  if (!joins) {
    const member = staticMember(group, memberId, instanceId)
    checkEpoch(member, memberEpoch, request.topicPartitions)
    return member
  }
  if (holder === undefined || holder.epoch === STATIC_LEAVE_EPOCH) return undefined
  throw new GroupError(
    codes.UNRELEASED_INSTANCE_ID,
    `Static member ${memberId} with instance id ${instanceId} cannot join the group because the instance id is ` +
      `owned by ${holder.memberId} member.`
  )
}

export const unknownMember = (groupId: string, memberId: string): GroupError =>
  new GroupError(codes.UNKNOWN_MEMBER_ID, `Member ${memberId} is not a member of group ${groupId}.`)

/** The member with an instance id, if this is its present id. */
export const staticMember = (group: ConsumerGroup, memberId: string, instanceId: string): ConsumerMember => {
  const member = group.staticMember(instanceId)
  if (member === undefined) throw new GroupError(codes.UNKNOWN_MEMBER_ID, `Instance id ${instanceId} is unknown.`)
  if (member.memberId !== memberId) {
    throw new GroupError(
      codes.FENCED_INSTANCE_ID,
      `Static member ${memberId} with instance id ${instanceId} was fenced by member ${member.memberId}.`
    )
  }
  return member
}

/** A member may be one epoch behind when the answer that told it was lost, provided that it owns no more than it was given. */
const checkEpoch = (
  member: ConsumerMember,
  epoch: number,
  claimed: ReadonlyArray<TopicPartitions> | null
): void => {
  if (epoch === 0 || epoch === member.epoch) return
  if (epoch < member.epoch && epoch === member.previousEpoch && isSubset(claimed, member.assigned)) return
  throw new GroupError(
    codes.FENCED_MEMBER_EPOCH,
    `The consumer group member has a ${
      epoch > member.epoch ? "greater" : "smaller"
    } member epoch (${epoch}) than the ` +
      `one known by the group coordinator (${member.epoch}). The member must abandon all its partitions and rejoin.`
  )
}

/** Makes the sender a member; a static one takes the place it had before it left. */
export const admit = (
  context: GroupContext,
  group: ConsumerGroup,
  request: Request,
  memberId: string,
  caller: Caller
): ConsumerMember => {
  if (context.groups.get(group.groupId) !== group) {
    removeGroup(context, group.groupId)
    context.groups.set(group.groupId, group)
  }
  const away = request.instanceId === null ? undefined : group.staticMember(request.instanceId)
  const member: ConsumerMember = {
    memberId,
    instanceId: request.instanceId,
    rackId: away?.rackId ?? null,
    clientId: caller.clientId,
    clientHost: caller.clientHost,
    rebalanceTimeout: request.rebalanceTimeoutMs,
    serverAssignor: away?.serverAssignor ?? null,
    subscribedTopics: away?.subscribedTopics ?? [],
    regex: away?.regex ?? "",
    epoch: 0,
    previousEpoch: 0,
    state: away?.state ?? "stable",
    assigned: away?.assigned ?? OWNS_NOTHING,
    revoking: OWNS_NOTHING,
    session: makeTimer("sessions", () => fenceMember(context, group, memberId)),
    revocation: makeTimer("rebalances", () => fenceMember(context, group, memberId))
  }
  if (away !== undefined) {
    const target = group.targetOf(away.memberId)
    group.remove(away, context.timers, context.now)
    group.target.set(memberId, target)
  }
  group.add(member)
  return member
}

/** Puts a member out; what it owned is free at once, since it is told to give everything up the next time it calls. */
export const fenceMember = (context: GroupContext, group: ConsumerGroup, memberId: string): void => {
  const member = group.members.get(memberId)
  if (member === undefined) return
  group.remove(member, context.timers, context.now)
  group.epoch++
  group.metadataHash = subscriptionHash(context.environment, group)
}

export const renewSession = (context: GroupContext, member: ConsumerMember): void =>
  context.timers.set(member.session, context.now + context.options.consumerSessionTimeout)
