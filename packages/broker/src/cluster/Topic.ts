import { type LogSnapshot, PartitionLog } from "../log/PartitionLog.ts"

/** Something that waits for partitions to change: a parked fetch. It is told which one changed and decides for itself. */
export interface Waiter {
  readonly wake: (changed: Partition) => void
}

export class Partition {
  readonly topic: Topic
  readonly index: number
  log: PartitionLog
  /** The node that leads it. */
  leader: number
  leaderEpoch: number
  readonly waiters = new Set<Waiter>()

  constructor(topic: Topic, index: number, leader: number, leaderEpoch = 0, log = new PartitionLog()) {
    this.topic = topic
    this.index = index
    this.leader = leader
    this.leaderEpoch = leaderEpoch
    this.log = log
  }

  /** Tells those who wait that data, a marker, the leader or the topic's existence changed. */
  changed(): void {
    if (this.waiters.size === 0) return
    for (const waiter of [...this.waiters]) waiter.wake(this)
  }
}

export interface TopicSnapshot {
  readonly name: string
  readonly id: string
  readonly config: ReadonlyArray<readonly [string, string]>
  readonly partitions: ReadonlyArray<
    { readonly leader: number; readonly leaderEpoch: number; readonly log: LogSnapshot }
  >
}

export const OFFSETS_TOPIC = "__consumer_offsets"
export const TRANSACTIONS_TOPIC = "__transaction_state"

export const isInternal = (name: string): boolean => name === OFFSETS_TOPIC || name === TRANSACTIONS_TOPIC

export class Topic {
  readonly name: string
  readonly id: string
  readonly config: Map<string, string>
  readonly partitions: Array<Partition> = []
  deleted = false

  constructor(name: string, id: string, config: Iterable<readonly [string, string]> = []) {
    this.name = name
    this.id = id
    this.config = new Map(config)
  }

  get isInternal(): boolean {
    return isInternal(this.name)
  }

  /** A setting as a number, or what the broker has for it. */
  number(setting: string, otherwise: number): number {
    const value = this.config.get(setting)
    return value === undefined ? otherwise : Number(value)
  }

  snapshot(): TopicSnapshot {
    return {
      name: this.name,
      id: this.id,
      config: [...this.config],
      partitions: this.partitions.map(({ leader, leaderEpoch, log }) => ({ leader, leaderEpoch, log: log.snapshot() }))
    }
  }

  static restore(snapshot: TopicSnapshot): Topic {
    const topic = new Topic(snapshot.name, snapshot.id, snapshot.config)
    snapshot.partitions.forEach(({ leader, leaderEpoch, log }, index) => {
      topic.partitions.push(new Partition(topic, index, leader, leaderEpoch, PartitionLog.restore(log)))
    })
    return topic
  }
}

/** Kafka's rules for a topic name: letters, digits, dot, underscore, dash; at most 249; not "." or "..". */
export const isValidName = (name: string): boolean =>
  name !== "." && name !== ".." && name.length <= 249 && /^[a-zA-Z0-9._-]+$/.test(name)
