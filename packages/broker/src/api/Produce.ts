/**
 * Produce: v3-13 (0-2 are advertised and not served, as in Kafka)
 *
 * Behaviour
 * - One batch per partition, stored as it came. acks 0 gets no answer, and an error then ends the connection.
 * - Idempotence: a batch sent again gets the offset it got before; a gap is 45, an older epoch 47.
 * - A transactional batch is taken when its transaction is open in this very log, else the coordinator is asked: whether the partition was
 *   added (v3-11) or to add it now (v12+).
 *
 * Versions
 * - v5 logStartOffset; v7 zstd; v8 record errors and a message; v10 the current leader beside error 6; v13 topic ids.
 * - v11 says 120 where older ones say 48, and v12+ gets 51 where older ones get 19 while the previous transaction is being ended.
 */
import { Apis, type ProduceRequest, type ProduceResponse } from "@exactly-once/protocol"
import type { Partition, Topic } from "../cluster/Topic.ts"
import { crc32c } from "../crc32c.ts"
import * as Code from "../errorCodes.ts"
import { type BatchHead, isTransactional, TRANSACTIONAL } from "../log/BatchHead.ts"
import { content, type ContentOptions, form, isFault } from "../log/checkBatch.ts"
import { hasRecordWithoutKey } from "../log/records.ts"
import { stamped } from "../log/stamped.ts"
import { leaderOf, nodeEndpoints } from "./leaders.ts"
import { type RequestContext, serve } from "./Served.ts"
import { type Verified, verify } from "./verification.ts"

type Answer = ProduceResponse.PartitionProduceResponseInput

const NO_OFFSET = -1n
const HINT = 96
const HOUR = 3_600_000
const ADMITTED: Verified = { error: Code.NONE, message: null }
const FENCED: Verified = { error: Code.INVALID_PRODUCER_EPOCH, message: null }

const failed = (index: number, errorCode: number, errorMessage: string | null = null): Answer => ({
  index,
  errorCode,
  baseOffset: NO_OFFSET,
  errorMessage
})

/** Asks the coordinator about a batch, unless this log has the same producer's transaction open already. */
const admit = (partition: Partition, head: BatchHead, transactionalId: string, context: RequestContext): Verified => {
  const { producers } = partition.log
  if (head.producerId < 0 || producers.hasOpenTransaction(head.producerId, head.producerEpoch)) return ADMITTED
  if (producers.isFenced(head.producerId, head.producerEpoch)) return FENCED
  const { cluster, version } = context
  const producer = { transactionalId, producerId: head.producerId, epoch: head.producerEpoch }
  const support = version >= 12 ? "Adds" : version === 11 ? "Abortable" : "InvalidState"
  producers.admit(head, support === "Adds")
  return verify(cluster, producer, { topic: partition.topic.name, partition: partition.index }, support)
}

const isCompacted = (topic: Topic): boolean => (topic.config.get("cleanup.policy") ?? "").includes("compact")

const contentOptions = ({ topic }: Partition, { cluster, version }: RequestContext): ContentOptions => {
  const now = cluster.now()
  return {
    crc32c,
    maxMessageBytes: topic.number("max.message.bytes", cluster.options.maxMessageBytes),
    allowZstd: version >= 7,
    earliest: now - topic.number("message.timestamp.before.max.ms", Infinity),
    latest: now + topic.number("message.timestamp.after.max.ms", HOUR)
  }
}

const append = (
  partition: Partition,
  records: Uint8Array,
  transactionalId: string | null,
  context: RequestContext
): Answer => {
  const { cluster } = context
  const { index, log, topic } = partition
  const formed = form(records)
  if (isFault(formed)) return failed(index, formed.error, formed.message)
  const { batch, head } = formed
  if (isTransactional(head)) {
    const { error, message } = admit(partition, head, transactionalId ?? "", context)
    if (error !== Code.NONE) return failed(index, error, message)
  }
  const stamps = topic.config.get("message.timestamp.type") === "LogAppendTime"
  const options = contentOptions(partition, context)
  const fault = content(formed, stamps ? { ...options, earliest: -Infinity, latest: Infinity } : options)
  if (fault !== undefined) return failed(index, fault.error, fault.message)
  if (isCompacted(topic) && hasRecordWithoutKey(batch)) {
    return failed(index, Code.INVALID_RECORD, "A compacted topic takes no record without a key")
  }
  const appendTime = stamps ? cluster.now() : -1
  const end = log.endOffset
  const { baseOffset, error } = stamps
    ? log.append({ ...head, maxTimestamp: appendTime }, stamped(batch, appendTime), partition.leaderEpoch)
    : log.append(head, batch, partition.leaderEpoch)
  if (error !== Code.NONE) return failed(index, error)
  if (log.endOffset !== end) cluster.appended(partition)
  return {
    index,
    errorCode: Code.NONE,
    baseOffset: BigInt(baseOffset),
    logAppendTimeMs: BigInt(appendTime),
    logStartOffset: BigInt(log.startOffset)
  }
}

const answer = (
  topic: Topic | undefined,
  data: ProduceRequest.PartitionProduceData,
  request: ProduceRequest.ProduceRequest,
  context: RequestContext
): Answer => {
  const { version } = context
  const partition = topic?.partitions[data.index]
  if (partition === undefined) {
    return failed(
      data.index,
      version >= 13 && topic === undefined ? Code.UNKNOWN_TOPIC_ID : Code.UNKNOWN_TOPIC_OR_PARTITION
    )
  }
  if (partition.leader !== context.node.id) {
    const answer = failed(data.index, Code.NOT_LEADER_OR_FOLLOWER)
    return version >= 10 ? { ...answer, currentLeader: leaderOf(partition) } : answer
  }
  if (partition.topic.isInternal) return failed(data.index, Code.INVALID_TOPIC_EXCEPTION)
  // A client that sends no bytes at all was already cut off.
  return append(partition, data.records ?? new Uint8Array(0), request.transactionalId, context)
}

const refusal = (request: ProduceRequest.ProduceRequest, error: number): ProduceResponse.ProduceResponseInput => ({
  responses: request.topicData.map(({ name, partitionData, topicId }) => ({
    name,
    topicId,
    partitionResponses: partitionData.map(({ index }) => failed(index, error))
  }))
})

const TRANSACTIONAL_AT = 22

const hasTransactionalBatch = (request: ProduceRequest.ProduceRequest): boolean =>
  request.topicData.some((topic) =>
    topic.partitionData.some(({ records }) =>
      records !== null && records.length > TRANSACTIONAL_AT && (records[TRANSACTIONAL_AT]! & TRANSACTIONAL) !== 0
    )
  )

const produce = (
  request: ProduceRequest.ProduceRequest,
  context: RequestContext
): ProduceResponse.ProduceResponseInput => {
  if (request.acks < -1 || request.acks > 1) return refusal(request, Code.INVALID_REQUIRED_ACKS)
  if (request.transactionalId === null && hasTransactionalBatch(request)) {
    return refusal(request, Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
  }
  const { topics } = context.cluster
  let moved = false
  const responses = request.topicData.map(({ name, partitionData, topicId }) => {
    const topic = context.version >= 13 ? topics.withId(topicId) : topics.get(name)
    const partitionResponses = partitionData.map((data) => {
      const response = answer(topic, data, request, context)
      if (response.errorCode === Code.NOT_LEADER_OR_FOLLOWER) moved = true
      return response
    })
    return { name, topicId, partitionResponses }
  })
  return moved && context.version >= 10 ? { responses, nodeEndpoints: nodeEndpoints(context) } : { responses }
}

const hasError = (response: ProduceResponse.ProduceResponseInput): boolean =>
  response.responses.some((topic) => topic.partitionResponses.some(({ errorCode }) => errorCode !== Code.NONE))

export const Produce = serve(Apis.Produce, {
  advertisedFrom: 0,
  handle: (request, context, reply) => {
    if (request.topicData.some((topic) => topic.partitionData.some(({ records }) => records === null))) {
      context.connection.close()
      return
    }
    const response = produce(request, context)
    if (request.acks !== 0) return reply(response)
    if (hasError(response)) return context.connection.close()
    reply(undefined)
  },
  refuse: refusal,
  sizeOf: () => HINT
})
