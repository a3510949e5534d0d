import type { HeartbeatRequest, LeaveGroupRequest, SyncGroupRequest } from "@exactly-once/protocol"
import type { ClassicGroup } from "./ClassicGroup.ts"
import {
  answerSync,
  assign,
  dropMember,
  maybeCompleteJoin,
  membersLeft,
  renewSession,
  synced
} from "./classicRebalance.ts"
import {
  ILLEGAL_GENERATION,
  INCONSISTENT_GROUP_PROTOCOL,
  INVALID_GROUP_ID,
  NONE,
  REBALANCE_IN_PROGRESS,
  UNKNOWN_MEMBER_ID
} from "./errorCodes.ts"
import { type GroupContext, reply } from "./GroupContext.ts"
import type { Caller, Ticket } from "./GroupEnvironment.ts"

/** From here on a SyncGroup must say which protocol it means (KIP-559). */
const PROTOCOL_REQUIRED_FROM = 5
/** From here on a LeaveGroup names several members (KIP-345). */
const BATCHED_LEAVE_FROM = 3

/** SyncGroup: the leader's brings the assignment, the others' wait for it. */
export const syncGroup = (
  context: GroupContext,
  request: SyncGroupRequest.SyncGroupRequest,
  caller: Caller,
  ticket: Ticket
): void => {
  const parked = { ticket, version: caller.version }
  const found = context.groups.get(request.groupId)
  const error = syncError(request, caller.version, found?.type === "classic" ? found : undefined)
  const group = found?.type === "classic" ? found : undefined
  const member = group?.members.get(request.memberId)
  if (error !== NONE || group === undefined || member === undefined) return answerSync(context, parked, error)
  synced(context, group, member.memberId)
  if (group.state === "Stable") return answerSync(context, parked, NONE, member.assignment, group)
  const superseded = group.unparkSync(member)
  if (superseded !== undefined) answerSync(context, superseded, REBALANCE_IN_PROGRESS)
  member.sync = parked
  if (group.leader === member.memberId) {
    assign(context, group, new Map(request.assignments.map((each) => [each.memberId, each.assignment.slice()])))
  }
}

const syncError = (
  request: SyncGroupRequest.SyncGroupRequest,
  version: number,
  group: ClassicGroup | undefined
): number => {
  if (version >= PROTOCOL_REQUIRED_FROM && (request.protocolType === null || request.protocolName === null)) {
    return INCONSISTENT_GROUP_PROTOCOL
  }
  if (request.groupId === "") return INVALID_GROUP_ID
  if (group === undefined || group.isEmpty) return UNKNOWN_MEMBER_ID
  const error = group.validate(request.memberId, request.groupInstanceId)
  if (error !== NONE) return error
  if (request.generationId !== group.generation) return ILLEGAL_GENERATION
  if (differs(request.protocolType, group.protocolType) || differs(request.protocolName, group.protocolName)) {
    return INCONSISTENT_GROUP_PROTOCOL
  }
  return group.state === "PreparingRebalance" ? REBALANCE_IN_PROGRESS : NONE
}

const differs = (asked: string | null, actual: string | undefined): boolean =>
  asked !== null && actual !== undefined && asked !== actual

/** Heartbeat: tells a member that a rebalance has begun; while the assignment is awaited nothing is to be done. */
export const heartbeat = (
  context: GroupContext,
  request: HeartbeatRequest.HeartbeatRequest,
  _caller: Caller,
  ticket: Ticket
): void => reply(context, ticket, { throttleTimeMs: 0, errorCode: heartbeatError(context, request) })

const heartbeatError = (context: GroupContext, request: HeartbeatRequest.HeartbeatRequest): number => {
  if (request.groupId === "") return INVALID_GROUP_ID
  const group = context.groups.get(request.groupId)
  if (group?.type !== "classic") return UNKNOWN_MEMBER_ID
  const error = group.validate(request.memberId, request.groupInstanceId)
  if (error !== NONE) return error
  if (request.generationId !== group.generation) return ILLEGAL_GENERATION
  const member = group.members.get(request.memberId)
  if (member === undefined || group.state === "Empty") return UNKNOWN_MEMBER_ID
  renewSession(context, member)
  return group.state === "PreparingRebalance" ? REBALANCE_IN_PROGRESS : NONE
}

/** LeaveGroup: the others rebalance at once instead of after the session timeout. */
export const leaveGroup = (
  context: GroupContext,
  request: LeaveGroupRequest.LeaveGroupRequest,
  caller: Caller,
  ticket: Ticket
): void => {
  const batched = caller.version >= BATCHED_LEAVE_FROM
  const answer = (errorCode: number, members: ReadonlyArray<LeftMember>): void => {
    if (batched) return reply(context, ticket, { throttleTimeMs: 0, errorCode, members })
    const first = members[0]?.errorCode ?? NONE
    reply(context, ticket, { throttleTimeMs: 0, errorCode: errorCode === NONE ? first : errorCode, members: [] })
  }
  if (request.groupId === "") return answer(INVALID_GROUP_ID, [])
  const leaving = batched ? request.members : [{ memberId: request.memberId, groupInstanceId: null }]
  const found = context.groups.get(request.groupId)
  const group = found?.type === "classic" ? found : undefined
  const members = leaving.map(({ groupInstanceId, memberId }): LeftMember => ({
    memberId,
    groupInstanceId,
    errorCode: group === undefined ? UNKNOWN_MEMBER_ID : leave(context, group, memberId, groupInstanceId)
  }))
  answer(NONE, members)
  if (group === undefined || members.every(({ errorCode }) => errorCode !== NONE)) return
  if (group.state === "PreparingRebalance") maybeCompleteJoin(context, group)
  else membersLeft(context, group)
}

interface LeftMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly errorCode: number
}

const leave = (context: GroupContext, group: ClassicGroup, memberId: string, instanceId: string | null): number => {
  const pending = group.pendingJoins.get(memberId)
  if (pending !== undefined) {
    context.timers.cancel(pending)
    group.pendingJoins.delete(memberId)
    return NONE
  }
  // An administrator removes a static member by its instance id alone.
  const named = memberId === "" && instanceId !== null ? group.staticMembers.get(instanceId) : memberId
  if (named === undefined) return UNKNOWN_MEMBER_ID
  const error = group.validate(named, instanceId)
  const member = group.members.get(named)
  if (error === NONE && member !== undefined) dropMember(context, group, member)
  return error
}
