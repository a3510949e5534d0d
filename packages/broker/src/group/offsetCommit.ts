import { type OffsetCommitRequest, type TxnOffsetCommitRequest, Uuid } from "@exactly-once/protocol"
import type { ClassicGroup } from "./ClassicGroup.ts"
import { renewSession } from "./classicRebalance.ts"
import { newClassicGroup } from "./classicRestore.ts"
import type { ConsumerGroup } from "./ConsumerGroup.ts"
import * as codes from "./errorCodes.ts"
import { type GroupContext, reply } from "./GroupContext.ts"
import type { Caller, Ticket } from "./GroupEnvironment.ts"

/** From here on OffsetCommit names topics by id (KIP-848's last step). */
const TOPIC_IDS_FROM = 10
/** From here on OffsetCommit knows the errors of KIP-848. */
const MEMBER_EPOCHS_FROM = 9

/** The check of one partition, after the group and the member were found in order; 0 if it passes. */
type PartitionCheck = (topicId: string, partition: number) => number
type Verdict = number | PartitionCheck

const PASS: PartitionCheck = () => codes.NONE

interface Identity {
  readonly groupId: string
  readonly memberId: string
  readonly instanceId: string | null
  readonly generation: number
}

interface CommittedPartition {
  readonly partitionIndex: number
  readonly committedOffset: bigint
  readonly committedLeaderEpoch: number
  readonly committedMetadata: string | null
}

interface CommittedTopic {
  readonly name: string
  readonly topicId: string
  readonly partitions: ReadonlyArray<CommittedPartition>
}

interface AnsweredTopic {
  readonly name: string
  readonly topicId: string
  readonly partitions: Array<{ readonly partitionIndex: number; readonly errorCode: number }>
}

/** OffsetCommit: each partition is answered for itself, but a member that may not commit gets one error for all. */
export const offsetCommit = (
  context: GroupContext,
  request: OffsetCommitRequest.OffsetCommitRequest,
  caller: Caller,
  ticket: Ticket
): void => {
  const identity: Identity = {
    groupId: request.groupId,
    memberId: request.memberId,
    instanceId: request.groupInstanceId,
    generation: request.generationIdOrMemberEpoch
  }
  const byId = caller.version >= TOPIC_IDS_FROM
  const expiresAt = request.retentionTimeMs === -1n ? undefined : context.now + Number(request.retentionTimeMs)
  const topics = store(
    context,
    identity.groupId,
    request.topics,
    byId,
    () => judge(context, identity, caller.version),
    (topic, { committedLeaderEpoch, committedMetadata, committedOffset, partitionIndex }) =>
      context.offsets.commit(identity.groupId, topic, partitionIndex, {
        offset: committedOffset,
        leaderEpoch: committedLeaderEpoch,
        metadata: committedMetadata ?? "",
        committedAt: context.now,
        expiresAt,
        position: context.offsets.nextPosition()
      })
  )
  reply(context, ticket, { throttleTimeMs: 0, topics })
}

/**
 * TxnOffsetCommit: the offsets are pending until the marker of the producer's transaction comes. That the producer may write here at all
 * (its epoch, and that the group belongs to its transaction) has been checked by then.
 */
export const txnOffsetCommit = (
  context: GroupContext,
  request: TxnOffsetCommitRequest.TxnOffsetCommitRequest,
  _caller: Caller,
  ticket: Ticket
): void => {
  const identity: Identity = {
    groupId: request.groupId,
    memberId: request.memberId,
    instanceId: request.groupInstanceId,
    generation: request.generationId
  }
  const named = request.topics.map(({ name, partitions }) => ({ name, topicId: Uuid.ZERO, partitions }))
  const answered = store(
    context,
    identity.groupId,
    named,
    false,
    () => identity.groupId === "" ? codes.INVALID_GROUP_ID : judgeTransactional(context, identity),
    (topic, { committedLeaderEpoch, committedMetadata, committedOffset, partitionIndex }) =>
      context.offsets.commitPending(request.producerId, identity.groupId, topic, partitionIndex, {
        offset: committedOffset,
        leaderEpoch: committedLeaderEpoch,
        metadata: committedMetadata ?? "",
        committedAt: context.now,
        expiresAt: undefined,
        position: context.offsets.nextPosition()
      })
  )
  reply(context, ticket, {
    throttleTimeMs: 0,
    topics: answered.map(({ name, partitions }) => ({ name, partitions }))
  })
}

interface Accepted {
  readonly topic: string
  readonly topicId: string
  readonly partitions: ReadonlyArray<CommittedPartition>
  readonly answer: AnsweredTopic
}

/**
 * Topics that do not exist are answered before the group is looked at, and if none exists it never is. Of the rest, either all partitions
 * that pass their own check are written, or none.
 */
const store = (
  context: GroupContext,
  groupId: string,
  topics: ReadonlyArray<CommittedTopic>,
  byId: boolean,
  verdictOf: () => Verdict,
  write: (topic: string, partition: CommittedPartition) => void
): Array<AnsweredTopic> => {
  const { accepted, answers } = sortOut(context, topics, byId)
  if (accepted.length === 0) return answers
  const verdict = verdictOf()
  const error = typeof verdict === "number" ? verdict : firstError(context, accepted, verdict)
  for (const { answer, partitions, topic } of accepted) {
    for (const partition of partitions) {
      const tooLarge = error === codes.NONE && isTooLarge(context, partition)
      const errorCode = tooLarge ? codes.OFFSET_METADATA_TOO_LARGE : error
      if (errorCode === codes.NONE) write(topic, partition)
      answer.partitions.push({ partitionIndex: partition.partitionIndex, errorCode })
    }
  }
  if (error === codes.NONE && !context.groups.has(groupId)) newClassicGroup(context, groupId)
  return answers
}

/** Answers partitions that do not exist; topics with such come first, as they do in Kafka. */
const sortOut = (
  { environment }: GroupContext,
  topics: ReadonlyArray<CommittedTopic>,
  byId: boolean
): { readonly accepted: ReadonlyArray<Accepted>; readonly answers: Array<AnsweredTopic> } => {
  const refused: Array<AnsweredTopic> = []
  const clean: Array<AnsweredTopic> = []
  const accepted: Array<Accepted> = []
  for (const asked of topics) {
    const topic = byId ? environment.topicName(asked.topicId) : asked.name
    const count = topic === undefined ? undefined : environment.partitions(topic)
    const exists = ({ partitionIndex }: CommittedPartition): boolean =>
      count !== undefined && partitionIndex >= 0 && partitionIndex < count
    const errorCode = byId && count === undefined ? codes.UNKNOWN_TOPIC_ID : codes.UNKNOWN_TOPIC_OR_PARTITION
    const missing = asked.partitions.filter((partition) => !exists(partition))
    const partitions = missing.length === 0 ? asked.partitions : asked.partitions.filter(exists)
    const answer: AnsweredTopic = {
      name: byId ? "" : asked.name,
      topicId: asked.topicId,
      partitions: missing.map(({ partitionIndex }) => ({ partitionIndex, errorCode }))
    }
    if (missing.length > 0) refused.push(answer)
    else clean.push(answer)
    if (topic !== undefined && partitions.length > 0) {
      accepted.push({ topic, topicId: environment.topicId(topic) ?? Uuid.ZERO, partitions, answer })
    }
  }
  return { accepted, answers: [...refused, ...clean] }
}

const isTooLarge = (context: GroupContext, { committedMetadata }: CommittedPartition): boolean =>
  committedMetadata !== null && committedMetadata.length > context.options.offsetMetadataMaxSize

const firstError = (context: GroupContext, accepted: ReadonlyArray<Accepted>, check: PartitionCheck): number => {
  if (check === PASS) return codes.NONE
  for (const { partitions, topicId } of accepted) {
    for (const partition of partitions) {
      const error = isTooLarge(context, partition) ? codes.NONE : check(topicId, partition.partitionIndex)
      if (error !== codes.NONE) return error
    }
  }
  return codes.NONE
}

/** Whether a member may commit outside of a transaction. A commit by a member shows that it is alive. */
const judge = (context: GroupContext, identity: Identity, version: number): Verdict => {
  const group = context.groups.get(identity.groupId)
  if (group === undefined) {
    if (identity.generation < 0) return PASS
    return version >= MEMBER_EPOCHS_FROM ? codes.GROUP_ID_NOT_FOUND : codes.ILLEGAL_GENERATION
  }
  if (group.type === "consumer") return judgeConsumer(group, identity, false, version)
  const error = judgeClassic(group, identity, false)
  if (error !== codes.NONE) return error
  const member = group.members.get(identity.memberId)
  if (member !== undefined && (group.state === "Stable" || group.state === "PreparingRebalance")) {
    renewSession(context, member)
  }
  return PASS
}

const judgeTransactional = (context: GroupContext, identity: Identity): Verdict => {
  const group = context.groups.get(identity.groupId)
  if (group === undefined) return identity.generation < 0 ? PASS : codes.ILLEGAL_GENERATION
  if (group.type === "classic") {
    const error = judgeClassic(group, identity, true)
    return error === codes.NONE ? PASS : error
  }
  return judgeConsumer(group, identity, true, MEMBER_EPOCHS_FROM)
}

const judgeClassic = (
  group: ClassicGroup,
  { generation, instanceId, memberId }: Identity,
  transactional: boolean
): number => {
  if (generation < 0 && group.isEmpty) return codes.NONE
  if (generation >= 0 || memberId !== "" || instanceId !== null) {
    const error = group.validate(memberId, instanceId)
    if (error !== codes.NONE) return error
    if (generation !== group.generation) return codes.ILLEGAL_GENERATION
  } else if (!transactional && !group.isEmpty) {
    return codes.UNKNOWN_MEMBER_ID
  }
  return !transactional && group.state === "CompletingRebalance" ? codes.REBALANCE_IN_PROGRESS : codes.NONE
}

const judgeConsumer = (
  group: ConsumerGroup,
  { generation, instanceId, memberId }: Identity,
  transactional: boolean,
  version: number
): Verdict => {
  if (generation < 0 && group.isEmpty) return PASS
  if (transactional && generation === -1 && memberId === "" && instanceId === null) return PASS
  const member = group.members.get(memberId)
  if (member === undefined) return codes.UNKNOWN_MEMBER_ID
  if (!transactional && version < MEMBER_EPOCHS_FROM) return codes.UNSUPPORTED_VERSION
  // Transactional commits have no error for an old epoch of their own.
  const stale = transactional ? codes.ILLEGAL_GENERATION : codes.STALE_MEMBER_EPOCH
  if (generation === member.epoch) return PASS
  if (generation > member.epoch) return stale
  // Records that were delivered in an earlier epoch may be committed as long as the partition has stayed with the member (KIP-1251).
  return (topicId, partition) => {
    const since = member.assigned.get(topicId)?.get(partition) ?? member.revoking.get(topicId)?.get(partition)
    return since === undefined || generation < since ? stale : codes.NONE
  }
}
