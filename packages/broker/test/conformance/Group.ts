/** The requests of group members, classic and of KIP-848, over a connection. */
import { Apis, type ConsumerGroupHeartbeatResponse, type JoinGroupResponse } from "@exactly-once/protocol"
import type { Raw } from "./Raw.ts"

export interface Join {
  readonly member?: string
  readonly instance?: string | null
  readonly session?: number
  readonly rebalance?: number
  readonly protocols?: ReadonlyArray<string>
  readonly type?: string
  readonly version?: number
  /** What the member says about itself in each protocol. */
  readonly metadata?: Uint8Array
}

export interface Member {
  readonly member: string
  readonly generation: number
  readonly instance?: string | null
}

const NOTHING = new Uint8Array(0)

export const join = (raw: Raw, group: string, options: Join = {}): Promise<JoinGroupResponse.JoinGroupResponse> => {
  const { instance = null, member = "", protocols = ["range"], rebalance = 5_000, session = 30_000, version = 7 } =
    options
  return raw.client.call(Apis.JoinGroup, version, {
    groupId: group,
    sessionTimeoutMs: session,
    ...(version >= 1 ? { rebalanceTimeoutMs: rebalance } : {}),
    memberId: member,
    ...(version >= 5 ? { groupInstanceId: instance } : {}),
    protocolType: options.type ?? "consumer",
    protocols: protocols.map((name) => ({ name, metadata: options.metadata ?? NOTHING }))
  })
}

/** Joins as clients do: once for an id, once with it. */
export const joinTwice = async (
  raw: Raw,
  group: string,
  options: Join = {}
): Promise<JoinGroupResponse.JoinGroupResponse> => {
  const first = await join(raw, group, options)
  return first.errorCode === 79 ? join(raw, group, { ...options, member: first.memberId }) : first
}

export interface Sync {
  readonly assignments?: ReadonlyArray<readonly [member: string, assignment: string]>
  readonly protocol?: string
  readonly type?: string
  readonly version?: number
}

export const sync = async (raw: Raw, group: string, it: Member, options: Sync = {}) => {
  const version = options.version ?? 5
  const answer = await raw.client.call(Apis.SyncGroup, version, {
    groupId: group,
    generationId: it.generation,
    memberId: it.member,
    ...(version >= 3 ? { groupInstanceId: it.instance ?? null } : {}),
    ...(version >= 5 ? { protocolType: options.type ?? "consumer", protocolName: options.protocol ?? "range" } : {}),
    assignments: (options.assignments ?? []).map(([memberId, text]) => ({ memberId, assignment: Buffer.from(text) }))
  })
  return { error: answer.errorCode, assignment: Buffer.from(answer.assignment).toString() }
}

export const heartbeat = async (raw: Raw, group: string, it: Member, version = 4): Promise<number> => {
  const answer = await raw.client.call(Apis.Heartbeat, version, {
    groupId: group,
    generationId: it.generation,
    memberId: it.member,
    ...(version >= 3 ? { groupInstanceId: it.instance ?? null } : {})
  })
  return answer.errorCode
}

export const leave = async (
  raw: Raw,
  group: string,
  member: string,
  instance: string | null = null
): Promise<readonly [whole: number, ...members: ReadonlyArray<number>]> => {
  const answer = await raw.client.call(Apis.LeaveGroup, 5, {
    groupId: group,
    members: [{ memberId: member, groupInstanceId: instance }]
  })
  return [answer.errorCode, ...answer.members.map(({ errorCode }) => errorCode)]
}

/** A stable group of one member, which was assigned "all". */
export const alone = async (raw: Raw, group: string, options: Join = {}): Promise<Member> => {
  const joined = await joinTwice(raw, group, options)
  if (joined.errorCode !== 0) throw new Error(`JoinGroup: ${joined.errorCode}`)
  const member = { member: joined.memberId, generation: joined.generationId, instance: options.instance ?? null }
  await sync(raw, group, member, { assignments: [[member.member, "all"]] })
  return member
}

export const groupState = async (raw: Raw, group: string): Promise<string> => {
  const { groups } = await raw.client.call(Apis.DescribeGroups, 5, { groups: [group] })
  return groups[0]!.errorCode === 0 ? groups[0]!.groupState : String(groups[0]!.errorCode)
}

export interface Beat {
  readonly member: string
  readonly epoch: number
  readonly topics?: ReadonlyArray<string> | null
  readonly owned?: ReadonlyArray<{ readonly topicId: string; readonly partitions: ReadonlyArray<number> }> | null
  readonly instance?: string | null
  readonly assignor?: string | null
  readonly rebalance?: number
  readonly regex?: string | null
  readonly version?: number
}

/** ConsumerGroupHeartbeat; what is left out is not sent, as by a member with nothing to say. */
export const beat = (
  raw: Raw,
  group: string,
  it: Beat
): Promise<ConsumerGroupHeartbeatResponse.ConsumerGroupHeartbeatResponse> =>
  raw.client.call(Apis.ConsumerGroupHeartbeat, it.version ?? 1, {
    groupId: group,
    memberId: it.member,
    memberEpoch: it.epoch,
    instanceId: it.instance ?? null,
    rebalanceTimeoutMs: it.rebalance ?? -1,
    subscribedTopicNames: it.topics ?? null,
    serverAssignor: it.assignor ?? null,
    topicPartitions: it.owned ?? null,
    ...(it.regex === undefined ? {} : { subscribedTopicRegex: it.regex })
  })

/** The first heartbeat of a member. */
export const enter = (
  raw: Raw,
  group: string,
  member: string,
  topics: ReadonlyArray<string>,
  options: Partial<Beat> = {}
) => beat(raw, group, { member, epoch: 0, topics, owned: [], rebalance: 30_000, ...options })

/** How many partitions a heartbeat's answer assigns; null when it says nothing about the assignment. */
export const assigned = (answer: ConsumerGroupHeartbeatResponse.ConsumerGroupHeartbeatResponse): number | null =>
  answer.assignment === null
    ? null
    : answer.assignment.topicPartitions.reduce((sum, { partitions }) => sum + partitions.length, 0)
