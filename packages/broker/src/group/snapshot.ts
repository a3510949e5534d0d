/** What of a coordinator outlives it, as plain data. Requests that wait, and rebalances under way, do not. */
import type { OwnedPartitions, Partitions } from "./Assignment.ts"
import type { DurableClassicGroup } from "./classicDurable.ts"
import { readDurable } from "./classicRestore.ts"
import { type AssignorName, ConsumerGroup, type ConsumerMember, type Reconciliation } from "./ConsumerGroup.ts"
import { fenceMember, renewSession } from "./consumerMembers.ts"
import type { GroupContext } from "./GroupContext.ts"
import type { OffsetsSnapshot } from "./OffsetStore.ts"
import { makeTimer } from "./Timers.ts"

export interface GroupSnapshot {
  readonly classic: ReadonlyArray<{ readonly groupId: string; readonly group: DurableClassicGroup }>
  readonly consumer: ReadonlyArray<DurableConsumerGroup>
  readonly offsets: OffsetsSnapshot
}

export interface DurableConsumerGroup {
  readonly groupId: string
  readonly epoch: number
  readonly assignmentEpoch: number
  readonly assignedAt: number | undefined
  readonly metadataHash: string
  readonly since: number
  readonly members: ReadonlyArray<DurableConsumerMember>
  readonly target: Map<string, Partitions>
  readonly resolved: Map<string, ReadonlyArray<string>>
}

export interface DurableConsumerMember {
  readonly memberId: string
  readonly instanceId: string | null
  readonly rackId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly rebalanceTimeout: number
  readonly serverAssignor: AssignorName | null
  readonly subscribedTopics: ReadonlyArray<string>
  readonly regex: string
  readonly epoch: number
  readonly previousEpoch: number
  readonly state: Reconciliation
  readonly assigned: OwnedPartitions
  readonly revoking: OwnedPartitions
}

export const writeConsumer = (group: ConsumerGroup): DurableConsumerGroup => ({
  groupId: group.groupId,
  epoch: group.epoch,
  assignmentEpoch: group.assignmentEpoch,
  assignedAt: group.assignedAt,
  metadataHash: group.metadataHash,
  since: group.since,
  members: Array.from(group.members.values(), ({ revocation: _, session: __, ...member }) => member),
  target: group.target,
  resolved: group.resolved
})

/** All groups, in copies that share nothing with the coordinator. */
export const takeSnapshot = (context: GroupContext): GroupSnapshot => {
  const classic: Array<{ readonly groupId: string; readonly group: DurableClassicGroup }> = []
  const consumer: Array<DurableConsumerGroup> = []
  for (const group of context.groups.values()) {
    if (group.type === "consumer") consumer.push(writeConsumer(group))
    else classic.push({ groupId: group.groupId, group: group.durable ?? emptyClassic(group.since) })
  }
  return { ...structuredClone({ classic, consumer }), offsets: context.offsets.snapshot() }
}

/** Puts the groups of a snapshot into a coordinator that has none of these. */
export const restoreGroups = (context: GroupContext, snapshot: Omit<GroupSnapshot, "offsets">): void => {
  const { classic, consumer } = structuredClone({ classic: snapshot.classic, consumer: snapshot.consumer })
  for (const { group, groupId } of classic) readDurable(context, groupId, group)
  for (const durable of consumer) readConsumer(context, durable)
}

/** A group that has only ever had offsets. */
export const emptyClassic = (since: number): DurableClassicGroup => ({
  generation: 0,
  protocolType: undefined,
  protocolName: undefined,
  leader: undefined,
  since,
  members: []
})

const readConsumer = (context: GroupContext, durable: DurableConsumerGroup): void => {
  const group = new ConsumerGroup(durable.groupId, durable.since)
  group.epoch = durable.epoch
  group.assignmentEpoch = durable.assignmentEpoch
  group.assignedAt = durable.assignedAt
  group.metadataHash = durable.metadataHash
  group.metadataStale = true
  group.target = durable.target
  for (const [regex, topics] of durable.resolved) group.resolved.set(regex, topics)
  context.groups.set(group.groupId, group)
  for (const written of durable.members) {
    const member: ConsumerMember = {
      ...written,
      session: makeTimer("sessions", () => fenceMember(context, group, written.memberId)),
      revocation: makeTimer("rebalances", () => fenceMember(context, group, written.memberId))
    }
    group.add(member)
    renewSession(context, member)
    if (member.state === "unrevoked") context.timers.set(member.revocation, context.now + member.rebalanceTimeout)
  }
}
