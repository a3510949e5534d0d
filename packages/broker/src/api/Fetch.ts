/**
 * Fetch: v4-18
 *
 * Behaviour
 * - Waits up to maxWaitMs for minBytes. A read_committed reader waits for the last stable offset, so it is a marker that wakes it, not data.
 * - Stored batches are answered as they lie in the log, aborted ones among them, with the list of aborted transactions for the reader to
 *   filter by.
 * - Fetch sessions (KIP-227): an incremental fetch names what changed, and is told of partitions with news.
 *
 * Versions
 * - v5 logStartOffset; v7 sessions; v9 leader epochs are checked; v12 the current leader beside errors 6, 74, 75; v13 topic ids; v16 node endpoints.
 */
import { Apis, type FetchRequest, type FetchResponse } from "@exactly-once/protocol"
import { type FetchSession, NO_SESSION, type SessionPartition } from "../cluster/FetchSessions.ts"
import type { Partition, Topic } from "../cluster/Topic.ts"
import * as Code from "../errorCodes.ts"
import { leaderEpochError } from "./leaderEpoch.ts"
import { leaderOf, nodeEndpoints } from "./leaders.ts"
import { type RequestContext, serve } from "./Served.ts"

type Answer = FetchResponse.PartitionDataInput
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

interface Asked extends SessionPartition {
  readonly found: Topic | undefined
  readonly partition: Partition | undefined
}

/** An error that is known without reading. */
const errorOf = ({ found, partition, wanted }: Asked, context: RequestContext): number => {
  if (partition === undefined || partition.topic.deleted) {
    return context.version >= 13 && (found === undefined || found.deleted)
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

/** The topics and partitions that a request lists itself. */
const listed = (request: FetchRequest.FetchRequest): Array<SessionPartition> =>
  request.topics.flatMap(({ partitions, topic, topicId }) => partitions.map((wanted) => ({ topic, topicId, wanted })))

interface Begun {
  readonly error: number
  readonly session: FetchSession | undefined
  /** Only news is told: the client has the rest from before. */
  readonly incremental: boolean
}

const begun = (session: FetchSession | undefined, incremental: boolean): Begun => ({
  error: Code.NONE,
  session,
  incremental
})
const refused = (error: number): Begun => ({ error, session: undefined, incremental: false })

/** What the request means for its session: it goes on with one, asks for one, ends one, or does without. */
const begin = (request: FetchRequest.FetchRequest, { cluster, node, version }: RequestContext): Begun => {
  const { fetchSessions } = cluster
  const { forgottenTopicsData, sessionEpoch, sessionId } = request
  const wanted = listed(request)
  if (sessionEpoch <= 0) {
    if (sessionId !== NO_SESSION) fetchSessions.close(sessionId, node.id)
    const session = sessionEpoch < 0 ? undefined : fetchSessions.open(node.id, version >= 13, cluster.now())
    session?.update(wanted, [])
    return begun(session, false)
  }
  const session = fetchSessions.get(sessionId, node.id)
  if (session === undefined) return refused(Code.FETCH_SESSION_ID_NOT_FOUND)
  if (session.epoch !== sessionEpoch) return refused(Code.INVALID_FETCH_SESSION_EPOCH)
  if (session.usesTopicIds !== version >= 13) return refused(Code.FETCH_SESSION_TOPIC_ID_ERROR)
  session.update(wanted, forgottenTopicsData)
  if (session.isEmpty) {
    fetchSessions.close(sessionId, node.id)
    return begun(undefined, false)
  }
  session.next(cluster.now())
  return begun(session, true)
}

const respond = (
  asked: ReadonlyArray<Asked>,
  { incremental, session }: Begun,
  request: FetchRequest.FetchRequest,
  context: RequestContext
): FetchResponse.FetchResponseInput => {
  const budget = { bytes: request.maxBytes, empty: true }
  const topics = new Map<
    string,
    { readonly topic: string; readonly topicId: string; readonly partitions: Array<Answer> }
  >()
  let moved = false
  for (const it of asked) {
    const answer = read(it, request, context, budget)
    if (answer.errorCode === Code.NOT_LEADER_OR_FOLLOWER) moved = true
    const news = session?.tells(it, answer) ?? true
    if (incremental && !news) continue
    const { topic, topicId } = it
    const known = topics.get(topic + topicId)
    if (known === undefined) topics.set(topic + topicId, { topic, topicId, partitions: [answer] })
    else known.partitions.push(answer)
  }
  const responses = [...topics.values()]
  return {
    ...(session === undefined ? {} : { sessionId: session.id }),
    responses,
    ...(moved && context.version >= 16 ? { nodeEndpoints: nodeEndpoints(context) } : {})
  }
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
    const { cluster, connection, version } = context
    const opening = begin(request, context)
    if (opening.error !== Code.NONE) return reply({ errorCode: opening.error, responses: [] })
    const wanted = opening.incremental ? opening.session?.asked() ?? [] : listed(request)
    const asked = wanted.map((it): Asked => {
      const found = version >= 13 ? cluster.topics.withId(it.topicId) : cluster.topics.get(it.topic)
      return { ...it, found, partition: found?.partitions[it.wanted.partition] }
    })
    const answer = () => reply(respond(asked, opening, request, context))
    if (request.maxWaitMs <= 0 || isReady(asked, request, context)) return answer()
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
      answer()
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
