/**
 * A group of the classic protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup): its members, who leads, and which protocol all of them
 * can speak. What happens when is decided elsewhere; this module keeps the data consistent.
 */
import { ConsumerProtocolSubscription, Reader } from "@exactly-once/protocol"
import type { DurableClassicGroup } from "./classicDurable.ts"
import { FENCED_INSTANCE_ID, NONE, UNKNOWN_MEMBER_ID } from "./errorCodes.ts"
import type { Ticket } from "./GroupEnvironment.ts"
import { makeTimer, type Timer, type Timers } from "./Timers.ts"

export type ClassicState = "Empty" | "PreparingRebalance" | "CompletingRebalance" | "Stable"

export interface ClassicProtocol {
  readonly name: string
  readonly metadata: Uint8Array
}

/** A request that waits for others. */
export interface Parked {
  readonly ticket: Ticket
  readonly version: number
}

export interface ClassicMember {
  readonly memberId: string
  readonly instanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly protocolType: string
  protocols: ReadonlyArray<ClassicProtocol>
  rebalanceTimeout: number
  sessionTimeout: number
  assignment: Uint8Array
  /** Until its first rebalance is over. */
  isNew: boolean
  join: Parked | undefined
  sync: Parked | undefined
  readonly session: Timer
}

export const EMPTY_BYTES = new Uint8Array(0)

const CONSUMER_PROTOCOL_TYPE = "consumer"

/** Java's order of iteration over a `HashMap` of a few strings; decides between protocols with equally many votes. */
const javaBucket = (text: string): number => {
  let hash = 0
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0
  return (hash ^ (hash >>> 16)) & 15
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

export class ClassicGroup {
  readonly type = "classic"
  readonly groupId: string
  state: ClassicState = "Empty"
  previousState: ClassicState | "Dead" = "Dead"
  /** When `state` was entered. */
  since: number
  generation = 0
  protocolType: string | undefined = undefined
  protocolName: string | undefined = undefined
  leader: string | undefined = undefined
  /** What the members of a consumer group subscribe to; `undefined` if that cannot be read. */
  subscribedTopics: ReadonlySet<string> | undefined = undefined
  /** Someone joined while the first rebalance was delayed, which delays it once more. */
  newMemberAdded = false
  /** The delay of the first rebalance, and how much longer it may become. */
  firstRebalance: { readonly delay: number; readonly remaining: number } | undefined = undefined
  readonly members = new Map<string, ClassicMember>()
  readonly staticMembers = new Map<string, string>()
  /** Ids given out by MEMBER_ID_REQUIRED that have not come back yet, with the time they have for it. */
  readonly pendingJoins = new Map<string, Timer>()
  /** Members that got their JoinGroup answer and have not sent SyncGroup. */
  readonly pendingSyncs = new Set<string>()
  readonly joinTimer: Timer
  readonly syncTimer: Timer
  /** What a restart of the coordinator brings back: Kafka writes it when an assignment arrives or the group becomes empty. */
  durable: DurableClassicGroup | undefined = undefined
  private awaitingJoin = 0
  private readonly supported = new Map<string, number>()

  constructor(groupId: string, now: number, onJoinDeadline: () => void, onSyncDeadline: () => void) {
    this.groupId = groupId
    this.since = now
    this.joinTimer = makeTimer("rebalances", onJoinDeadline)
    this.syncTimer = makeTimer("rebalances", onSyncDeadline)
  }

  get isConsumer(): boolean {
    return this.protocolType === CONSUMER_PROTOCOL_TYPE
  }

  get isEmpty(): boolean {
    return this.state === "Empty"
  }

  get waitingJoins(): number {
    return this.awaitingJoin
  }

  get allJoined(): boolean {
    return this.members.size === this.awaitingJoin && this.pendingJoins.size === 0
  }

  /** The longest of the members' rebalance timeouts. */
  get rebalanceTimeout(): number {
    let longest = 0
    for (const member of this.members.values()) longest = Math.max(longest, member.rebalanceTimeout)
    return longest
  }

  enter(state: ClassicState, now: number): void {
    this.previousState = this.state
    this.state = state
    this.since = now
  }

  add(member: ClassicMember): void {
    if (this.members.size === 0) this.protocolType = member.protocolType
    if (member.instanceId !== null) this.staticMembers.set(member.instanceId, member.memberId)
    this.leader ??= member.memberId
    this.members.set(member.memberId, member)
    this.count(member, 1)
    if (member.join !== undefined) this.awaitingJoin++
  }

  /** Forgets a member; the caller has answered what it waited for. */
  remove(member: ClassicMember): void {
    this.members.delete(member.memberId)
    this.count(member, -1)
    if (member.join !== undefined) this.awaitingJoin--
    if (member.instanceId !== null) this.staticMembers.delete(member.instanceId)
    if (this.leader === member.memberId) this.leader = this.members.keys().next().value
    this.pendingSyncs.delete(member.memberId)
  }

  /** Puts a static member's new id in the place of its old one; `replacement` carries the rest over. */
  replace(old: ClassicMember, replacement: ClassicMember): void {
    this.members.delete(old.memberId)
    this.members.set(replacement.memberId, replacement)
    if (this.leader === old.memberId) this.leader = replacement.memberId
    if (replacement.instanceId !== null) this.staticMembers.set(replacement.instanceId, replacement.memberId)
    this.pendingSyncs.delete(old.memberId)
  }

  setProtocols(member: ClassicMember, protocols: ReadonlyArray<ClassicProtocol>): void {
    this.count(member, -1)
    member.protocols = protocols
    this.count(member, 1)
  }

  /** Lets a member wait for the end of the rebalance. Returns the request that it already waited with, if any: nobody will answer that. */
  park(member: ClassicMember, join: Parked): Parked | undefined {
    const superseded = member.join
    if (superseded === undefined) this.awaitingJoin++
    member.join = join
    return superseded
  }

  unparkJoin(member: ClassicMember): Parked | undefined {
    const { join } = member
    if (join !== undefined) {
      member.join = undefined
      this.awaitingJoin--
    }
    return join
  }

  unparkSync(member: ClassicMember): Parked | undefined {
    const { sync } = member
    member.sync = undefined
    return sync
  }

  /** Whether a member with these protocols can be in the group. */
  supports(protocolType: string, protocols: ReadonlyArray<ClassicProtocol>): boolean {
    if (this.state === "Empty") return protocolType !== "" && protocols.length > 0
    return protocolType === this.protocolType &&
      protocols.some(({ name }) => (this.supported.get(name) ?? 0) === this.members.size)
  }

  /** The protocol that all members support and most prefer. */
  selectProtocol(): string {
    const votes = new Map<string, number>()
    for (const { protocols } of this.members.values()) {
      const choice = protocols.find(({ name }) => this.supported.get(name) === this.members.size)
      if (choice !== undefined) votes.set(choice.name, (votes.get(choice.name) ?? 0) + 1)
    }
    let best = ""
    let most = 0
    for (const [name, count] of votes) {
      if (count > most || (count === most && javaBucket(name) < javaBucket(best))) {
        best = name
        most = count
      }
    }
    return best
  }

  /** Keeps the leader if it is back, otherwise takes another member that is; false if none is. */
  electLeader(): boolean {
    if (this.leader === undefined) return false
    if (this.members.get(this.leader)?.join !== undefined) return true
    for (const member of this.members.values()) {
      if (member.join !== undefined) {
        this.leader = member.memberId
        return true
      }
    }
    return false
  }

  /** The error that a request in the name of this member gets, 0 for none. */
  validate(memberId: string, instanceId: string | null): number {
    if (instanceId !== null) {
      const current = this.staticMembers.get(instanceId)
      if (current === undefined) return UNKNOWN_MEMBER_ID
      if (current !== memberId) return FENCED_INSTANCE_ID
    }
    return this.members.has(memberId) ? NONE : UNKNOWN_MEMBER_ID
  }

  /** The next generation: with members it waits for their assignment, without it is empty. */
  nextGeneration(now: number): void {
    this.generation++
    this.pendingSyncs.clear()
    if (this.members.size > 0) {
      this.protocolName = this.selectProtocol()
      this.subscribedTopics = this.computeSubscribedTopics()
      this.enter("CompletingRebalance", now)
    } else {
      this.protocolName = undefined
      this.subscribedTopics = this.computeSubscribedTopics()
      this.enter("Empty", now)
    }
  }

  /** Whether offsets of this topic are in use, so that they must neither be deleted nor expire. */
  isSubscribedTo(topic: string): boolean {
    return this.subscribedTopics === undefined ? this.isConsumer : this.subscribedTopics.has(topic)
  }

  computeSubscribedTopics(): ReadonlySet<string> | undefined {
    if (!this.isConsumer) return undefined
    const topics = new Set<string>()
    if (this.protocolName === undefined && this.members.size > 0) return undefined
    for (const member of this.members.values()) {
      const subscription = subscriptionTopics(metadataOf(member, this.protocolName))
      if (subscription === undefined) return undefined
      for (const topic of subscription) topics.add(topic)
    }
    return topics
  }

  stopTimers(timers: Timers): void {
    timers.cancel(this.joinTimer)
    timers.cancel(this.syncTimer)
    for (const member of this.members.values()) timers.cancel(member.session)
    for (const timer of this.pendingJoins.values()) timers.cancel(timer)
  }

  private count(member: ClassicMember, by: 1 | -1): void {
    for (const { name } of member.protocols) this.supported.set(name, (this.supported.get(name) ?? 0) + by)
  }
}

/** What a member said under the protocol that was chosen. */
export const metadataOf = (member: ClassicMember, protocolName: string | undefined): Uint8Array =>
  member.protocols.find(({ name }) => name === protocolName)?.metadata ?? EMPTY_BYTES

/** Whether a member comes with what it said before, in the same order. */
export const sameProtocols = (a: ReadonlyArray<ClassicProtocol>, b: ReadonlyArray<ClassicProtocol>): boolean =>
  a.length === b.length &&
  a.every((protocol, i) => protocol.name === b[i]!.name && sameBytes(protocol.metadata, b[i]!.metadata))

/** The topics of a consumer's embedded subscription; version 0 is the part that all versions begin with. */
const subscriptionTopics = (metadata: Uint8Array): ReadonlyArray<string> | undefined => {
  try {
    const reader = new Reader(metadata)
    if (reader.int16() < 0) return undefined
    return ConsumerProtocolSubscription.decode(reader, 0).topics
  } catch {
    // Bytes of a client's own making: Kafka too goes on without knowing the topics.
    return undefined
  }
}
