import { type OffsetFetchRequest, Uuid } from "@exactly-once/protocol"
import { NONE, STALE_MEMBER_EPOCH, UNKNOWN_MEMBER_ID, UNKNOWN_TOPIC_ID, UNSTABLE_OFFSET_COMMIT } from "./errorCodes.ts"
import { type GroupContext, reply } from "./GroupContext.ts"
import type { Caller, Ticket } from "./GroupEnvironment.ts"

/** From here on several groups are asked for at once. */
const BATCHED_FROM = 8
/** From here on topics are named by id. */
const TOPIC_IDS_FROM = 10
/** From here on a group can have an error of its own. */
const GROUP_ERROR_FROM = 2

interface FetchedPartition {
  readonly partitionIndex: number
  readonly committedOffset: bigint
  readonly committedLeaderEpoch: number
  readonly metadata: string
  readonly errorCode: number
}

interface FetchedTopic {
  readonly name: string
  readonly topicId: string
  readonly partitions: ReadonlyArray<FetchedPartition>
}

interface FetchedGroup {
  readonly groupId: string
  readonly errorCode: number
  readonly topics: ReadonlyArray<FetchedTopic>
}

/** OffsetFetch: what is committed; with `requireStable`, 88 for partitions that an open transaction has written an offset of. */
export const offsetFetch = (
  context: GroupContext,
  request: OffsetFetchRequest.OffsetFetchRequest,
  caller: Caller,
  ticket: Ticket
): void => {
  const { requireStable } = request
  if (caller.version >= BATCHED_FROM) {
    const byId = caller.version >= TOPIC_IDS_FROM
    const groups = request.groups.map(({ groupId, memberEpoch, memberId, topics }): FetchedGroup => {
      const errorCode = memberError(context, groupId, memberId, memberEpoch)
      if (errorCode !== NONE) return { groupId, errorCode, topics: [] }
      return { groupId, errorCode, topics: fetch(context, groupId, topics, requireStable, byId) }
    })
    return reply(context, ticket, { throttleTimeMs: 0, groups })
  }
  const { groupId } = request
  const errorCode = memberError(context, groupId, null, -1)
  if (errorCode !== NONE && caller.version >= GROUP_ERROR_FROM) {
    return reply(context, ticket, { throttleTimeMs: 0, errorCode, topics: [] })
  }
  const asked = request.topics?.map(({ name, partitionIndexes }) => ({ name, topicId: Uuid.ZERO, partitionIndexes }))
  const topics = fetch(context, groupId, asked ?? null, requireStable, false)
  reply(context, ticket, {
    throttleTimeMs: 0,
    errorCode: NONE,
    topics: topics.map(({ name, partitions }) => ({ name, partitions }))
  })
}

/** Only members of the consumer protocol say who they are; a group that is not there has no offsets, which is no error. */
const memberError = (context: GroupContext, groupId: string, memberId: string | null, epoch: number): number => {
  const group = context.groups.get(groupId)
  if (group?.type !== "consumer" || (memberId === null && epoch < 0)) return NONE
  const member = group.members.get(memberId ?? "")
  if (member === undefined) return UNKNOWN_MEMBER_ID
  return member.epoch === epoch ? NONE : STALE_MEMBER_EPOCH
}

interface AskedTopic {
  readonly name: string
  readonly topicId: string
  readonly partitionIndexes: ReadonlyArray<number>
}

const fetch = (
  context: GroupContext,
  groupId: string,
  topics: ReadonlyArray<AskedTopic> | null,
  requireStable: boolean,
  byId: boolean
): Array<FetchedTopic> => {
  const exists = context.groups.has(groupId)
  if (topics === null) return exists ? fetchAll(context, groupId, requireStable, byId) : []
  return topics.map(({ name, partitionIndexes, topicId }) => {
    const topic = byId ? context.environment.topicName(topicId) : name
    return {
      name: byId ? "" : name,
      topicId,
      partitions: partitionIndexes.map((partition) =>
        topic === undefined
          ? nothing(partition, UNKNOWN_TOPIC_ID)
          : exists
          ? fetchOne(context, groupId, topic, partition, requireStable)
          : nothing(partition, NONE)
      )
    }
  })
}

const fetchAll = (
  context: GroupContext,
  groupId: string,
  requireStable: boolean,
  byId: boolean
): Array<FetchedTopic> => {
  const fetched: Array<FetchedTopic> = []
  for (const [topic, partitions] of context.offsets.committed(groupId)) {
    const topicId = byId ? context.environment.topicId(topic) : Uuid.ZERO
    if (topicId === undefined) continue
    fetched.push({
      name: byId ? "" : topic,
      topicId,
      partitions: Array.from(
        partitions.keys(),
        (partition) => fetchOne(context, groupId, topic, partition, requireStable)
      )
    })
  }
  return fetched
}

const fetchOne = (
  { offsets }: GroupContext,
  groupId: string,
  topic: string,
  partition: number,
  requireStable: boolean
): FetchedPartition => {
  if (requireStable && offsets.isPending(groupId, topic, partition)) return nothing(partition, UNSTABLE_OFFSET_COMMIT)
  const committed = offsets.get(groupId, topic, partition)
  if (committed === undefined) return nothing(partition, NONE)
  return {
    partitionIndex: partition,
    committedOffset: committed.offset,
    committedLeaderEpoch: committed.leaderEpoch,
    metadata: committed.metadata,
    errorCode: NONE
  }
}

const nothing = (partitionIndex: number, errorCode: number): FetchedPartition => ({
  partitionIndex,
  committedOffset: -1n,
  committedLeaderEpoch: -1,
  metadata: "",
  errorCode
})
