import { type Api, Apis, Reader, Uuid, Writer } from "@exactly-once/protocol"
import {
  type Caller,
  GroupCoordinator,
  type GroupOptions,
  type GroupSnapshot,
  type Replies,
  type Ticket
} from "../../src/group/GroupCoordinator.ts"

/** A request on its way: what came back, or that nothing has yet. */
export class Call<A> {
  private answers: Array<A> = []
  answered(answer: A): void {
    this.answers.push(answer)
  }
  get isWaiting(): boolean {
    return this.answers.length === 0
  }
  get value(): A {
    if (this.answers.length !== 1) throw new Error(`${this.answers.length} answers instead of one`)
    return this.answers[0]!
  }
}

type Step<A> = (request: A, caller: Caller, ticket: Ticket, now: number) => Replies

/** A coordinator with a clock that tests move. Every message goes through its codec, in the version that is asked for. */
export class Harness {
  now = 1_000
  coordinator: GroupCoordinator
  readonly topics = new Map<string, { readonly id: string; partitions: number }>()
  private readonly calls = new Map<Ticket, (response: unknown) => void>()
  private tickets = 0
  private ids = 0
  private readonly options: Partial<GroupOptions>

  constructor(options: Partial<GroupOptions> = {}) {
    this.options = options
    this.coordinator = new GroupCoordinator(this.environment, undefined, this.now)
    this.topic("in", 4)
    this.topic("other", 2)
  }

  private get environment() {
    return {
      newMemberId: () => Uuid.fromHex((++this.ids).toString(16).padStart(32, "0")),
      partitions: (topic: string) => this.topics.get(topic)?.partitions,
      topicId: (topic: string) => this.topics.get(topic)?.id,
      topicName: (id: string) => [...this.topics].find(([, topic]) => topic.id === id)?.[0],
      topics: () => this.topics.keys(),
      options: this.options
    }
  }

  topic(name: string, partitions: number): string {
    const known = this.topics.get(name)
    const id = known?.id ?? Uuid.fromHex((this.topics.size + 1).toString(16).padStart(32, "0"))
    this.topics.set(name, { id, partitions })
    this.deliver(this.coordinator.topicChanged(this.now))
    return id
  }

  dropTopic(name: string): void {
    this.topics.delete(name)
    this.deliver(this.coordinator.topicDeleted(name, this.now))
  }

  idOf(topic: string): string {
    return this.topics.get(topic)!.id
  }

  get waiting(): number {
    return this.calls.size
  }

  deliver(replies: Replies): void {
    for (const { response, ticket } of replies) {
      const call = this.calls.get(ticket)
      if (call === undefined) throw new Error(`nobody waits with ticket ${ticket}`)
      this.calls.delete(ticket)
      call(response)
    }
  }

  /** Lets time pass, deadline by deadline, as a broker does that is woken up for each. */
  pass(millis: number): void {
    const end = this.now + millis
    for (;;) {
      const next = this.coordinator.nextDeadline()
      if (next === undefined || next > end) break
      this.now = Math.max(this.now, next)
      this.deliver(this.coordinator.tick(this.now))
    }
    this.now = end
    this.deliver(this.coordinator.tick(end))
  }

  advance(deadlines: "sessions" | "expiry", millis: number): void {
    this.deliver(this.coordinator.advance(deadlines, millis, this.now))
  }

  restart(snapshot: GroupSnapshot = this.coordinator.snapshot()): void {
    this.coordinator = GroupCoordinator.restore(this.environment, snapshot, this.now)
  }

  complete(producerId: bigint, outcome: "commit" | "abort"): void {
    this.deliver(this.coordinator.completeTransaction(producerId, outcome, () => true, this.now))
  }

  private send<Q, QI, S, SI>(api: Api<Q, QI, S, SI>, step: Step<Q>, version: number, input: QI): Call<S> {
    const call = new Call<S>()
    const ticket = this.tickets++
    this.calls.set(ticket, (response) => {
      const writer = new Writer()
      // The coordinator's contract is that this is a response of the request's API and version; the codec checks that.
      api.response.encode(writer, response as SI, version)
      call.answered(api.response.decode(new Reader(writer.finish().slice()), version))
    })
    const writer = new Writer()
    api.request.encode(writer, input, version)
    const frame = writer.finish().slice()
    const request = api.request.decode(new Reader(frame), version)
    this.deliver(
      step.call(this.coordinator, request, { clientId: "test", clientHost: "/::1", version }, ticket, this.now)
    )
    // A frame's memory is used again for the next one.
    frame.fill(0xff)
    return call
  }

  readonly joinGroup = this.sender(Apis.JoinGroup, (c) => c.joinGroup)
  readonly syncGroup = this.sender(Apis.SyncGroup, (c) => c.syncGroup)
  readonly heartbeat = this.sender(Apis.Heartbeat, (c) => c.heartbeat)
  readonly leaveGroup = this.sender(Apis.LeaveGroup, (c) => c.leaveGroup)
  readonly offsetCommit = this.sender(Apis.OffsetCommit, (c) => c.offsetCommit)
  readonly txnOffsetCommit = this.sender(Apis.TxnOffsetCommit, (c) => c.txnOffsetCommit)
  readonly offsetFetch = this.sender(Apis.OffsetFetch, (c) => c.offsetFetch)
  readonly offsetDelete = this.sender(Apis.OffsetDelete, (c) => c.offsetDelete)
  readonly listGroups = this.sender(Apis.ListGroups, (c) => c.listGroups)
  readonly describeGroups = this.sender(Apis.DescribeGroups, (c) => c.describeGroups)
  readonly deleteGroups = this.sender(Apis.DeleteGroups, (c) => c.deleteGroups)
  readonly consumerHeartbeat = this.sender(Apis.ConsumerGroupHeartbeat, (c) => c.consumerGroupHeartbeat)
  readonly consumerDescribe = this.sender(Apis.ConsumerGroupDescribe, (c) => c.consumerGroupDescribe)

  private sender<Q, QI, S, SI>(api: Api<Q, QI, S, SI>, step: (coordinator: GroupCoordinator) => Step<Q>) {
    return (version: number, input: QI): Call<S> => this.send(api, step(this.coordinator), version, input)
  }
}

/** A consumer's subscription as it is embedded in JoinGroup. */
export const subscription = (...topics: ReadonlyArray<string>): Uint8Array => {
  const writer = new Writer()
  writer.int16(0)
  writer.int32(topics.length)
  for (const topic of topics) writer.string(topic)
  writer.nullableBytes(null)
  return writer.finish().slice()
}
