/**
 * What Kafka writes of a classic group into its offsets topic, and what is left of the group when a coordinator starts from that: the last
 * generation with an assignment. A rebalance that was under way is forgotten, and members that joined in it are unknown.
 */
import { ClassicGroup, type ClassicMember, type ClassicProtocol, metadataOf } from "./ClassicGroup.ts"
import { expireSession, onJoinDeadline, onSyncDeadline } from "./classicRebalance.ts"
import type { GroupContext } from "./GroupContext.ts"
import { makeTimer } from "./Timers.ts"

export interface DurableClassicGroup {
  readonly generation: number
  readonly protocolType: string | undefined
  readonly protocolName: string | undefined
  readonly leader: string | undefined
  readonly since: number
  readonly members: ReadonlyArray<DurableClassicMember>
}

export interface DurableClassicMember {
  readonly memberId: string
  readonly instanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly protocol: ClassicProtocol
  readonly rebalanceTimeout: number
  readonly sessionTimeout: number
  readonly assignment: Uint8Array
}

/** Remembers the group as it is now. Called when a rebalance ends, not per heartbeat or commit. */
export const writeDurable = (group: ClassicGroup): void => {
  group.durable = {
    generation: group.generation,
    protocolType: group.protocolType,
    protocolName: group.protocolName,
    leader: group.leader,
    since: group.since,
    members: Array.from(group.members.values(), (member) => ({
      memberId: member.memberId,
      instanceId: member.instanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      protocol: { name: group.protocolName ?? "", metadata: metadataOf(member, group.protocolName) },
      rebalanceTimeout: member.rebalanceTimeout,
      sessionTimeout: member.sessionTimeout,
      assignment: member.assignment
    }))
  }
}

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
