/** What a broker can be told when it is made. Times in milliseconds, sizes in bytes; the defaults are Kafka's unless it says otherwise. */
import type { GroupOptions } from "../group/GroupCoordinator.ts"

export interface TopicOptions {
  readonly partitions: number
  /** Topic settings by Kafka's names: `retention.bytes`, `max.message.bytes`, `message.timestamp.type`, `cleanup.policy` … */
  readonly config?: Readonly<Record<string, string>>
}

export interface ClusterOptions {
  /** How many brokers to simulate over one state; their ids are 1, 2, 3 … */
  readonly nodes: number
  readonly clusterId: string
  /** The finalized feature `transaction.version`: 2 offers transactions of KIP-890, 1 and 0 make clients use the older protocol. */
  readonly transactionVersion: 0 | 1 | 2
  readonly topics: Readonly<Record<string, number | TopicOptions>>
  readonly autoCreateTopics: boolean
  /** Partitions of a topic that is created without a number (`num.partitions`). */
  readonly defaultPartitions: number
  /** How many partitions the two internal topics have, and so among how many coordinators ids and groups are spread. */
  readonly internalPartitions: number
  /** Every partition lets go of its oldest data beyond this; -1 keeps everything. `retention.bytes` of a topic goes first. */
  readonly retentionBytes: number
  /** `message.max.bytes` */
  readonly maxMessageBytes: number
  /** How long a transaction stays in PrepareCommit or PrepareAbort. 0: the markers are written before EndTxn is answered. */
  readonly prepareDelay: number
  /** `transaction.max.timeout.ms` */
  readonly transactionMaxTimeout: number
  /** `transactional.id.expiration.ms` */
  readonly transactionalIdExpiration: number
  /** `producer.id.expiration.ms` */
  readonly producerIdExpiration: number
  /** The first producer id handed out. */
  readonly firstProducerId: number
  /** The first epoch of every producer id. Near 32,766 a test sees the epochs run out. */
  readonly firstEpoch: number
  readonly groups: Partial<GroupOptions>
}

export const defaults: ClusterOptions = {
  nodes: 1,
  clusterId: "exactly-once-embedded-",
  transactionVersion: 2,
  topics: {},
  autoCreateTopics: true,
  defaultPartitions: 1,
  internalPartitions: 50,
  retentionBytes: -1,
  maxMessageBytes: 1_048_588,
  prepareDelay: 0,
  transactionMaxTimeout: 900_000,
  transactionalIdExpiration: 604_800_000,
  producerIdExpiration: 86_400_000,
  firstProducerId: 0,
  firstEpoch: 0,
  groups: {}
}

/** Which deadlines `advance` moves. */
export type TimeScope = "transactions" | "sessions" | "expiry"

/** Time and chance, as the cluster takes them from outside. */
export interface Environment {
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Runs something later; the answer cancels it. */
  readonly after: (millis: number, run: () => void) => () => void
  /** 16 random bytes. */
  readonly randomBytes: () => Uint8Array
}
