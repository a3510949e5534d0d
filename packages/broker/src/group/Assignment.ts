/** Sets of partitions by topic id, in the two forms that KIP-848 needs. */

/** Partitions that a member should have. */
export type Partitions = ReadonlyMap<string, ReadonlySet<number>>

/** Partitions that a member has, each with the member epoch in which it was given (KIP-1251). */
export type OwnedPartitions = ReadonlyMap<string, ReadonlyMap<number, number>>

export interface TopicPartitions {
  readonly topicId: string
  readonly partitions: ReadonlyArray<number>
}

export const NO_PARTITIONS: Partitions = new Map()
export const OWNS_NOTHING: OwnedPartitions = new Map()

/** The form that messages have, in ascending order. */
export const toMessage = (partitions: Partitions | OwnedPartitions): Array<TopicPartitions> => {
  const topics: Array<TopicPartitions> = []
  for (const [topicId, inTopic] of partitions) {
    topics.push({ topicId, partitions: Array.from(inTopic.keys()).sort((a, b) => a - b) })
  }
  return topics
}

/** What is in either of two disjoint sets. */
export const union = (a: OwnedPartitions, b: OwnedPartitions): OwnedPartitions => {
  if (b.size === 0) return a
  const both = new Map(a)
  for (const [topicId, partitions] of b) both.set(topicId, new Map([...both.get(topicId) ?? [], ...partitions]))
  return both
}

/** Whether both name the same partitions. */
export const samePartitions = (a: Partitions | OwnedPartitions, b: Partitions | OwnedPartitions): boolean => {
  if (a === b) return true
  if (a.size !== b.size) return false
  for (const [topicId, inA] of a) {
    const inB = b.get(topicId)
    if (inB === undefined || inA.size !== inB.size) return false
    for (const partition of inA.keys()) if (!inB.has(partition)) return false
  }
  return true
}

/** Whether everything that a client says it owns is in `owned`; false if it says nothing. */
export const isSubset = (claimed: ReadonlyArray<TopicPartitions> | null, owned: OwnedPartitions): boolean =>
  claimed !== null && claimed.every(({ partitions, topicId }) => {
    const inTopic = owned.get(topicId)
    return inTopic !== undefined && partitions.every((partition) => inTopic.has(partition))
  })

/** Whether a client still owns one of `partitions`; true if it does not say what it owns. */
export const claimsAny = (
  claimed: ReadonlyArray<TopicPartitions> | null,
  partitions: OwnedPartitions
): boolean =>
  claimed === null || claimed.some((topic) => {
    const inTopic = partitions.get(topic.topicId)
    return inTopic !== undefined && topic.partitions.some((partition) => inTopic.has(partition))
  })
