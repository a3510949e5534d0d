/** What a group coordinator is told from outside: the topics, its options, who calls. */

/** Kafka's settings of the same meaning; all times in milliseconds. */
export interface GroupOptions {
  /** `group.initial.rebalance.delay.ms`: how long the first rebalance of an empty classic group waits for more members. */
  readonly initialRebalanceDelay: number
  /** `group.min.session.timeout.ms` */
  readonly minSessionTimeout: number
  /** `group.max.session.timeout.ms` */
  readonly maxSessionTimeout: number
  /** How long a member that is new to a classic group may wait for its first rebalance. Kafka has no setting for it. */
  readonly newMemberJoinTimeout: number
  /** `group.max.size` and `group.consumer.max.size` */
  readonly maxSize: number
  /** `group.consumer.heartbeat.interval.ms` */
  readonly consumerHeartbeatInterval: number
  /** `group.consumer.session.timeout.ms` */
  readonly consumerSessionTimeout: number
  /** `group.consumer.assignment.interval.ms` (KIP-1263): a new target is computed at most this often. */
  readonly consumerAssignmentInterval: number
  /** `offset.metadata.max.bytes` */
  readonly offsetMetadataMaxSize: number
  /** `offsets.retention.minutes`, here in milliseconds */
  readonly offsetsRetention: number
  /** `offsets.retention.check.interval.ms` */
  readonly offsetsRetentionCheckInterval: number
}

/** Kafka 4.3.1's defaults, except for the initial rebalance delay: 0 instead of 3000, which only makes tests wait. */
export const defaultGroupOptions: GroupOptions = {
  initialRebalanceDelay: 0,
  minSessionTimeout: 6_000,
  maxSessionTimeout: 1_800_000,
  newMemberJoinTimeout: 300_000,
  maxSize: 2_147_483_647,
  consumerHeartbeatInterval: 5_000,
  consumerSessionTimeout: 45_000,
  consumerAssignmentInterval: 1_000,
  offsetMetadataMaxSize: 4_096,
  offsetsRetention: 604_800_000,
  offsetsRetentionCheckInterval: 600_000
}

export interface GroupEnvironment {
  /** A fresh random UUID, in the form that `Uuid` of the protocol has. */
  readonly newMemberId: () => string
  /** How many partitions a topic has; `undefined` if there is no such topic. */
  readonly partitions: (topic: string) => number | undefined
  readonly topicId: (topic: string) => string | undefined
  readonly topicName: (topicId: string) => string | undefined
  /** The names of all topics, which a subscription by pattern is matched with. */
  readonly topics: () => Iterable<string>
  readonly options?: Partial<GroupOptions> | undefined
}

/** Names one request. The caller chooses it; no two requests that wait at the same time have the same. */
export type Ticket = number

/** Who sent a request, and in which version of the API. */
export interface Caller {
  readonly clientId: string
  readonly clientHost: string
  readonly version: number
}

/** The answer to the request of this ticket: a response message of that request's API and version. */
export interface Reply {
  readonly ticket: Ticket
  readonly response: unknown
}
