/**
 * Kafka's group coordinator as a state machine: classic groups, groups of the consumer protocol (KIP-848), and committed offsets with those
 * that transactions have pending. It does no I/O and knows neither clock nor chance: a request, the moment and a ticket go in, and the
 * answers that became due come out, those of requests that had been waiting among them. Behaviour and error codes follow Kafka 4.3.1.
 *
 * A JoinGroup or SyncGroup that waits has no answer with its ticket yet. Kafka does not notice that the connection of such a request was
 * cut, and neither is it noticed here: the member is put out when its time is up, and the answer, once due, can be thrown away.
 */
import type {
  ConsumerGroupDescribeRequest,
  ConsumerGroupHeartbeatRequest,
  DeleteGroupsRequest,
  DescribeGroupsRequest,
  HeartbeatRequest,
  JoinGroupRequest,
  LeaveGroupRequest,
  ListGroupsRequest,
  OffsetCommitRequest,
  OffsetDeleteRequest,
  OffsetFetchRequest,
  SyncGroupRequest,
  TxnOffsetCommitRequest
} from "@exactly-once/protocol"
import { joinGroup } from "./classicJoin.ts"
import { answerSync, refuseJoin } from "./classicRebalance.ts"
import { heartbeat, leaveGroup, syncGroup } from "./classicSync.ts"
import { consumerGroupHeartbeat } from "./consumerHeartbeat.ts"
import { NOT_COORDINATOR } from "./errorCodes.ts"
import { backdate, removeExpired } from "./expiry.ts"
import { consumerGroupDescribe, deleteGroups, describeGroups, listGroups, offsetDelete } from "./groupAdmin.ts"
import { type GroupContext, removeGroup } from "./GroupContext.ts"
import { type Caller, defaultGroupOptions, type GroupEnvironment, type Reply, type Ticket } from "./GroupEnvironment.ts"
import { offsetCommit, txnOffsetCommit } from "./offsetCommit.ts"
import { offsetFetch } from "./offsetFetch.ts"
import { type CommittedOffset, OffsetStore } from "./OffsetStore.ts"
import { emptyClassic, type GroupSnapshot, restoreGroups, takeSnapshot, writeConsumer } from "./snapshot.ts"
import { makeTimer, type Timer, Timers } from "./Timers.ts"

export type { Caller, GroupEnvironment, GroupOptions, Reply, Ticket } from "./GroupEnvironment.ts"
export type { CommittedOffset } from "./OffsetStore.ts"
export type { GroupSnapshot } from "./snapshot.ts"

export type Replies = ReadonlyArray<Reply>

/** Which deadlines `advance` brings nearer: session timeouts of members, or the retention of offsets. */
export type GroupDeadlines = "sessions" | "expiry"

type Handler<A> = (context: GroupContext, request: A, caller: Caller, ticket: Ticket) => void

export class GroupCoordinator {
  private readonly context: GroupContext
  private readonly cleanup: Timer

  constructor(environment: GroupEnvironment, snapshot?: GroupSnapshot, now = 0) {
    this.context = {
      environment,
      options: { ...defaultGroupOptions, ...environment.options },
      groups: new Map(),
      offsets: snapshot === undefined ? new OffsetStore() : OffsetStore.restore(snapshot.offsets),
      timers: new Timers(),
      now,
      outbox: []
    }
    this.cleanup = makeTimer("expiry", () => removeExpired(this.context))
    if (snapshot !== undefined) restoreGroups(this.context, snapshot)
    this.scheduleCleanup()
  }

  /** A coordinator that goes on where another one stopped; sessions of members start anew. */
  static restore(environment: GroupEnvironment, snapshot: GroupSnapshot, now: number): GroupCoordinator {
    return new GroupCoordinator(environment, snapshot, now)
  }

  joinGroup(request: JoinGroupRequest.JoinGroupRequest, caller: Caller, ticket: Ticket, now: number): Replies {
    return this.step(joinGroup, request, caller, ticket, now)
  }

  syncGroup(request: SyncGroupRequest.SyncGroupRequest, caller: Caller, ticket: Ticket, now: number): Replies {
    return this.step(syncGroup, request, caller, ticket, now)
  }

  heartbeat(request: HeartbeatRequest.HeartbeatRequest, caller: Caller, ticket: Ticket, now: number): Replies {
    return this.step(heartbeat, request, caller, ticket, now)
  }

  leaveGroup(request: LeaveGroupRequest.LeaveGroupRequest, caller: Caller, ticket: Ticket, now: number): Replies {
    return this.step(leaveGroup, request, caller, ticket, now)
  }

  consumerGroupHeartbeat(
    request: ConsumerGroupHeartbeatRequest.ConsumerGroupHeartbeatRequest,
    caller: Caller,
    ticket: Ticket,
    now: number
  ): Replies {
    return this.step(consumerGroupHeartbeat, request, caller, ticket, now)
  }

  offsetCommit(
    request: OffsetCommitRequest.OffsetCommitRequest,
    caller: Caller,
    ticket: Ticket,
    now: number
  ): Replies {
    return this.step(offsetCommit, request, caller, ticket, now)
  }

  /**
   * Checks group, member and generation, and keeps the offsets pending for the producer. Whether the producer may write, and that the group
   * is in its transaction, the caller has checked.
   */
  txnOffsetCommit(
    request: TxnOffsetCommitRequest.TxnOffsetCommitRequest,
    caller: Caller,
    ticket: Ticket,
    now: number
  ): Replies {
    return this.step(txnOffsetCommit, request, caller, ticket, now)
  }

  /** The marker of a producer's transaction reached the groups that `concerns` names: one marker is for one partition of the offsets topic. */
  completeTransaction(
    producerId: bigint,
    outcome: "commit" | "abort",
    concerns: (groupId: string) => boolean,
    now: number
  ): Replies {
    return this.run(now, () => this.context.offsets.complete(producerId, outcome === "commit", concerns))
  }

  offsetFetch(request: OffsetFetchRequest.OffsetFetchRequest, caller: Caller, ticket: Ticket, now: number): Replies {
    return this.step(offsetFetch, request, caller, ticket, now)
  }

  offsetDelete(
    request: OffsetDeleteRequest.OffsetDeleteRequest,
    caller: Caller,
    ticket: Ticket,
    now: number
  ): Replies {
    return this.step(offsetDelete, request, caller, ticket, now)
  }

  listGroups(request: ListGroupsRequest.ListGroupsRequest, caller: Caller, ticket: Ticket, now: number): Replies {
    return this.step(listGroups, request, caller, ticket, now)
  }

  describeGroups(
    request: DescribeGroupsRequest.DescribeGroupsRequest,
    caller: Caller,
    ticket: Ticket,
    now: number
  ): Replies {
    return this.step(describeGroups, request, caller, ticket, now)
  }

  consumerGroupDescribe(
    request: ConsumerGroupDescribeRequest.ConsumerGroupDescribeRequest,
    caller: Caller,
    ticket: Ticket,
    now: number
  ): Replies {
    return this.step(consumerGroupDescribe, request, caller, ticket, now)
  }

  deleteGroups(
    request: DeleteGroupsRequest.DeleteGroupsRequest,
    caller: Caller,
    ticket: Ticket,
    now: number
  ): Replies {
    return this.step(deleteGroups, request, caller, ticket, now)
  }

  /** Does what is due. */
  tick(now: number): Replies {
    return this.run(now, () => {})
  }

  /** When `tick` next has something to do. */
  nextDeadline(): number | undefined {
    return this.context.timers.next()
  }

  /** Brings one kind of deadlines nearer, and does what is due then. Rebalance timeouts and join delays are not among them. */
  advance(deadlines: GroupDeadlines, millis: number, now: number): Replies {
    return this.run(now, () => {
      if (deadlines === "sessions") return this.context.timers.advance("sessions", millis)
      backdate(this.context, millis)
      removeExpired(this.context)
    })
  }

  /** A topic is gone, and with it what was committed for it. */
  topicDeleted(topic: string, now: number): Replies {
    return this.run(now, () => {
      this.context.offsets.deleteTopic(topic)
      this.refreshTopics()
    })
  }

  /** A topic was created, or has more partitions than before. */
  topicChanged(now: number): Replies {
    return this.run(now, () => this.refreshTopics())
  }

  /**
   * These groups have another coordinator from now on, or the same one after a restart: requests that wait get 16, rebalances under way are
   * forgotten, and sessions start anew.
   */
  moved(concerns: (groupId: string) => boolean, now: number): Replies {
    return this.run(now, () => {
      for (const group of [...this.context.groups.values()]) if (concerns(group.groupId)) this.reload(group.groupId)
    })
  }

  /** Everything that would survive a restart. */
  snapshot(): GroupSnapshot {
    return takeSnapshot(this.context)
  }

  /** "Dead" if there is no such group. */
  state(groupId: string): string {
    return this.context.groups.get(groupId)?.state ?? "Dead"
  }

  /** Committed offsets by topic and partition. */
  committed(groupId: string): ReadonlyMap<string, ReadonlyMap<number, CommittedOffset>> {
    return this.context.offsets.committed(groupId)
  }

  /** Offsets that open transactions have written. */
  pending(groupId: string): ReturnType<OffsetStore["pending"]> {
    return this.context.offsets.pending(groupId)
  }

  /** The groups in which a producer has pending offsets. */
  pendingGroups(producerId: bigint): ReadonlyArray<string> {
    return this.context.offsets.pendingGroups(producerId)
  }

  private step<A>(handler: Handler<A>, request: A, caller: Caller, ticket: Ticket, now: number): Replies {
    this.fireUntil(now)
    handler(this.context, request, caller, ticket)
    return this.flush()
  }

  private run(now: number, change: () => void): Replies {
    this.fireUntil(now)
    change()
    this.fireUntil(now)
    return this.flush()
  }

  /** Deadlines are reached one after another, each at its own time, however late this is called: one may set the next. */
  private fireUntil(now: number): void {
    const { context } = this
    for (;;) {
      const due = context.timers.take(now)
      if (due === undefined) break
      context.now = Math.max(context.now, due.at)
      due.timer.fire()
    }
    context.now = Math.max(context.now, now)
  }

  private flush(): Replies {
    this.scheduleCleanup()
    const replies = this.context.outbox
    this.context.outbox = []
    return replies
  }

  /** Without groups there is nothing to look after, and an idle broker is not woken up. */
  private scheduleCleanup(): void {
    if (this.cleanup.at !== Infinity || this.context.groups.size === 0) return
    this.context.timers.set(this.cleanup, this.context.now + this.context.options.offsetsRetentionCheckInterval)
  }

  private refreshTopics(): void {
    for (const group of this.context.groups.values()) if (group.type === "consumer") group.metadataStale = true
  }

  private reload(groupId: string): void {
    const { context } = this
    const group = context.groups.get(groupId)
    if (group === undefined) return
    removeGroup(context, groupId)
    if (group.type === "consumer") {
      return restoreGroups(context, { classic: [], consumer: [writeConsumer(group)] })
    }
    for (const member of group.members.values()) {
      if (member.join !== undefined) refuseJoin(context, member.join, NOT_COORDINATOR, member.memberId)
      if (member.sync !== undefined) answerSync(context, member.sync, NOT_COORDINATOR)
    }
    restoreGroups(context, { classic: [{ groupId, group: group.durable ?? emptyClassic(group.since) }], consumer: [] })
  }
}
