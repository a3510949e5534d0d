import { type JoinGroupRequest, Uuid } from "@exactly-once/protocol"
import { writeDurable } from "./classicDurable.ts"
import {
  type ClassicGroup,
  type ClassicMember,
  type ClassicProtocol,
  EMPTY_BYTES,
  type Parked,
  sameProtocols
} from "./ClassicGroup.ts"
import {
  acceptJoin,
  expirePendingJoin,
  expireSession,
  fenceRequests,
  maybeCompleteJoin,
  prepareRebalance,
  rebalance,
  refuseJoin,
  renewSession
} from "./classicRebalance.ts"
import { newClassicGroup } from "./classicRestore.ts"
import {
  GROUP_MAX_SIZE_REACHED,
  INCONSISTENT_GROUP_PROTOCOL,
  INVALID_GROUP_ID,
  INVALID_SESSION_TIMEOUT,
  MEMBER_ID_REQUIRED,
  NONE,
  REBALANCE_IN_PROGRESS,
  UNKNOWN_MEMBER_ID
} from "./errorCodes.ts"
import { type GroupContext, removeGroup } from "./GroupContext.ts"
import type { Caller, Ticket } from "./GroupEnvironment.ts"
import { makeTimer } from "./Timers.ts"

type Request = JoinGroupRequest.JoinGroupRequest

/** From here on a dynamic member must come back with the id it was given (KIP-394). */
const MEMBER_ID_REQUIRED_FROM = 4
/** From here on a static leader that comes back may be told to skip the assignment (KIP-814). */
const SKIP_ASSIGNMENT_FROM = 9

interface Join {
  readonly request: Request
  readonly caller: Caller
  readonly parked: Parked
  readonly protocols: ReadonlyArray<ClassicProtocol>
  readonly rebalanceTimeout: number
}

/** JoinGroup: answered when the rebalance that it begins, or joins, has all members or is out of time. */
export const joinGroup = (context: GroupContext, request: Request, caller: Caller, ticket: Ticket): void => {
  const { options } = context
  const { groupId, memberId } = request
  const parked: Parked = { ticket, version: caller.version }
  if (groupId === "") return refuseJoin(context, parked, INVALID_GROUP_ID, memberId)
  if (request.sessionTimeoutMs < options.minSessionTimeout || request.sessionTimeoutMs > options.maxSessionTimeout) {
    return refuseJoin(context, parked, INVALID_SESSION_TIMEOUT, memberId)
  }
  const existing = context.groups.get(groupId)
  if (existing?.type === "consumer") {
    // Kafka would take a consumer in, as a member that speaks the classic protocol (KIP-848's migration). Here a live group is of one kind.
    if (!existing.isEmpty) return refuseJoin(context, parked, INCONSISTENT_GROUP_PROTOCOL, "")
    removeGroup(context, groupId)
  }
  let group = existing?.type === "classic" ? existing : undefined
  if (group === undefined) {
    if (memberId !== "") return refuseJoin(context, parked, UNKNOWN_MEMBER_ID, memberId)
    group = newClassicGroup(context, groupId)
    writeDurable(group)
  }
  if (!hasRoom(group, memberId, options.maxSize)) {
    return refuseJoin(context, parked, GROUP_MAX_SIZE_REACHED, "")
  }
  if (!group.supports(request.protocolType, request.protocols)) {
    return refuseJoin(context, parked, INCONSISTENT_GROUP_PROTOCOL, memberId)
  }
  const join: Join = {
    request,
    caller,
    parked,
    // The request's bytes are views of a frame, which a group that keeps them for hours would keep from being freed.
    protocols: request.protocols.map(({ name, metadata }) => ({ name, metadata: metadata.slice() })),
    // Version 0 has no rebalance timeout.
    rebalanceTimeout: caller.version === 0 ? request.sessionTimeoutMs : request.rebalanceTimeoutMs
  }
  if (memberId === "") joinNew(context, group, join)
  else joinAgain(context, group, join)
}

const hasRoom = (group: ClassicGroup, memberId: string, maxSize: number): boolean => {
  const member = group.members.get(memberId)
  switch (group.state) {
    case "Empty":
      return true
    case "PreparingRebalance":
      return member?.join !== undefined || group.waitingJoins < maxSize
    default:
      return member !== undefined || group.members.size < maxSize
  }
}

/** Member ids of the classic protocol contain a UUID in its common form, those of the consumer protocol in Kafka's own. */
const withDashes = (uuid: string): string =>
  Array.from(Uuid.toBytes(uuid), (byte) => byte.toString(16).padStart(2, "0")).join("")
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-")

const joinNew = (context: GroupContext, group: ClassicGroup, join: Join): void => {
  const { caller, parked, request } = join
  const instanceId = request.groupInstanceId
  const memberId = `${instanceId ?? caller.clientId}-${withDashes(context.environment.newMemberId())}`
  if (instanceId !== null) {
    const current = group.members.get(group.staticMembers.get(instanceId) ?? "")
    if (current === undefined) addMember(context, group, join, memberId)
    else replaceStaticMember(context, group, join, current, memberId)
  } else if (parked.version >= MEMBER_ID_REQUIRED_FROM) {
    const timer = makeTimer("sessions", () => expirePendingJoin(context, group, memberId))
    group.pendingJoins.set(memberId, timer)
    context.timers.set(timer, context.now + request.sessionTimeoutMs)
    refuseJoin(context, parked, MEMBER_ID_REQUIRED, memberId)
  } else {
    addMember(context, group, join, memberId)
  }
}

const joinAgain = (context: GroupContext, group: ClassicGroup, join: Join): void => {
  const { parked, request } = join
  const { memberId } = request
  const pending = group.pendingJoins.get(memberId)
  if (pending !== undefined && request.groupInstanceId === null) {
    context.timers.cancel(pending)
    group.pendingJoins.delete(memberId)
    return addMember(context, group, join, memberId)
  }
  const error = group.validate(memberId, request.groupInstanceId)
  const member = group.members.get(memberId)
  if (error !== NONE || member === undefined) {
    return refuseJoin(context, parked, error === NONE ? UNKNOWN_MEMBER_ID : error, memberId)
  }
  const leads = group.leader === memberId
  const same = sameProtocols(member.protocols, join.protocols)
  switch (group.state) {
    case "PreparingRebalance":
      return updateMember(context, group, join, member)
    case "CompletingRebalance":
      // The answer may have been lost: a member that says the same as before gets it again.
      return same
        ? acceptJoin(context, group, memberId, parked, { members: leads })
        : updateMember(context, group, join, member)
    case "Stable":
      // A leader comes back when it has seen that the assignment must change; a follower only if it has something new to say.
      return leads || !same
        ? updateMember(context, group, join, member)
        : acceptJoin(context, group, memberId, parked, { members: false })
    case "Empty":
      return refuseJoin(context, parked, UNKNOWN_MEMBER_ID, memberId)
  }
}

const addMember = (context: GroupContext, group: ClassicGroup, join: Join, memberId: string): void => {
  const { caller, parked, request } = join
  if (group.state === "PreparingRebalance" && group.previousState === "Empty") group.newMemberAdded = true
  const member: ClassicMember = {
    memberId,
    instanceId: request.groupInstanceId,
    clientId: caller.clientId,
    clientHost: caller.clientHost,
    protocolType: request.protocolType,
    protocols: join.protocols,
    rebalanceTimeout: join.rebalanceTimeout,
    sessionTimeout: request.sessionTimeoutMs,
    assignment: EMPTY_BYTES,
    isNew: true,
    join: parked,
    sync: undefined,
    session: makeTimer("sessions", () => expireSession(context, group, memberId))
  }
  group.add(member)
  // A member whose connection broke while it waited for its first rebalance must not hold its place for ever.
  renewSession(context, member, context.options.newMemberJoinTimeout)
  rebalance(context, group)
}

const parkJoin = (context: GroupContext, group: ClassicGroup, join: Join, member: ClassicMember): void => {
  group.setProtocols(member, join.protocols)
  member.rebalanceTimeout = join.rebalanceTimeout
  member.sessionTimeout = join.request.sessionTimeoutMs
  // The same member on another connection: the one that is left hanging there is told to come again.
  const superseded = group.park(member, join.parked)
  if (superseded !== undefined) refuseJoin(context, superseded, REBALANCE_IN_PROGRESS, member.memberId)
}

const updateMember = (context: GroupContext, group: ClassicGroup, join: Join, member: ClassicMember): void => {
  parkJoin(context, group, join, member)
  rebalance(context, group)
}

/** A static member came back without its id: it gets a new one and, if nothing else changed, its old assignment, without a rebalance. */
const replaceStaticMember = (
  context: GroupContext,
  group: ClassicGroup,
  join: Join,
  old: ClassicMember,
  memberId: string
): void => {
  const { parked } = join
  const formerLeader = group.leader
  fenceRequests(context, group, old)
  context.timers.cancel(old.session)
  const member: ClassicMember = {
    ...old,
    memberId,
    isNew: false,
    join: undefined,
    sync: undefined,
    session: makeTimer("sessions", () => expireSession(context, group, memberId))
  }
  group.replace(old, member)
  parkJoin(context, group, join, member)
  renewSession(context, member)
  if (group.state === "CompletingRebalance") return prepareRebalance(context, group)
  if (group.state === "PreparingRebalance") return maybeCompleteJoin(context, group)
  if (group.selectProtocol() !== group.protocolName) return rebalance(context, group)
  group.unparkJoin(member)
  writeDurable(group)
  if (parked.version >= SKIP_ASSIGNMENT_FROM) {
    const leads = group.leader === memberId
    acceptJoin(context, group, memberId, parked, { members: leads, skipAssignment: leads })
  } else {
    // Older clients cannot skip the assignment: under its former id the leader does not see that it leads, and computes none.
    acceptJoin(context, group, memberId, parked, { members: false, leader: formerLeader })
  }
}
