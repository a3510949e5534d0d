/**
 * How a group's partitions are shared out, and what its members tell each other (R16).
 *
 * A member's subscription carries its replica name and incarnation. Of several members of one replica only the newest
 * is assigned anything: a process that was replaced cannot hold partitions against its replacement. Members are ordered
 * by replica name, so that a restart gets its partitions back.
 */
import { internals } from "./kafkajsInternals.ts"

/** The name under which the group knows this assignor: members with other assignors cannot join it. */
export const protocolName = "exactly-once"

export interface Announcement {
  readonly replica: string
  readonly incarnation: bigint
}

export interface Subscription {
  readonly topics: ReadonlyArray<string>
  readonly member: Announcement | undefined
}

const layoutVersion = 1

const encodeAnnouncement = (member: Announcement | undefined): Buffer => {
  if (member === undefined) return Buffer.alloc(0)
  const name = Buffer.from(member.replica)
  const out = Buffer.alloc(1 + 8 + name.length)
  out.writeUInt8(layoutVersion, 0)
  out.writeBigInt64BE(member.incarnation, 1)
  name.copy(out, 9)
  return out
}

const decodeAnnouncement = (bytes: Buffer | null): Announcement | undefined =>
  bytes === null || bytes.length < 9 || bytes[0] !== layoutVersion
    ? undefined
    : { incarnation: bytes.readBigInt64BE(1), replica: bytes.toString("utf8", 9) }

export const encodeSubscription = ({ member, topics }: Subscription): Buffer =>
  internals().MemberMetadata.encode({ version: 0, topics, userData: encodeAnnouncement(member) })

/** `undefined` for bytes that are no subscription: a group that is rebalancing shows none. */
export const decodeSubscription = (bytes: Buffer): Subscription | undefined => {
  if (bytes.length < 2) return undefined
  const { topics, userData } = internals().MemberMetadata.decode(bytes)
  return { topics, member: decodeAnnouncement(userData) }
}

export interface Assignment {
  readonly topic: string
  readonly partitions: ReadonlyArray<number>
}

export const encodeAssignment = (assignments: ReadonlyArray<Assignment>): Buffer =>
  internals().MemberAssignment.encode({
    version: 0,
    assignment: Object.fromEntries(assignments.map(({ partitions, topic }) => [topic, partitions]))
  })

export const decodeAssignment = (bytes: Buffer): ReadonlyArray<Assignment> => {
  const decoded = bytes.length < 2 ? null : internals().MemberAssignment.decode(bytes)
  return decoded === null
    ? []
    : Object.entries(decoded.assignment).map(([topic, partitions]) => ({
      topic,
      partitions: partitions.toSorted((a, b) => a - b)
    }))
}

export interface Candidate {
  readonly memberId: string
  readonly subscription: Subscription
}

const compareText = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

/** The members that take part: without those whose replica has a newer incarnation, in the order of their names. */
const eligible = (members: ReadonlyArray<Candidate>): ReadonlyArray<Candidate> => {
  const newest = new Map<string, Announcement & { readonly memberId: string }>()
  for (const { memberId, subscription: { member } } of members) {
    if (member === undefined) continue
    const known = newest.get(member.replica)
    // two members that claim one incarnation are told apart by their member ids, the same way on every leader
    if (
      known === undefined || member.incarnation > known.incarnation ||
      (member.incarnation === known.incarnation && memberId > known.memberId)
    ) newest.set(member.replica, { ...member, memberId })
  }
  return members
    .filter(({ memberId, subscription: { member } }) =>
      member === undefined || newest.get(member.replica)?.memberId === memberId
    )
    .toSorted((a, b) =>
      compareText(a.subscription.member?.replica ?? a.memberId, b.subscription.member?.replica ?? b.memberId)
    )
}

/** Every partition to one subscribed member, one after the other. Members that get nothing are listed with nothing. */
export const assign = (
  members: ReadonlyArray<Candidate>,
  partitionCounts: ReadonlyMap<string, number>
): ReadonlyMap<string, ReadonlyArray<Assignment>> => {
  const shares = new Map<string, Map<string, Array<number>>>(members.map(({ memberId }) => [memberId, new Map()]))
  const takers = eligible(members)
  let turn = 0
  for (const topic of [...partitionCounts.keys()].toSorted(compareText)) {
    const subscribed = takers.filter(({ subscription }) => subscription.topics.includes(topic))
    if (subscribed.length === 0) continue
    for (let partition = 0; partition < (partitionCounts.get(topic) ?? 0); partition++) {
      const taker = subscribed[turn++ % subscribed.length]
      const share = taker === undefined ? undefined : shares.get(taker.memberId)
      const partitions = share?.get(topic)
      if (partitions === undefined) share?.set(topic, [partition])
      else partitions.push(partition)
    }
  }
  return new Map(
    [...shares].map(([memberId, share]) => [
      memberId,
      [...share].map(([topic, partitions]) => ({ topic, partitions }))
    ])
  )
}
