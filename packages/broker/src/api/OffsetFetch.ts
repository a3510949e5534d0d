/**
 * OffsetFetch: v1-10
 *
 * Behaviour
 * - Committed offsets. With requireStable a partition that has pending transactional offsets answers 88 (KIP-447); without it the old value.
 *
 * Versions
 * - v2 all topics, and an error for the whole group; v7 requireStable; v8 several groups; v9 members of KIP-848 are checked; v10 topic ids.
 */
import { Apis, type OffsetFetchRequest, type OffsetFetchResponse } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { callerOf, split } from "./groups.ts"
import { type RequestContext, serve } from "./Served.ts"

type Request = OffsetFetchRequest.OffsetFetchRequest
type Response = OffsetFetchResponse.OffsetFetchResponseInput

const refusal = (request: Request, errorCode: number, context: RequestContext): Response => {
  if (context.version >= 8) {
    return { groups: request.groups.map(({ groupId }) => ({ groupId, topics: [], errorCode })) }
  }
  if (context.version >= 2) return { topics: [], errorCode }
  const topics = (request.topics ?? []).map(({ name, partitionIndexes }) => ({
    name,
    partitions: partitionIndexes.map((partitionIndex) => ({
      partitionIndex,
      committedOffset: -1n,
      metadata: "",
      errorCode
    }))
  }))
  return { topics }
}

export const OffsetFetch = serve(Apis.OffsetFetch, {
  handle: (request, context, reply) => {
    const { cluster } = context
    if (context.version < 8) {
      const misplaced = cluster.groupError(request.groupId, context.node.id)
      if (misplaced !== Code.NONE) return reply(refusal(request, misplaced, context))
      return cluster.group((ticket, now) => cluster.groups.offsetFetch(request, callerOf(context), ticket, now), reply)
    }
    const { other, own } = split(request.groups, (it) => it.groupId, context)
    const elsewhere = other.map(({ error, it }) => ({ groupId: it.groupId, topics: [], errorCode: error }))
    if (own.length === 0) return reply({ groups: elsewhere })
    cluster.group<Response>(
      (ticket, now) => cluster.groups.offsetFetch({ ...request, groups: own }, callerOf(context), ticket, now),
      (response) => reply({ ...response, groups: [...(response.groups ?? []), ...elsewhere] })
    )
  },
  refuse: refusal
})
