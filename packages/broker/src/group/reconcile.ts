/** One member's way to the target assignment (KIP-848's member state machine, with KIP-1251's epoch per partition). */
import { claimsAny, type OwnedPartitions, OWNS_NOTHING, type TopicPartitions } from "./Assignment.ts"
import type { ConsumerGroup, ConsumerMember, Reconciliation } from "./ConsumerGroup.ts"

export interface Reconcile {
  /** The ids of the topics that the member subscribes to now; a target that it no longer wants does not count. */
  readonly subscribed: ReadonlySet<string>
  readonly subscriptionChanged: boolean
  /** What the client says it owns; null if it does not say. */
  readonly claimed: ReadonlyArray<TopicPartitions> | null
}

/** Moves the member as far as it can go now. Returns whether anything changed. */
export const reconcile = (group: ConsumerGroup, member: ConsumerMember, options: Reconcile): boolean => {
  if (!options.subscriptionChanged && group.isReconciled(member)) return false
  switch (member.state) {
    case "stable":
      if (member.epoch !== group.assignmentEpoch) return next(group, member, options)
      return options.subscriptionChanged && dropUnsubscribed(group, member, options)
    case "unrevoked":
      if (!claimsAny(options.claimed, member.revoking)) return next(group, member, options)
      return options.subscriptionChanged && dropUnsubscribed(group, member, options)
    case "unreleased":
      return next(group, member, options)
  }
}

const next = (group: ConsumerGroup, member: ConsumerMember, options: Reconcile): boolean => {
  const target = group.targetOf(member.memberId)
  const kept = new Map<string, Map<number, number>>()
  const revoked = new Map<string, Map<number, number>>()
  for (const [topicId, partitions] of member.assigned) {
    const wanted = options.subscribed.has(topicId) ? target.get(topicId) : undefined
    for (const [partition, epoch] of partitions) {
      put(wanted?.has(partition) === true ? kept : revoked, topicId, partition, epoch)
    }
  }
  if (revoked.size > 0 && claimsAny(options.claimed, revoked)) {
    return settle(group, member, "unrevoked", member.epoch, kept, revoked)
  }
  let unreleased = false
  for (const [topicId, partitions] of target) {
    if (!options.subscribed.has(topicId)) continue
    for (const partition of partitions) {
      if (kept.get(topicId)?.has(partition) === true) continue
      const owner = group.ownerOf(topicId, partition)
      if (owner !== undefined && owner !== member.memberId) unreleased = true
      else put(kept, topicId, partition, group.assignmentEpoch)
    }
  }
  return settle(group, member, unreleased ? "unreleased" : "stable", group.assignmentEpoch, kept, OWNS_NOTHING)
}

/** A member gives up topics as soon as it no longer subscribes to them, before there is a new target. */
const dropUnsubscribed = (group: ConsumerGroup, member: ConsumerMember, options: Reconcile): boolean => {
  const kept = new Map<string, ReadonlyMap<number, number>>()
  const revoking = new Map<string, Map<number, number>>()
  for (const [topicId, partitions] of member.revoking) revoking.set(topicId, new Map(partitions))
  let dropped = false
  for (const [topicId, partitions] of member.assigned) {
    if (options.subscribed.has(topicId)) {
      kept.set(topicId, partitions)
      continue
    }
    dropped = true
    for (const [partition, epoch] of partitions) put(revoking, topicId, partition, epoch)
  }
  if (!dropped) return false
  if (claimsAny(options.claimed, revoking)) {
    return settle(group, member, "unrevoked", member.epoch, kept, revoking)
  }
  return settle(group, member, member.state, member.epoch, kept, member.revoking)
}

const settle = (
  group: ConsumerGroup,
  member: ConsumerMember,
  state: Reconciliation,
  epoch: number,
  assigned: OwnedPartitions,
  revoking: OwnedPartitions
): boolean => {
  member.previousEpoch = member.epoch
  member.epoch = epoch
  member.state = state
  group.setOwnership(member, assigned, revoking)
  return true
}

const put = (into: Map<string, Map<number, number>>, topicId: string, partition: number, epoch: number): void => {
  const partitions = into.get(topicId)
  if (partitions === undefined) into.set(topicId, new Map([[partition, epoch]]))
  else partitions.set(partition, epoch)
}
