/**
 * DeleteTopics: v1-6
 *
 * Behaviour
 * - Deletes topics at once, open transactions or not: their markers are then skipped.
 *
 * Versions
 * - v5 an error message; v6 by topic id.
 */
import { Apis, Uuid } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { serve } from "./Served.ts"

export const DeleteTopics = serve(Apis.DeleteTopics, {
  handle: (request, { cluster, version }, reply) => {
    const asked = version >= 6
      ? request.topics
      : request.topicNames.map((name) => ({ name, topicId: Uuid.ZERO }))
    reply({
      responses: asked.map(({ name, topicId }) => {
        const topic = name === null ? cluster.topics.withId(topicId) : cluster.topics.get(name)
        if (topic === undefined) {
          const errorCode = name === null ? Code.UNKNOWN_TOPIC_ID : Code.UNKNOWN_TOPIC_OR_PARTITION
          return { name, topicId, errorCode, errorMessage: "This server does not host this topic-partition." }
        }
        cluster.deleteTopic(topic)
        return { name: topic.name, topicId: topic.id, errorCode: Code.NONE }
      })
    })
  },
  refuse: (request, errorCode, { version }) => ({
    responses: version >= 6
      ? request.topics.map(({ name, topicId }) => ({ name, topicId, errorCode }))
      : request.topicNames.map((name) => ({ name, errorCode }))
  })
})
