/** Groups of the classic protocol come into being: empty, or from what was written of them. */
import type { DurableClassicGroup } from "./classicDurable.ts"
import { ClassicGroup, type ClassicMember } from "./ClassicGroup.ts"
import { expireSession, onJoinDeadline, onSyncDeadline } from "./classicRebalance.ts"
import type { GroupContext } from "./GroupContext.ts"
import { makeTimer } from "./Timers.ts"

/** A group from what was written of it; the sessions of its members start anew. */
export const readDurable = (context: GroupContext, groupId: string, durable: DurableClassicGroup): ClassicGroup => {
  const group = newClassicGroup(context, groupId)
  for (const written of durable.members) {
    const member: ClassicMember = {
      memberId: written.memberId,
      instanceId: written.instanceId,
      clientId: written.clientId,
      clientHost: written.clientHost,
      protocolType: durable.protocolType ?? "",
      protocols: [written.protocol],
      rebalanceTimeout: written.rebalanceTimeout,
      sessionTimeout: written.sessionTimeout,
      assignment: written.assignment,
      isNew: false,
      join: undefined,
      sync: undefined,
      session: makeTimer("sessions", () => expireSession(context, group, written.memberId))
    }
    group.add(member)
    context.timers.set(member.session, context.now + member.sessionTimeout)
  }
  group.generation = durable.generation
  group.protocolType = durable.protocolType
  group.protocolName = durable.protocolName
  group.leader = durable.leader
  group.subscribedTopics = group.computeSubscribedTopics()
  if (durable.members.length > 0) group.enter("Stable", durable.since)
  group.since = durable.since
  group.durable = durable
  return group
}

/** An empty group, known to the coordinator. */
export const newClassicGroup = (context: GroupContext, groupId: string): ClassicGroup => {
  const group: ClassicGroup = new ClassicGroup(
    groupId,
    context.now,
    () => onJoinDeadline(context, group),
    () => onSyncDeadline(context, group)
  )
  context.groups.set(groupId, group)
  return group
}
