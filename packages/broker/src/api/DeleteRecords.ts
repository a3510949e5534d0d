/**
 * DeleteRecords: v0-2
 *
 * Behaviour
 * - Moves the start of a log; -1 moves it to the high watermark.
 */
import { Apis } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { serve } from "./Served.ts"

export const DeleteRecords = serve(Apis.DeleteRecords, {
  handle: (request, { cluster, node }, reply) => {
    const remove = (topic: string, partitionIndex: number, wanted: bigint) => {
      const refuse = (errorCode: number) => ({ partitionIndex, lowWatermark: -1n, errorCode })
      const partition = cluster.topics.partition(topic, partitionIndex)
      if (partition === undefined) return refuse(Code.UNKNOWN_TOPIC_OR_PARTITION)
      if (partition.leader !== node.id) return refuse(Code.NOT_LEADER_OR_FOLLOWER)
      if (partition.topic.isInternal) return refuse(Code.INVALID_TOPIC_EXCEPTION)
      const { log } = partition
      const offset = wanted === -1n ? log.highWatermark : Number(wanted)
      if (offset < 0 || offset > log.highWatermark) return refuse(Code.OFFSET_OUT_OF_RANGE)
      log.deleteBelow(offset)
      partition.changed()
      return { partitionIndex, lowWatermark: BigInt(log.startOffset), errorCode: Code.NONE }
    }
    reply({
      throttleTimeMs: 0,
      topics: request.topics.map(({ name, partitions }) => ({
        name,
        partitions: partitions.map((it) => remove(name, it.partitionIndex, it.offset))
      }))
    })
  },
  refuse: (request, errorCode) => ({
    throttleTimeMs: 0,
    topics: request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, lowWatermark: -1n, errorCode }))
    }))
  })
})
