/**
 * A group of the consumer protocol (KIP-848). The coordinator computes a target assignment per group epoch, and every member comes to it on
 * its own: it first gives up what it must, then moves to the target's epoch, then gets what others have given up. `owners` says who holds a
 * partition until it is given up, so that no partition is ever with two members.
 */
import { NO_PARTITIONS, type OwnedPartitions, OWNS_NOTHING, type Partitions } from "./Assignment.ts"
import type { Timer, Timers } from "./Timers.ts"

export type AssignorName = "uniform" | "range"
export type ConsumerState = "Empty" | "Assigning" | "Reconciling" | "Stable"

/** `unrevoked`: must give something up first. `unreleased`: waits for what others must give up. */
export type Reconciliation = "stable" | "unrevoked" | "unreleased"

export interface ConsumerMember {
  readonly memberId: string
  readonly instanceId: string | null
  rackId: string | null
  clientId: string
  clientHost: string
  rebalanceTimeout: number
  serverAssignor: AssignorName | null
  /** Sorted, without repetition. */
  subscribedTopics: ReadonlyArray<string>
  /** "" for none. */
  regex: string
  epoch: number
  previousEpoch: number
  state: Reconciliation
  assigned: OwnedPartitions
  revoking: OwnedPartitions
  readonly session: Timer
  readonly revocation: Timer
}

/** The epoch of a static member that is away and means to come back. */
export const STATIC_LEAVE_EPOCH = -2

export class ConsumerGroup {
  readonly type = "consumer"
  readonly groupId: string
  epoch = 1
  assignmentEpoch = 1
  /** When the target was computed. */
  assignedAt: number | undefined = undefined
  /** Fingerprint of the subscribed topics as they were when the epoch was last raised. */
  metadataHash = ""
  /** Topics have changed since: look at the next heartbeat whether that concerns this group. */
  metadataStale = false
  since: number
  readonly members = new Map<string, ConsumerMember>()
  readonly staticMembers = new Map<string, string>()
  target: Map<string, Partitions> = new Map()
  /** Topics that a pattern stands for. */
  readonly resolved = new Map<string, ReadonlyArray<string>>()
  private readonly owners = new Map<string, Map<number, string>>()

  constructor(groupId: string, now: number) {
    this.groupId = groupId
    this.since = now
  }

  get isEmpty(): boolean {
    return this.members.size === 0
  }

  get state(): ConsumerState {
    if (this.members.size === 0) return "Empty"
    if (this.epoch > this.assignmentEpoch) return "Assigning"
    for (const member of this.members.values()) if (!this.isReconciled(member)) return "Reconciling"
    return "Stable"
  }

  isReconciled(member: ConsumerMember): boolean {
    return member.state === "stable" && member.epoch === this.assignmentEpoch
  }

  staticMember(instanceId: string): ConsumerMember | undefined {
    const memberId = this.staticMembers.get(instanceId)
    return memberId === undefined ? undefined : this.members.get(memberId)
  }

  ownerOf(topicId: string, partition: number): string | undefined {
    return this.owners.get(topicId)?.get(partition)
  }

  targetOf(memberId: string): Partitions {
    return this.target.get(memberId) ?? NO_PARTITIONS
  }

  add(member: ConsumerMember): void {
    this.members.set(member.memberId, member)
    if (member.instanceId !== null) this.staticMembers.set(member.instanceId, member.memberId)
    this.own(member)
  }

  remove(member: ConsumerMember, timers: Timers, now: number): void {
    timers.cancel(member.session)
    timers.cancel(member.revocation)
    this.disown(member)
    this.members.delete(member.memberId)
    this.target.delete(member.memberId)
    if (member.instanceId !== null && this.staticMembers.get(member.instanceId) === member.memberId) {
      this.staticMembers.delete(member.instanceId)
    }
    this.forgetUnusedPatterns()
    if (this.members.size === 0) this.since = now
  }

  /** Changes what a member holds, and who owns it, in one step. */
  setOwnership(member: ConsumerMember, assigned: OwnedPartitions, revoking: OwnedPartitions): void {
    this.disown(member)
    member.assigned = assigned
    member.revoking = revoking.size === 0 ? OWNS_NOTHING : revoking
    this.own(member)
  }

  /** The names a member subscribes to, patterns included. */
  topicsOf(member: ConsumerMember): Iterable<string> {
    if (member.regex === "") return member.subscribedTopics
    const matched = this.resolved.get(member.regex) ?? []
    return member.subscribedTopics.length === 0 ? matched : new Set([...member.subscribedTopics, ...matched])
  }

  isSubscribedTo(topic: string): boolean {
    for (const member of this.members.values()) {
      for (const name of this.topicsOf(member)) if (name === topic) return true
    }
    return false
  }

  /** The assignor that most members ask for. */
  get assignor(): AssignorName {
    let range = 0
    let uniform = 0
    for (const { serverAssignor } of this.members.values()) {
      if (serverAssignor === "range") range++
      else if (serverAssignor === "uniform") uniform++
    }
    return range > uniform ? "range" : "uniform"
  }

  forgetUnusedPatterns(): void {
    if (this.resolved.size === 0) return
    const used = new Set(Array.from(this.members.values(), ({ regex }) => regex))
    for (const regex of this.resolved.keys()) if (!used.has(regex)) this.resolved.delete(regex)
  }

  stopTimers(timers: Timers): void {
    for (const member of this.members.values()) {
      timers.cancel(member.session)
      timers.cancel(member.revocation)
    }
  }

  private own(member: ConsumerMember): void {
    for (const owned of [member.assigned, member.revoking]) {
      for (const [topicId, partitions] of owned) {
        let owners = this.owners.get(topicId)
        if (owners === undefined) this.owners.set(topicId, owners = new Map())
        for (const partition of partitions.keys()) owners.set(partition, member.memberId)
      }
    }
  }

  private disown(member: ConsumerMember): void {
    for (const owned of [member.assigned, member.revoking]) {
      for (const [topicId, partitions] of owned) {
        const owners = this.owners.get(topicId)
        if (owners === undefined) continue
        for (const partition of partitions.keys()) owners.delete(partition)
        if (owners.size === 0) this.owners.delete(topicId)
      }
    }
  }
}
