/**
 * ListOffsets: v1-11
 *
 * Behaviour
 * - The end (-1), the start (-2), the largest timestamp (-3), or the first record not older than a time. For a read_committed reader the end
 *   is the last stable offset, and records after it are not found.
 *
 * Versions
 * - v2 isolation; v4 leader epochs; v7 -3; v8 -4, v9 -5 and v11 -6, which concern tiered storage: all data is local here.
 */
import { Apis, type ListOffsetsRequest, type ListOffsetsResponse } from "@exactly-once/protocol"
import type { Partition } from "../cluster/Topic.ts"
import * as Code from "../errorCodes.ts"
import { firstAt, latestIn } from "../log/records.ts"
import { leaderEpochError } from "./leaderEpoch.ts"
import { type RequestContext, serve } from "./Served.ts"

type Answer = ListOffsetsResponse.ListOffsetsPartitionResponseInput
type Asked = ListOffsetsRequest.ListOffsetsPartition

const failed = (partitionIndex: number, errorCode: number): Answer => ({ partitionIndex, errorCode })

const LATEST = -1n
const EARLIEST = -2n
const MAX_TIMESTAMP = -3n
const EARLIEST_LOCAL = -4n
const LATEST_TIERED = -5n
const EARLIEST_PENDING_UPLOAD = -6n

/** The first version that may ask for each of the special timestamps. */
const since = new Map([[MAX_TIMESTAMP, 7], [EARLIEST_LOCAL, 8], [LATEST_TIERED, 9], [EARLIEST_PENDING_UPLOAD, 11]])

const find = (partition: Partition, asked: Asked, committed: boolean, version: number): Answer => {
  const { log, leaderEpoch } = partition
  const end = committed ? log.lastStableOffset : log.highWatermark
  const at = (offset: bigint, timestamp = -1n, epoch = leaderEpoch): Answer => ({
    partitionIndex: asked.partitionIndex,
    errorCode: Code.NONE,
    offset,
    timestamp,
    ...(version >= 4 ? { leaderEpoch: epoch } : {})
  })
  const nothing = at(-1n, -1n, -1)
  switch (asked.timestamp) {
    case LATEST:
      return at(BigInt(end))
    case EARLIEST:
    case EARLIEST_LOCAL:
      return at(
        BigInt(log.startOffset),
        -1n,
        log.epochAt(log.startOffset) < 0 ? leaderEpoch : log.epochAt(log.startOffset)
      )
    case LATEST_TIERED:
    case EARLIEST_PENDING_UPLOAD:
      return nothing
    case MAX_TIMESTAMP: {
      const batch = log.batchOfMaxTimestamp()
      if (batch === undefined) return nothing
      const { offset, timestamp } = latestIn(batch)
      return offset >= BigInt(end) ? nothing : at(offset, timestamp)
    }
    default: {
      const batch = log.batchAtTimestamp(Number(asked.timestamp))
      if (batch === undefined) return nothing
      const { offset, timestamp } = firstAt(batch, asked.timestamp)
      return offset >= BigInt(end) ? nothing : at(offset, timestamp, log.epochAt(Number(offset)))
    }
  }
}

const answer = (
  topic: string,
  asked: Asked,
  committed: boolean,
  { cluster, node, version }: RequestContext
): Answer => {
  const partition = cluster.topics.partition(topic, asked.partitionIndex)
  if (partition === undefined) return failed(asked.partitionIndex, Code.UNKNOWN_TOPIC_OR_PARTITION)
  if (partition.leader !== node.id) return failed(asked.partitionIndex, Code.NOT_LEADER_OR_FOLLOWER)
  const epochError = leaderEpochError(partition, asked.currentLeaderEpoch)
  if (epochError !== Code.NONE) return failed(asked.partitionIndex, epochError)
  if (version < (since.get(asked.timestamp) ?? 0) || asked.timestamp < EARLIEST_PENDING_UPLOAD) {
    return failed(asked.partitionIndex, Code.UNSUPPORTED_VERSION)
  }
  return find(partition, asked, committed, version)
}

export const ListOffsets = serve(Apis.ListOffsets, {
  handle: (request, context, reply) =>
    reply({
      topics: request.topics.map(({ name, partitions }) => ({
        name,
        partitions: partitions.map((asked) => answer(name, asked, request.isolationLevel === 1, context))
      }))
    }),
  refuse: (request, error) => ({
    topics: request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex }) => failed(partitionIndex, error))
    }))
  })
})
