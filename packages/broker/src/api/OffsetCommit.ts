/**
 * OffsetCommit: v2-10
 *
 * Behaviour
 * - Stores offsets at once. A live group takes them only from a member, in its generation; pending transactional ones stay pending.
 *
 * Versions
 * - v6 leader epochs; v7 static members; v9 groups of KIP-848 with 113 for a stale epoch; v10 topic ids.
 */
import { Apis, type OffsetCommitRequest } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { callerOf, placement } from "./groups.ts"
import { serve } from "./Served.ts"

const refusal = (request: OffsetCommitRequest.OffsetCommitRequest, errorCode: number) => ({
  topics: request.topics.map(({ name, partitions, topicId }) => ({
    name,
    topicId,
    partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode }))
  }))
})

export const OffsetCommit = serve(Apis.OffsetCommit, {
  handle: (request, context, reply) => {
    const misplaced = placement(request.groupId, context)
    if (misplaced !== Code.NONE) return reply(refusal(request, misplaced))
    const { cluster } = context
    cluster.group((ticket, now) => cluster.groups.offsetCommit(request, callerOf(context), ticket, now), reply)
  },
  refuse: refusal
})
