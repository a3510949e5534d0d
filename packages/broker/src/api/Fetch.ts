/**
 * Fetch: v4-18
 *
 * Behaviour
 * - Waits up to maxWaitMs for minBytes. A read_committed reader waits for the last stable offset, so it is a marker that wakes it, not data.
 * - Stored batches are answered as they lie in the log, aborted ones among them, with the list of aborted transactions for the reader to
 *   filter by.
 * - No fetch sessions: every full fetch is answered with session 0 (KIP-227), and an incremental one with error 70.
 *
 * Versions
 * - v5 logStartOffset; v9 leader epochs are checked; v12 the current leader beside errors 6, 74, 75; v13 topic ids; v16 node endpoints.
 */
import { Apis, type FetchRequest, type FetchResponse } from "@exactly-once/protocol"
import type { Partition, Topic } from "../cluster/Topic.ts"
import * as Code from "../errorCodes.ts"
import { leaderEpochError } from "./leaderEpoch.ts"
import { leaderOf, nodeEndpoints } from "./leaders.ts"
import { type RequestContext, serve } from "./Served.ts"

type Answer = FetchResponse.PartitionDataInput
type Wanted = FetchRequest.FetchPartition

const READ_COMMITTED = 1
const NOTHING = new Uint8Array(0)

const failed = (partitionIndex: number, errorCode: number): Answer => ({
  partitionIndex,
  errorCode,
  highWatermark: -1n,
  lastStableOffset: -1n,
  logStartOffset: -1n,
  abortedTransactions: null,
  records: NOTHING
})

interface Asked {
  readonly topic: Topic | undefined
  readonly partition: Partition | undefined
  readonly wanted: Wanted
}

/** An error that is known without reading. */
const errorOf = ({ partition, topic, wanted }: Asked, context: RequestContext): number => {
  if (partition === undefined || partition.topic.deleted) {
    return context.version >= 13 && (topic === undefined || topic.deleted)
      ? Code.UNKNOWN_TOPIC_ID
      : Code.UNKNOWN_TOPIC_OR_PARTITION
  }
  if (partition.leader !== context.node.id) return Code.NOT_LEADER_OR_FOLLOWER
  const epochError = leaderEpochError(partition, wanted.currentLeaderEpoch)
  if (epochError !== Code.NONE) return epochError
  const offset = Number(wanted.fetchOffset)
  return offset < partition.log.startOffset || offset > partition.log.endOffset ? Code.OFFSET_OUT_OF_RANGE : Code.NONE
}

const limitOf = (partition: Partition, isolation: number): number =>
  isolation === READ_COMMITTED ? partition.log.lastStableOffset : partition.log.highWatermark

const read = (
  asked: Asked,
  request: FetchRequest.FetchRequest,
  context: RequestContext,
  budget: { bytes: number; empty: boolean }
): Answer => {
  const { partition, wanted } = asked
  const error = errorOf(asked, context)
  if (error !== Code.NONE || partition === undefined) {
    const answer = partition === undefined
      ? { ...failed(wanted.partition, error), abortedTransactions: [] }
      : failed(wanted.partition, error)
    return partition !== undefined && error !== Code.OFFSET_OUT_OF_RANGE && context.version >= 12 &&
        !partition.topic.deleted
      ? { ...answer, currentLeader: leaderOf(partition) }
      : answer
  }
  const { log } = partition
  const from = Number(wanted.fetchOffset)
  const upTo = limitOf(partition, request.isolationLevel)
  const { bytes, nextOffset } = log.read(from, upTo, Math.min(wanted.partitionMaxBytes, budget.bytes), budget.empty)
  budget.bytes = Math.max(0, budget.bytes - bytes.length)
  if (bytes.length > 0) budget.empty = false
  return {
    partitionIndex: wanted.partition,
    errorCode: Code.NONE,
    highWatermark: BigInt(log.highWatermark),
    lastStableOffset: BigInt(log.lastStableOffset),
    logStartOffset: BigInt(log.startOffset),
    abortedTransactions: request.isolationLevel !== READ_COMMITTED
      ? null
      : bytes.length === 0
      ? []
      : log.abortedBetween(from, nextOffset).map((it) => ({
        producerId: BigInt(it.producerId),
        firstOffset: BigInt(it.firstOffset)
      })),
    records: bytes
  }
}

/** Whether there is a reason to answer now: an error, or enough bytes. */
const isReady = (asked: ReadonlyArray<Asked>, request: FetchRequest.FetchRequest, context: RequestContext): boolean => {
  let bytes = 0
  for (const it of asked) {
    if (errorOf(it, context) !== Code.NONE || it.partition === undefined) return true
    const from = Number(it.wanted.fetchOffset)
    bytes += it.partition.log.available(from, limitOf(it.partition, request.isolationLevel), request.minBytes - bytes)
    if (bytes >= request.minBytes) return true
  }
  return asked.length === 0
}

const respond = (asked: ReadonlyArray<Asked>, request: FetchRequest.FetchRequest, context: RequestContext) => {
  const budget = { bytes: request.maxBytes, empty: true }
  let moved = false
  let next = 0
  const responses = request.topics.map(({ partitions, topic, topicId }) => ({
    topic,
    topicId,
    partitions: partitions.map(() => {
      const answer = read(asked[next++]!, request, context, budget)
      if (answer.errorCode === Code.NOT_LEADER_OR_FOLLOWER) moved = true
      return answer
    })
  }))
  return moved && context.version >= 16 ? { responses, nodeEndpoints: nodeEndpoints(context) } : { responses }
}

const sizeOf = (response: FetchResponse.FetchResponseInput): number => {
  let size = 128
  for (const { partitions } of response.responses) {
    size += 300
    for (const it of partitions) size += 96 + (it.records?.length ?? 0) + 17 * (it.abortedTransactions?.length ?? 0)
  }
  return size
}

export const Fetch = serve(Apis.Fetch, {
  handle: (request, context, reply) => {
    if (request.sessionId !== 0 && request.sessionEpoch > 0) {
      return reply({ errorCode: Code.FETCH_SESSION_ID_NOT_FOUND, responses: [] })
    }
    const { cluster, connection } = context
    const asked = request.topics.flatMap((it): Array<Asked> => {
      const topic = context.version >= 13 ? cluster.topics.withId(it.topicId) : cluster.topics.get(it.topic)
      return it.partitions.map((wanted) => ({ topic, partition: topic?.partitions[wanted.partition], wanted }))
    })
    if (request.maxWaitMs <= 0 || isReady(asked, request, context)) return reply(respond(asked, request, context))
    const waiter = {
      wake: (changed: Partition) => {
        // Where one byte is enough, the partition that changed decides alone.
        const looked = request.minBytes > 1 ? asked : asked.filter((it) => it.partition === changed)
        if (isReady(looked, request, context)) finish()
      }
    }
    const leave = () => {
      cancel()
      connection.onClose.delete(leave)
      for (const { partition } of asked) partition?.waiters.delete(waiter)
    }
    const finish = () => {
      leave()
      reply(respond(asked, request, context))
    }
    const cancel = cluster.environment.after(request.maxWaitMs, finish)
    connection.onClose.add(leave)
    for (const { partition } of asked) partition?.waiters.add(waiter)
  },
  refuse: (request, error, context) => ({
    errorCode: context.version >= 7 ? error : Code.NONE,
    responses: context.version >= 7 ? [] : request.topics.map(({ partitions, topic }) => ({
      topic,
      partitions: partitions.map(({ partition }) => failed(partition, error))
    }))
  }),
  sizeOf
})
