/**
 * The state that all nodes share: topics, the transaction coordinator, the group coordinator, and the steps that touch more than one of
 * them. Nothing here does I/O; time, timers and randomness come from the environment.
 */
import { Uuid } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { GroupCoordinator, type GroupSnapshot, type Reply, type Ticket } from "../group/GroupCoordinator.ts"
import type { Completion, Transaction } from "../transaction/Transaction.ts"
import { type Outcome, TransactionCoordinator } from "../transaction/TransactionCoordinator.ts"
import { Alarm } from "./Alarm.ts"
import { FetchSessions } from "./FetchSessions.ts"
import { Nodes } from "./Nodes.ts"
import type { ClusterOptions, Environment, TimeScope } from "./Options.ts"
import { OFFSETS_TOPIC, type Partition, type Topic, type TopicSnapshot, TRANSACTIONS_TOPIC } from "./Topic.ts"
import { spread, Topics } from "./Topics.ts"

export interface ClusterSnapshot {
  readonly topics: ReadonlyArray<TopicSnapshot>
  readonly transactions: ReadonlyArray<Transaction>
  readonly groups: GroupSnapshot
  readonly nextProducerId: number
  readonly clocks: { readonly transactions: number; readonly expiry: number }
}

const EXPIRY_CHECK = 600_000

export class Cluster {
  readonly options: ClusterOptions
  readonly environment: Environment
  readonly nodes: Nodes
  readonly topics: Topics
  readonly fetchSessions: FetchSessions
  transactions: TransactionCoordinator
  groups: GroupCoordinator
  /** Mutable, so that a test can hold transactions in their Prepare state for a while; `Infinity` until `releasePrepared`. */
  prepareDelay: number
  private nextProducerId: number
  /** How far `advance` has moved the clock of each scope ahead of real time. */
  private readonly ahead = { transactions: 0, expiry: 0 }
  private readonly preparing = new Map<Completion, (() => void) | undefined>()
  private readonly waiting = new Map<Ticket, (response: unknown) => void>()
  private nextTicket = 1
  private readonly alarm: Alarm
  private nextExpiry: number

  constructor(options: ClusterOptions, environment: Environment) {
    this.options = options
    this.environment = environment
    this.prepareDelay = options.prepareDelay
    this.nextProducerId = options.firstProducerId
    this.nextExpiry = environment.now() + EXPIRY_CHECK
    this.alarm = new Alarm(environment, () => this.nextDeadline(), () => this.tick())
    this.nodes = new Nodes(options.nodes)
    this.fetchSessions = new FetchSessions(environment.randomBytes)
    this.topics = new Topics({
      leaderOf: (index) => this.nodes.leaderOf(index),
      randomBytes: environment.randomBytes
    })
    this.transactions = new TransactionCoordinator(this.transactionEnvironment())
    this.groups = new GroupCoordinator(this.groupEnvironment())
    for (const [name, topic] of Object.entries(options.topics)) {
      if (typeof topic === "number") this.topics.create(name, topic)
      else this.topics.create(name, topic.partitions, Object.entries(topic.config ?? {}))
    }
  }

  private transactionEnvironment() {
    const { options } = this
    return {
      options: {
        transactionVersion: options.transactionVersion,
        maxTimeoutMs: options.transactionMaxTimeout,
        idExpirationMs: options.transactionalIdExpiration,
        firstEpoch: options.firstEpoch
      },
      newProducerId: () => this.newProducerId()
    }
  }

  private groupEnvironment() {
    return {
      newMemberId: () => Uuid.fromBytes(this.environment.randomBytes()),
      partitions: (topic: string) => this.topics.get(topic)?.partitions.length,
      topicId: (topic: string) => this.topics.get(topic)?.id,
      topicName: (id: string) => this.topics.withId(id)?.name,
      topics: () => this.topics.names(),
      options: this.options.groups
    }
  }

  now(): number {
    return this.environment.now()
  }

  /** The time by which transactions are begun and timed out. */
  transactionTime(): number {
    return this.environment.now() + this.ahead.transactions
  }

  newProducerId(): number {
    return this.nextProducerId++
  }

  // Topics

  createTopic(name: string, partitions: number, config: Iterable<readonly [string, string]> = []): Topic {
    const topic = this.topics.create(name, partitions, config)
    this.deliver(this.groups.topicChanged(this.now()))
    return topic
  }

  growTopic(topic: Topic, partitions: number): void {
    this.topics.grow(topic, partitions)
    this.deliver(this.groups.topicChanged(this.now()))
  }

  deleteTopic(topic: Topic): void {
    this.topics.delete(topic)
    this.groups.topicDeleted(topic.name, this.now())
    this.deliver(this.groups.topicChanged(this.now()))
  }

  /** After an append: lets go of old data and wakes those who wait. */
  appended(partition: Partition): void {
    const bytes = partition.topic.number("retention.bytes", this.options.retentionBytes)
    if (bytes >= 0 && partition.log.sizeInBytes > bytes) partition.log.retain(bytes)
    partition.changed()
  }

  /** Gives a partition another leader, under the next epoch. Waiting fetches are answered by the old leader with error 6. */
  moveLeader(partition: Partition, node: number): void {
    partition.leader = node
    partition.leaderEpoch++
    partition.changed()
  }

  // Nodes

  /** The others take over what a node led and coordinated. */
  stopNode(node: number): void {
    this.nodes.stop(node)
    const successor = this.nodes.after(node)
    if (successor === node) return
    for (const topic of this.topics.all()) {
      for (const partition of topic.partitions) {
        if (partition.leader !== node) continue
        this.moveLeader(partition, successor)
        if (topic.name === OFFSETS_TOPIC) this.groupsMoved(partition.index)
      }
    }
  }

  // Coordinators

  private internal(name: string): Topic {
    return this.topics.get(name) ??
      this.createTopic(name, this.options.internalPartitions, [["cleanup.policy", "compact"]])
  }

  /** The partition of the offsets topic that a group's offsets live in, whether or not the topic exists yet. */
  groupPartition(groupId: string): number {
    return spread(groupId, this.topics.get(OFFSETS_TOPIC)?.partitions.length ?? this.options.internalPartitions)
  }

  /** The node that coordinates a group. Asking creates the offsets topic, as FindCoordinator does. */
  findGroupCoordinator(groupId: string): number {
    return this.internal(OFFSETS_TOPIC).partitions[this.groupPartition(groupId)]!.leader
  }

  findTransactionCoordinator(transactionalId: string): number {
    const topic = this.internal(TRANSACTIONS_TOPIC)
    return topic.partitions[spread(transactionalId, topic.partitions.length)]!.leader
  }

  /** The error with which a node answers for a group it does not coordinate; before anyone looked for a coordinator nobody is one. */
  groupError(groupId: string, node: number): number {
    const partition = this.topics.partition(OFFSETS_TOPIC, this.groupPartition(groupId))
    return partition?.leader === node ? Code.NONE : Code.NOT_COORDINATOR
  }

  transactionError(transactionalId: string, node: number): number {
    return this.transactionPartition(transactionalId)?.leader === node ? Code.NONE : Code.NOT_COORDINATOR
  }

  /** False until somebody looked for a coordinator of transactions: before, there is no topic for their state. */
  hasTransactionCoordinator(): boolean {
    return this.topics.get(TRANSACTIONS_TOPIC) !== undefined
  }

  private transactionPartition(transactionalId: string): Partition | undefined {
    const topic = this.topics.get(TRANSACTIONS_TOPIC)
    return topic?.partitions[spread(transactionalId, topic.partitions.length)]
  }

  /** Moves the coordinator of a group, with every group in the same partition. Parked requests are answered with 16. */
  moveGroupCoordinator(groupId: string, node: number): void {
    const index = this.groupPartition(groupId)
    const partition = this.internal(OFFSETS_TOPIC).partitions[index]!
    this.moveLeader(partition, node)
    this.groupsMoved(index)
  }

  private groupsMoved(index: number): void {
    this.deliver(this.groups.moved((id) => this.groupPartition(id) === index, this.now()))
  }

  moveTransactionCoordinator(transactionalId: string, node: number): void {
    this.findTransactionCoordinator(transactionalId)
    this.moveLeader(this.transactionPartition(transactionalId)!, node)
  }

  // Groups: requests that wait for others

  /** Runs a group command; `reply` is called now or when another member, a timer or a move releases the request. */
  group<Response>(
    command: (ticket: Ticket, now: number) => ReadonlyArray<Reply>,
    reply: (response: Response) => void
  ): void {
    const ticket = this.nextTicket++
    // The coordinator keeps tickets of all its APIs in one table; that a ticket gets its own API's response is its contract.
    this.waiting.set(ticket, (response) => reply(response as Response))
    this.deliver(command(ticket, this.now()))
  }

  private deliver(replies: ReadonlyArray<Reply>): void {
    for (const { ticket, response } of replies) {
      const reply = this.waiting.get(ticket)
      this.waiting.delete(ticket)
      reply?.(response)
    }
    this.arm()
  }

  // Transactions: from the decision to the markers

  /** Carries out what a coordinator command decided, and answers the command's outcome. */
  settle(outcome: Outcome): Outcome {
    if (outcome.completion !== undefined) this.prepare(outcome.completion)
    return outcome
  }

  private prepare(completion: Completion): void {
    if (this.prepareDelay <= 0) return this.writeMarkers(completion)
    const cancel = this.prepareDelay === Infinity
      ? undefined
      : this.environment.after(this.prepareDelay, () => this.writeMarkers(completion))
    this.preparing.set(completion, cancel)
  }

  /** Writes the markers of every transaction that is held in a Prepare state. */
  releasePrepared(): void {
    for (const [completion, cancel] of [...this.preparing]) {
      cancel?.()
      this.writeMarkers(completion)
    }
  }

  /** Markers into every partition, pending offsets decided, then the final state: one step, and only then are readers woken. */
  private writeMarkers(completion: Completion): void {
    this.preparing.delete(completion)
    const { transactionalId, commit, producerId, producerEpoch } = completion
    const now = this.now()
    const coordinatorEpoch = this.transactionPartition(transactionalId)?.leaderEpoch ?? 0
    const touched: Array<Partition> = []
    for (const { topic, partition: index } of completion.partitions) {
      const partition = this.topics.partition(topic, index)
      // A topic deleted in mid-transaction takes its markers with it; the transaction ends all the same.
      if (partition === undefined) continue
      partition.log.appendMarker({ producerId, producerEpoch, coordinatorEpoch, commit }, partition.leaderEpoch, now)
      touched.push(partition)
    }
    this.transactions.complete(completion, this.transactionTime())
    for (const partition of touched) this.decided(partition, producerId, commit)
  }

  /** A marker was appended: pending offsets become visible or are dropped, and readers learn that the last stable offset moved. */
  decided(partition: Partition, producerId: number, commit: boolean): void {
    if (partition.topic.name === OFFSETS_TOPIC) {
      const inPartition = (groupId: string) => this.groupPartition(groupId) === partition.index
      const outcome = commit ? "commit" : "abort"
      this.deliver(this.groups.completeTransaction(BigInt(producerId), outcome, inPartition, this.now()))
    }
    this.appended(partition)
  }

  /** Aborts a producer's open transaction and fences it, as a timeout would. False when it has none. */
  fence(transactionalId: string): boolean {
    const completion = this.transactions.fence(transactionalId, this.transactionTime())
    if (completion !== undefined) this.prepare(completion)
    return completion !== undefined
  }

  // Time

  /** Moves deadlines of one kind nearer and acts on those that are reached. */
  advance(millis: number, scope: TimeScope): void {
    if (scope === "transactions") {
      this.ahead.transactions += millis
      this.tick()
      return
    }
    if (scope === "sessions") {
      this.deliver(this.groups.advance("sessions", millis, this.now()))
      return
    }
    this.ahead.expiry += millis
    this.expire()
    this.deliver(this.groups.advance("expiry", millis, this.now()))
  }

  private expire(): void {
    const now = this.now() + this.ahead.expiry
    this.nextExpiry = this.now() + EXPIRY_CHECK
    this.transactions.expire(now + this.ahead.transactions)
    for (const topic of this.topics.all()) {
      for (const { log } of topic.partitions) log.producers.expire(now - this.options.producerIdExpiration)
    }
  }

  private tick(): void {
    for (const completion of this.transactions.timeOut(this.transactionTime())) this.prepare(completion)
    if (this.now() >= this.nextExpiry) this.expire()
    this.deliver(this.groups.tick(this.now()))
  }

  private nextDeadline(): number {
    const transactions = this.transactions.nextDeadline()
    return Math.min(
      transactions === undefined ? Infinity : transactions - this.ahead.transactions,
      this.groups.nextDeadline() ?? Infinity,
      this.nextExpiry
    )
  }

  /** To be called after whatever may have brought a deadline nearer. */
  arm(): void {
    this.alarm.set()
  }

  // Life

  /** What a restart does to the state: leaders and coordinators take up their work under new epochs, and nobody is waiting any more. */
  restarted(): void {
    this.waiting.clear()
    this.fetchSessions.clear()
    this.groups.moved(() => true, this.now())
    for (const topic of this.topics.all()) {
      for (const partition of topic.partitions) {
        partition.leaderEpoch++
        partition.waiters.clear()
      }
    }
    this.resume()
  }

  private resume(): void {
    for (const cancel of this.preparing.values()) cancel?.()
    this.preparing.clear()
    for (const completion of this.transactions.unfinished()) this.prepare(completion)
    this.arm()
  }

  snapshot(): ClusterSnapshot {
    return {
      topics: this.topics.snapshot(),
      transactions: this.transactions.snapshot(),
      groups: this.groups.snapshot(),
      nextProducerId: this.nextProducerId,
      clocks: { ...this.ahead }
    }
  }

  restore(snapshot: ClusterSnapshot): void {
    this.topics.restore(snapshot.topics)
    this.transactions = TransactionCoordinator.restore(this.transactionEnvironment(), snapshot.transactions)
    this.groups = GroupCoordinator.restore(this.groupEnvironment(), snapshot.groups, this.now())
    this.nextProducerId = snapshot.nextProducerId
    this.ahead.transactions = snapshot.clocks.transactions
    this.ahead.expiry = snapshot.clocks.expiry
    this.waiting.clear()
    this.fetchSessions.clear()
    this.resume()
  }

  close(): void {
    this.alarm.stop()
    for (const cancel of this.preparing.values()) cancel?.()
    this.preparing.clear()
    this.waiting.clear()
    this.fetchSessions.clear()
  }
}
