/**
 * How a group's partitions are shared out, and what its members tell each other (R16). The wire form is the same as the
 * other drivers' of this toolkit, so that a group may run on several of them while it is moved from one to the other.
 *
 * A member's subscription carries its replica name and incarnation. Of several members of one replica only the newest
 * is assigned anything: a process that was replaced cannot hold partitions against its replacement. Members are ordered
 * by replica name, so that a restart gets its partitions back.
 */
import { ConsumerProtocol } from "@exactly-once/protocol"

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
/** Version, then the incarnation as int64, then the replica's name in UTF-8. */
const headSize = 9

const utf8 = new TextEncoder()
const text = new TextDecoder()

const encodeAnnouncement = (member: Announcement | undefined): Uint8Array => {
  if (member === undefined) return new Uint8Array(0)
  const name = utf8.encode(member.replica)
  const out = new Uint8Array(headSize + name.length)
  const view = new DataView(out.buffer)
  view.setUint8(0, layoutVersion)
  view.setBigInt64(1, member.incarnation)
  out.set(name, headSize)
  return out
}

const decodeAnnouncement = (bytes: Uint8Array | null): Announcement | undefined =>
  bytes === null || bytes.length < headSize || bytes[0] !== layoutVersion
    ? undefined
    : {
      incarnation: new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getBigInt64(1),
      replica: text.decode(bytes.subarray(headSize))
    }

export const encodeSubscription = ({ member, topics }: Subscription): Uint8Array =>
  ConsumerProtocol.encodeSubscription({ topics, userData: encodeAnnouncement(member) }, 0)

/** `undefined` for bytes that are no subscription: a group that is rebalancing shows none. */
export const decodeSubscription = (bytes: Uint8Array): Subscription | undefined => {
  try {
    const { topics, userData } = ConsumerProtocol.decodeSubscription(bytes)
    return { topics, member: decodeAnnouncement(userData) }
  } catch {
    return undefined
  }
}

export interface Assignment {
  readonly topic: string
  readonly partitions: ReadonlyArray<number>
}

export const encodeAssignment = (assignments: ReadonlyArray<Assignment>): Uint8Array =>
  ConsumerProtocol.encodeAssignment({
    assignedPartitions: assignments.map(({ partitions, topic }) => ({ topic, partitions })),
    userData: new Uint8Array(0)
  }, 0)

export const decodeAssignment = (bytes: Uint8Array): ReadonlyArray<Assignment> =>
  bytes.length < 2 ? [] : ConsumerProtocol.decodeAssignment(bytes).assignedPartitions.map(({ partitions, topic }) => ({
    topic,
    partitions: partitions.toSorted((a, b) => a - b)
  }))

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
    // Two members that claim one incarnation are told apart by their member ids, the same way on every leader.
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

/** Members of `member`'s replica that it has replaced. */
export const replaced = (
  members: ReadonlyArray<{ readonly memberId: string; readonly member: Announcement | undefined }>,
  self: Announcement | undefined
): ReadonlyArray<string> =>
  self === undefined ?
    [] :
    members.flatMap(({ member, memberId }) =>
      member !== undefined && member.replica === self.replica && member.incarnation < self.incarnation ? [memberId] : []
    )

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
    Array.from(shares, ([memberId, share]) => [
      memberId,
      Array.from(share, ([topic, partitions]) => ({ topic, partitions }))
    ])
  )
}
