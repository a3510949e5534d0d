/**
 * Committed offsets of all groups, and those that open transactions have written. Every write has a position, as it has in Kafka's offsets
 * topic: when a transaction commits, its offset counts only if nothing was committed at a later position in the meantime. So of two
 * transactions of one group the one that wrote last wins, whichever commits last.
 */

export interface CommittedOffset {
  readonly offset: bigint
  readonly leaderEpoch: number
  readonly metadata: string
  /** When it was written; what its retention counts from. */
  readonly committedAt: number
  /** When it expires, if the client said so (OffsetCommit 2-4). */
  readonly expiresAt: number | undefined
  readonly position: number
}

type ByPartition<A> = Map<number, A>
type ByTopic<A> = Map<string, ByPartition<A>>
type ByGroup<A> = Map<string, ByTopic<A>>

const put = <A>(into: ByGroup<A>, groupId: string, topic: string, partition: number, value: A): void => {
  let topics = into.get(groupId)
  if (topics === undefined) into.set(groupId, topics = new Map())
  let partitions = topics.get(topic)
  if (partitions === undefined) topics.set(topic, partitions = new Map())
  partitions.set(partition, value)
}

const drop = <A>(from: ByGroup<A>, groupId: string, topic: string, partition: number): boolean => {
  const topics = from.get(groupId)
  const partitions = topics?.get(topic)
  if (topics === undefined || partitions === undefined || !partitions.delete(partition)) return false
  if (partitions.size === 0) topics.delete(topic)
  if (topics.size === 0) from.delete(groupId)
  return true
}

export interface OffsetsSnapshot {
  readonly position: number
  readonly committed: ByGroup<CommittedOffset>
  readonly pending: Map<bigint, ByGroup<CommittedOffset>>
}

export class OffsetStore {
  private position = 0
  private readonly byGroup: ByGroup<CommittedOffset> = new Map()
  private readonly pendingOf = new Map<bigint, ByGroup<CommittedOffset>>()
  /** The producers with a pending offset of a partition. */
  private readonly open: ByGroup<Set<bigint>> = new Map()

  /** The position of the next write. */
  nextPosition(): number {
    return this.position++
  }

  /** Writes an offset outside of any transaction: it counts at once. */
  commit(groupId: string, topic: string, partition: number, value: CommittedOffset): void {
    put(this.byGroup, groupId, topic, partition, value)
  }

  /** Writes an offset that counts when the producer's transaction commits. */
  commitPending(producerId: bigint, groupId: string, topic: string, partition: number, value: CommittedOffset): void {
    let groups = this.pendingOf.get(producerId)
    if (groups === undefined) this.pendingOf.set(producerId, groups = new Map())
    put(groups, groupId, topic, partition, value)
    const producers = this.open.get(groupId)?.get(topic)?.get(partition)
    if (producers === undefined) put(this.open, groupId, topic, partition, new Set([producerId]))
    else producers.add(producerId)
  }

  /** A transaction's marker reached the groups that `concerns` names. */
  complete(producerId: bigint, committed: boolean, concerns: (groupId: string) => boolean): void {
    const groups = this.pendingOf.get(producerId)
    if (groups === undefined) return
    for (const [groupId, topics] of groups) {
      if (!concerns(groupId)) continue
      for (const [topic, partitions] of topics) {
        for (const [partition, value] of partitions) {
          this.closeOne(producerId, groupId, topic, partition)
          if (!committed) continue
          const present = this.get(groupId, topic, partition)
          if (present === undefined || value.position > present.position) this.commit(groupId, topic, partition, value)
        }
      }
      groups.delete(groupId)
    }
    if (groups.size === 0) this.pendingOf.delete(producerId)
  }

  get(groupId: string, topic: string, partition: number): CommittedOffset | undefined {
    return this.byGroup.get(groupId)?.get(topic)?.get(partition)
  }

  committed(groupId: string): ReadonlyMap<string, ReadonlyMap<number, CommittedOffset>> {
    return this.byGroup.get(groupId) ?? new Map<string, ReadonlyMap<number, CommittedOffset>>()
  }

  /** Whether a transaction that is not over has written an offset of this partition. */
  isPending(groupId: string, topic: string, partition: number): boolean {
    return this.open.get(groupId)?.get(topic)?.has(partition) ?? false
  }

  /** Whether any partition of the group is pending. */
  hasPending(groupId: string): boolean {
    return this.open.has(groupId)
  }

  /** The groups in which a producer has pending offsets. */
  pendingGroups(producerId: bigint): Array<string> {
    return Array.from(this.pendingOf.get(producerId)?.keys() ?? [])
  }

  /** Every pending offset of a group, for inspection. */
  *pending(groupId: string): Generator<{
    readonly producerId: bigint
    readonly topic: string
    readonly partition: number
    readonly value: CommittedOffset
  }> {
    for (const [producerId, groups] of this.pendingOf) {
      for (const [topic, partitions] of groups.get(groupId) ?? []) {
        for (const [partition, value] of partitions) yield { producerId, topic, partition, value }
      }
    }
  }

  /** Removes the offset of a partition, pending ones included. */
  delete(groupId: string, topic: string, partition: number): void {
    drop(this.byGroup, groupId, topic, partition)
    for (const producerId of this.open.get(groupId)?.get(topic)?.get(partition) ?? []) {
      const groups = this.pendingOf.get(producerId)
      if (groups === undefined) continue
      drop(groups, groupId, topic, partition)
      if (groups.size === 0) this.pendingOf.delete(producerId)
    }
    drop(this.open, groupId, topic, partition)
  }

  deleteGroup(groupId: string): void {
    for (const source of [this.byGroup, this.open]) {
      for (const [topic, partitions] of [...source.get(groupId) ?? []]) {
        for (const partition of [...partitions.keys()]) this.delete(groupId, topic, partition)
      }
    }
  }

  /** Removes the offsets of a topic in all groups. */
  deleteTopic(topic: string): void {
    for (const source of [this.byGroup, this.open]) {
      for (const [groupId, topics] of [...source]) {
        for (const partition of [...topics.get(topic)?.keys() ?? []]) this.delete(groupId, topic, partition)
      }
    }
  }

  /** Makes every committed offset older than it is. */
  backdate(millis: number): void {
    for (const topics of this.byGroup.values()) {
      for (const partitions of topics.values()) {
        for (const [partition, value] of partitions) {
          partitions.set(partition, {
            ...value,
            committedAt: value.committedAt - millis,
            expiresAt: value.expiresAt === undefined ? undefined : value.expiresAt - millis
          })
        }
      }
    }
  }

  snapshot(): OffsetsSnapshot {
    return structuredClone({ position: this.position, committed: this.byGroup, pending: this.pendingOf })
  }

  static restore(snapshot: OffsetsSnapshot): OffsetStore {
    const store = new OffsetStore()
    const { committed, pending, position } = structuredClone(snapshot)
    store.position = position
    for (const [groupId, topics] of committed) store.byGroup.set(groupId, topics)
    for (const [producerId, groups] of pending) {
      for (const [groupId, topics] of groups) {
        for (const [topic, partitions] of topics) {
          for (const [partition, value] of partitions) store.commitPending(producerId, groupId, topic, partition, value)
        }
      }
    }
    return store
  }

  private closeOne(producerId: bigint, groupId: string, topic: string, partition: number): void {
    const producers = this.open.get(groupId)?.get(topic)?.get(partition)
    if (producers === undefined) return
    producers.delete(producerId)
    if (producers.size === 0) drop(this.open, groupId, topic, partition)
  }
}
