/**
 * CreatePartitions: v0-3
 *
 * Behaviour
 * - Adds partitions; a number that is not larger than there are is refused with 37.
 */
import { Apis } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { serve } from "./Served.ts"

export const CreatePartitions = serve(Apis.CreatePartitions, {
  handle: (request, { cluster, nodes }, reply) =>
    reply({
      throttleTimeMs: 0,
      results: request.topics.map(({ assignments, count, name }) => {
        const topic = cluster.topics.get(name)
        if (topic === undefined) {
          return { name, errorCode: Code.UNKNOWN_TOPIC_OR_PARTITION, errorMessage: "There is no such topic" }
        }
        const now = topic.partitions.length
        if (count <= now) {
          const errorMessage = `The topic ${name} currently has ${now} partition(s); ${count} would not be an increase.`
          return { name, errorCode: Code.INVALID_PARTITIONS, errorMessage }
        }
        if (assignments !== null && assignments.length !== count - now) {
          const errorMessage = `${count - now} assignments wanted, ${assignments.length} given`
          return { name, errorCode: Code.INVALID_REPLICA_ASSIGNMENT, errorMessage }
        }
        const known = new Set(nodes.map(({ id }) => id))
        if (assignments?.some(({ brokerIds }) => brokerIds.length === 0 || brokerIds.some((id) => !known.has(id)))) {
          const errorMessage = "The assignment names a node that does not exist"
          return { name, errorCode: Code.INVALID_REPLICA_ASSIGNMENT, errorMessage }
        }
        if (!request.validateOnly) cluster.growTopic(topic, count)
        return { name, errorCode: Code.NONE, errorMessage: null }
      })
    }),
  refuse: (request, errorCode) => ({
    throttleTimeMs: 0,
    results: request.topics.map(({ name }) => ({ name, errorCode }))
  })
})
