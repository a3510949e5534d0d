/**
 * The rebalance of a classic group: PreparingRebalance waits for every member's JoinGroup until the rebalance timeout, CompletingRebalance
 * for every SyncGroup until the same time has passed again. A member that stays silent is put out by its session timeout, or by the end of
 * the phase it holds up; nobody waits longer than that for it.
 */
import { writeDurable } from "./classicDurable.ts"
import { type ClassicGroup, type ClassicMember, EMPTY_BYTES, metadataOf, type Parked } from "./ClassicGroup.ts"
import { FENCED_INSTANCE_ID, NONE, REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER_ID } from "./errorCodes.ts"
import { type GroupContext, reply } from "./GroupContext.ts"

/** Answers a JoinGroup with an error. */
export const refuseJoin = (context: GroupContext, parked: Parked, errorCode: number, memberId: string): void =>
  reply(context, parked.ticket, {
    throttleTimeMs: 0,
    errorCode,
    generationId: -1,
    protocolType: null,
    protocolName: parked.version >= 7 ? null : "",
    leader: "",
    skipAssignment: false,
    memberId,
    members: []
  })

/** Answers a JoinGroup with the current generation; the members are for the leader only. */
export const acceptJoin = (
  context: GroupContext,
  group: ClassicGroup,
  memberId: string,
  parked: Parked,
  options: { readonly leader?: string | undefined; readonly members: boolean; readonly skipAssignment?: boolean }
): void =>
  reply(context, parked.ticket, {
    throttleTimeMs: 0,
    errorCode: NONE,
    generationId: group.generation,
    protocolType: group.protocolType ?? null,
    protocolName: group.protocolName ?? (parked.version >= 7 ? null : ""),
    leader: options.leader ?? group.leader ?? "",
    skipAssignment: options.skipAssignment ?? false,
    memberId,
    members: options.members
      ? Array.from(group.members.values(), (member) => ({
        memberId: member.memberId,
        groupInstanceId: member.instanceId,
        metadata: metadataOf(member, group.protocolName)
      }))
      : []
  })

/** Answers a SyncGroup. */
export const answerSync = (
  context: GroupContext,
  parked: Parked,
  errorCode: number,
  assignment: Uint8Array = EMPTY_BYTES,
  group?: ClassicGroup
): void =>
  reply(context, parked.ticket, {
    throttleTimeMs: 0,
    errorCode,
    protocolType: group?.protocolType ?? null,
    protocolName: group?.protocolName ?? null,
    assignment
  })

/** Lets the member's session end `timeout` from now. */
export const renewSession = (
  context: GroupContext,
  member: ClassicMember,
  timeout: number = member.sessionTimeout
): void => context.timers.set(member.session, context.now + timeout)

/** A member that cannot be waited for any more is forgotten, and what it waited for is answered. */
export const dropMember = (context: GroupContext, group: ClassicGroup, member: ClassicMember): void => {
  const join = group.unparkJoin(member)
  if (join !== undefined) refuseJoin(context, join, UNKNOWN_MEMBER_ID, "")
  const sync = group.unparkSync(member)
  if (sync !== undefined) answerSync(context, sync, UNKNOWN_MEMBER_ID)
  context.timers.cancel(member.session)
  group.remove(member)
}

/** What a static member still waited for under an id that is no longer its own. */
export const fenceRequests = (context: GroupContext, group: ClassicGroup, member: ClassicMember): void => {
  const join = group.unparkJoin(member)
  if (join !== undefined) refuseJoin(context, join, FENCED_INSTANCE_ID, member.memberId)
  const sync = group.unparkSync(member)
  if (sync !== undefined) answerSync(context, sync, FENCED_INSTANCE_ID)
}

/** Begins a rebalance if none is under way, or ends its first phase if this was what it waited for. */
export const rebalance = (context: GroupContext, group: ClassicGroup): void => {
  if (group.state === "PreparingRebalance") maybeCompleteJoin(context, group)
  else prepareRebalance(context, group)
}

export const prepareRebalance = (context: GroupContext, group: ClassicGroup): void => {
  if (group.state === "CompletingRebalance") {
    for (const member of group.members.values()) member.assignment = EMPTY_BYTES
    answerSyncs(context, group, REBALANCE_IN_PROGRESS)
  }
  endSyncPhase(context, group)
  const first = group.state === "Empty"
  group.enter("PreparingRebalance", context.now)
  if (first) {
    const delay = context.options.initialRebalanceDelay
    delayFirstRebalance(context, group, delay, Math.max(group.rebalanceTimeout - delay, 0))
  } else if (group.allJoined) {
    completeJoin(context, group)
  } else {
    context.timers.set(group.joinTimer, context.now + group.rebalanceTimeout)
  }
}

/** The first rebalance of a group is never ended early, so that members which start together come into one generation. */
export const maybeCompleteJoin = (context: GroupContext, group: ClassicGroup): void => {
  if (group.state === "PreparingRebalance" && group.previousState !== "Empty" && group.allJoined) {
    completeJoin(context, group)
  }
}

const delayFirstRebalance = (
  context: GroupContext,
  group: ClassicGroup,
  delay: number,
  remaining: number
): void => {
  group.firstRebalance = { delay, remaining }
  if (delay > 0) context.timers.set(group.joinTimer, context.now + delay)
  else onJoinDeadline(context, group)
}

/** The time for JoinGroup requests is over. */
export const onJoinDeadline = (context: GroupContext, group: ClassicGroup): void => {
  const first = group.firstRebalance
  if (first !== undefined && group.newMemberAdded && first.remaining !== 0) {
    group.newMemberAdded = false
    const delay = Math.min(context.options.initialRebalanceDelay, first.remaining)
    delayFirstRebalance(context, group, delay, Math.max(first.remaining - first.delay, 0))
    return
  }
  completeJoin(context, group)
}

const completeJoin = (context: GroupContext, group: ClassicGroup): void => {
  group.firstRebalance = undefined
  group.newMemberAdded = false
  context.timers.cancel(group.joinTimer)
  // A static member may be away for its session timeout without losing its place.
  for (const member of [...group.members.values()]) {
    if (member.join === undefined && member.instanceId === null) dropMember(context, group, member)
  }
  if (!group.electLeader() && group.members.size > 0) {
    context.timers.set(group.joinTimer, context.now + group.rebalanceTimeout)
    return
  }
  group.nextGeneration(context.now)
  if (group.state === "Empty") {
    writeDurable(group)
    return
  }
  for (const member of group.members.values()) {
    const join = group.unparkJoin(member)
    if (join !== undefined) {
      acceptJoin(context, group, member.memberId, join, { members: group.leader === member.memberId })
    }
    member.isNew = false
    group.pendingSyncs.add(member.memberId)
    renewSession(context, member)
  }
  context.timers.set(group.syncTimer, context.now + group.rebalanceTimeout)
}

/** The time for SyncGroup requests is over: who has not sent one is out. */
export const onSyncDeadline = (context: GroupContext, group: ClassicGroup): void => {
  if (group.state !== "CompletingRebalance" && group.state !== "Stable") return
  if (group.pendingSyncs.size === 0) return
  for (const memberId of [...group.pendingSyncs]) {
    const member = group.members.get(memberId)
    if (member !== undefined) dropMember(context, group, member)
  }
  prepareRebalance(context, group)
}

/** A SyncGroup request arrived. */
export const synced = (context: GroupContext, group: ClassicGroup, memberId: string): void => {
  group.pendingSyncs.delete(memberId)
  if (group.pendingSyncs.size === 0) context.timers.cancel(group.syncTimer)
}

/** The leader's assignment ends the rebalance. */
export const assign = (
  context: GroupContext,
  group: ClassicGroup,
  assignments: ReadonlyMap<string, Uint8Array>
): void => {
  for (const member of group.members.values()) member.assignment = assignments.get(member.memberId) ?? EMPTY_BYTES
  answerSyncs(context, group, NONE)
  group.enter("Stable", context.now)
  writeDurable(group)
}

const answerSyncs = (context: GroupContext, group: ClassicGroup, errorCode: number): void => {
  for (const member of group.members.values()) {
    const sync = group.unparkSync(member)
    if (sync === undefined) continue
    answerSync(context, sync, errorCode, member.assignment, errorCode === NONE ? group : undefined)
    renewSession(context, member)
  }
}

const endSyncPhase = (context: GroupContext, group: ClassicGroup): void => {
  group.pendingSyncs.clear()
  context.timers.cancel(group.syncTimer)
}

/** A member's session ended. One that waits for an answer is not expected to send heartbeats, unless it has waited since it is new. */
export const expireSession = (context: GroupContext, group: ClassicGroup, memberId: string): void => {
  const member = group.members.get(memberId)
  if (member === undefined) return
  if (!member.isNew && (member.join !== undefined || member.sync !== undefined)) return
  dropMember(context, group, member)
  membersLeft(context, group)
}

/** An id given out by MEMBER_ID_REQUIRED was never used. */
export const expirePendingJoin = (context: GroupContext, group: ClassicGroup, memberId: string): void => {
  if (!group.pendingJoins.delete(memberId)) return
  if (group.state === "PreparingRebalance" && group.allJoined) completeJoin(context, group)
}

/** After members were removed, the others must share out what they had. */
export const membersLeft = (context: GroupContext, group: ClassicGroup): void => {
  if (group.state === "Stable" || group.state === "CompletingRebalance") prepareRebalance(context, group)
  else if (group.state === "PreparingRebalance" && group.allJoined) completeJoin(context, group)
}
