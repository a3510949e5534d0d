/**
 * WriteTxnMarkers: v1-2
 *
 * Behaviour
 * - Writes markers as a coordinator would, with the epochs it is told. What coordinators say to leaders, and how an operator aborts a
 *   transaction that hangs (KIP-664).
 *
 * Versions
 * - v2 names the transaction version (KIP-1228), which changes nothing here.
 */
import { Apis } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { serve } from "./Served.ts"

export const WriteTxnMarkers = serve(Apis.WriteTxnMarkers, {
  handle: (request, context, reply) => {
    const { cluster } = context
    const markers = request.markers.map((marker) => {
      const producerId = Number(marker.producerId)
      const commit = marker.transactionResult
      const written = {
        producerId,
        producerEpoch: marker.producerEpoch,
        coordinatorEpoch: marker.coordinatorEpoch,
        commit
      }
      const write = (topic: string, index: number): number => {
        const partition = cluster.topics.partition(topic, index)
        if (partition === undefined) return Code.UNKNOWN_TOPIC_OR_PARTITION
        if (partition.leader !== context.node.id) return Code.NOT_LEADER_OR_FOLLOWER
        const error = partition.log.appendMarker(written, partition.leaderEpoch, cluster.now())
        if (error === Code.NONE) cluster.decided(partition, producerId, commit)
        return error
      }
      return {
        producerId: marker.producerId,
        topics: marker.topics.map(({ name, partitionIndexes }) => ({
          name,
          partitions: partitionIndexes.map((partitionIndex) => ({
            partitionIndex,
            errorCode: write(name, partitionIndex)
          }))
        }))
      }
    })
    reply({ markers })
  },
  refuse: (request, errorCode) => ({
    markers: request.markers.map(({ producerId, topics }) => ({
      producerId,
      topics: topics.map(({ name, partitionIndexes }) => ({
        name,
        partitions: partitionIndexes.map((partitionIndex) => ({ partitionIndex, errorCode }))
      }))
    }))
  })
})
