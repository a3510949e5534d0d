/** Offsets that nobody uses any more, and then the groups that had them, go after a while (KIP-211). */
import type { ClassicGroup } from "./ClassicGroup.ts"
import type { ConsumerGroup } from "./ConsumerGroup.ts"
import { type GroupContext, removeGroup } from "./GroupContext.ts"
import type { CommittedOffset } from "./OffsetStore.ts"

/** Removes what has expired. */
export const removeExpired = (context: GroupContext): void => {
  for (const group of [...context.groups.values()]) {
    const left = removeOffsets(context, group, context.now)
    if (!left && !context.offsets.hasPending(group.groupId) && group.isEmpty) removeGroup(context, group.groupId)
  }
}

/** Brings the end of all offsets nearer, also of those whose age counts from when their group became empty. */
export const backdate = (context: GroupContext, millis: number): void => {
  context.offsets.backdate(millis)
  for (const group of context.groups.values()) if (group.isEmpty) group.since -= millis
}

/** Whether offsets are left. */
const removeOffsets = (context: GroupContext, group: ClassicGroup | ConsumerGroup, now: number): boolean => {
  const { groupId } = group
  const { offsets, options } = context
  const base = retentionBase(group)
  let left = false
  for (const [topic, partitions] of [...offsets.committed(groupId)]) {
    for (const [partition, value] of [...partitions]) {
      const expired = base !== undefined &&
        !group.isSubscribedTo(topic) &&
        !offsets.isPending(groupId, topic, partition) &&
        isExpired(value, base(value), now, options.offsetsRetention)
      if (expired) offsets.delete(groupId, topic, partition)
      else left = true
    }
  }
  return left
}

const isExpired = (value: CommittedOffset, base: number, now: number, retention: number): boolean =>
  value.expiresAt === undefined ? now - base >= retention : now >= value.expiresAt

/** What an offset's age counts from; `undefined` while the group is in use and offsets do not expire. */
const retentionBase = (
  group: ClassicGroup | ConsumerGroup
): ((value: CommittedOffset) => number) | undefined => {
  const committed = (value: CommittedOffset): number => value.committedAt
  if (group.type === "consumer" || group.protocolType === undefined) return committed
  if (group.isEmpty) return () => group.since
  return group.isConsumer && group.subscribedTopics !== undefined && group.state === "Stable" ? committed : undefined
}
