/** The two server-side assignors of KIP-848. */
import type { Partitions } from "./Assignment.ts"
import type { AssignorName } from "./ConsumerGroup.ts"

export interface AssignorMember {
  readonly memberId: string
  readonly instanceId: string | null
  /** Ids of existing topics only. */
  readonly topicIds: ReadonlySet<string>
  /** Its present target. */
  readonly target: Partitions
}

export type Target = Map<string, Partitions>

/** Computes a target for every member. `partitionsOf` knows every topic that a member names. */
export const computeTarget = (
  assignor: AssignorName,
  members: ReadonlyArray<AssignorMember>,
  partitionsOf: (topicId: string) => number
): Target => (assignor === "range" ? range : uniform)(members, partitionsOf)

type Mutable = Map<string, Set<number>>

const give = (to: Mutable, topicId: string, partition: number): void => {
  const partitions = to.get(topicId)
  if (partitions === undefined) to.set(topicId, new Set([partition]))
  else partitions.add(partition)
}

const inOrder = (a: AssignorMember, b: AssignorMember): number => {
  if (a.instanceId !== null && b.instanceId !== null) return a.instanceId < b.instanceId ? -1 : 1
  if (a.instanceId !== null) return -1
  if (b.instanceId !== null) return 1
  return a.memberId < b.memberId ? -1 : 1
}

/** Neighbouring partitions of each topic to each of its subscribers; the first ones get one more when it does not divide. */
const range = (members: ReadonlyArray<AssignorMember>, partitionsOf: (topicId: string) => number): Target => {
  const sorted = [...members].sort(inOrder)
  const target = new Map<string, Mutable>(members.map(({ memberId }) => [memberId, new Map()]))
  const subscribers = new Map<string, Array<AssignorMember>>()
  for (const member of sorted) {
    for (const topicId of member.topicIds) {
      const list = subscribers.get(topicId)
      if (list === undefined) subscribers.set(topicId, [member])
      else list.push(member)
    }
  }
  for (const [topicId, list] of subscribers) {
    const count = partitionsOf(topicId)
    const quota = Math.floor(count / list.length)
    let extra = count % list.length
    let start = 0
    for (const { memberId } of list) {
      const end = start + quota + (extra-- > 0 ? 1 : 0)
      for (let partition = start; partition < end; partition++) give(target.get(memberId)!, topicId, partition)
      start = end
    }
  }
  return target
}

/** The same number of partitions to every member, give or take one, moving as few as possible. */
const uniform = (members: ReadonlyArray<AssignorMember>, partitionsOf: (topicId: string) => number): Target => {
  const first = members[0]
  if (first === undefined) return new Map()
  const alike = members.every(({ topicIds }) =>
    topicIds.size === first.topicIds.size && Array.from(topicIds).every((id) => first.topicIds.has(id))
  )
  return alike ? uniformAlike(members, first.topicIds, partitionsOf) : uniformUnlike(members, partitionsOf)
}

const uniformAlike = (
  members: ReadonlyArray<AssignorMember>,
  topicIds: ReadonlySet<string>,
  partitionsOf: (topicId: string) => number
): Target => {
  const target = new Map<string, Mutable>(members.map(({ memberId }) => [memberId, new Map()]))
  const taken = new Set<string>()
  const left: Array<readonly [topicId: string, partition: number]> = []
  let total = 0
  for (const topicId of topicIds) total += partitionsOf(topicId)
  const quota = Math.floor(total / members.length)
  let extra = total % members.length
  const open: Array<{ readonly memberId: string; room: number }> = []
  members.forEach((member, i) => {
    let room = extra > 0 ? quota + 1 : quota
    let hasExtra = extra > 0
    for (const [topicId, partitions] of member.target) {
      if (!topicIds.has(topicId)) continue
      const count = partitionsOf(topicId)
      for (const partition of partitions) {
        if (room === 0 || partition >= count) continue
        room--
        give(target.get(member.memberId)!, topicId, partition)
        taken.add(`${topicId}:${partition}`)
      }
    }
    // Leave the extra partition to a member that has it already, unless too few members are left to take it.
    if (room > 0 && hasExtra && members.length - i > extra) {
      room--
      hasExtra = false
    }
    if (room > 0) open.push({ memberId: member.memberId, room })
    if (hasExtra) extra--
  })
  for (const topicId of topicIds) {
    const count = partitionsOf(topicId)
    for (let partition = 0; partition < count; partition++) {
      if (!taken.has(`${topicId}:${partition}`)) left.push([topicId, partition])
    }
  }
  let at = 0
  for (const { memberId, room } of open) {
    for (let i = 0; i < room && at < left.length; i++) {
      const [topicId, partition] = left[at++]!
      give(target.get(memberId)!, topicId, partition)
    }
  }
  return target
}

/**
 * Members with different subscriptions: keeps what they have, gives each free partition to its least loaded subscriber, then moves
 * partitions from fuller to emptier members while that makes the two more equal. Kafka gets to a balance by another procedure, so that the
 * partitions need not be with the same members.
 */
const uniformUnlike = (
  members: ReadonlyArray<AssignorMember>,
  partitionsOf: (topicId: string) => number
): Target => {
  const target = new Map<string, Mutable>(members.map(({ memberId }) => [memberId, new Map()]))
  const load = new Map<string, number>(members.map(({ memberId }) => [memberId, 0]))
  const subscribers = new Map<string, Array<string>>()
  for (const { memberId, topicIds } of members) {
    for (const topicId of topicIds) {
      const list = subscribers.get(topicId)
      if (list === undefined) subscribers.set(topicId, [memberId])
      else list.push(memberId)
    }
  }
  const owner = new Map<string, Map<number, string>>()
  const move = (topicId: string, partition: number, to: string): void => {
    let partitions = owner.get(topicId)
    if (partitions === undefined) owner.set(topicId, partitions = new Map())
    const from = partitions.get(partition)
    if (from !== undefined) {
      target.get(from)!.get(topicId)!.delete(partition)
      if (target.get(from)!.get(topicId)!.size === 0) target.get(from)!.delete(topicId)
      load.set(from, load.get(from)! - 1)
    }
    give(target.get(to)!, topicId, partition)
    load.set(to, load.get(to)! + 1)
    partitions.set(partition, to)
  }
  for (const { memberId, target: present, topicIds } of members) {
    for (const topicId of topicIds) {
      for (const partition of present.get(topicId) ?? []) {
        if (partition < partitionsOf(topicId)) move(topicId, partition, memberId)
      }
    }
  }
  const leastLoaded = (candidates: ReadonlyArray<string>): string => {
    let best = candidates[0]!
    for (const memberId of candidates) if (load.get(memberId)! < load.get(best)!) best = memberId
    return best
  }
  // Topics with few subscribers first: their partitions have fewer places to go.
  const topics = [...subscribers].sort(([, a], [, b]) => a.length - b.length)
  for (const [topicId, candidates] of topics) {
    for (let partition = 0; partition < partitionsOf(topicId); partition++) {
      if (owner.get(topicId)?.get(partition) === undefined) move(topicId, partition, leastLoaded(candidates))
    }
  }
  // A member that has too much may have to hand on through others, since it need not share a topic with the one that has too little.
  const lighten = (from: string): boolean => {
    const cameFrom = new Map<string, readonly [giver: string, topicId: string, partition: number]>()
    const reached = [from]
    for (const giver of reached) {
      for (const [topicId, partitions] of target.get(giver)!) {
        const [partition] = partitions
        for (const taker of subscribers.get(topicId)!) {
          if (taker === from || cameFrom.has(taker)) continue
          cameFrom.set(taker, [giver, topicId, partition!])
          if (load.get(from)! - load.get(taker)! < 2) {
            reached.push(taker)
            continue
          }
          for (let to = taker; to !== from;) {
            const [by, topic, moved] = cameFrom.get(to)!
            move(topic, moved, to)
            to = by
          }
          return true
        }
      }
    }
    return false
  }
  while (members.some(({ memberId }) => lighten(memberId)));
  return target
}
