/**
 * JoinGroup: v0-9
 *
 * Behaviour
 * - Waits until every member of the group has joined, or the rebalance timeout removes those who did not.
 *
 * Versions
 * - v1 a rebalance timeout of its own; v4 a new member first gets its id, with error 79; v5 static members; v7 the protocol in the answer;
 *   v8 a reason; v9 a static leader may skip the assignment.
 */
import { Apis, type JoinGroupResponse } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { callerOf, placement } from "./groups.ts"
import { serve } from "./Served.ts"

const failed = (errorCode: number, memberId: string): JoinGroupResponse.JoinGroupResponseInput => ({
  errorCode,
  generationId: -1,
  protocolName: "",
  leader: "",
  memberId,
  members: []
})

export const JoinGroup = serve(Apis.JoinGroup, {
  handle: (request, context, reply) => {
    const misplaced = placement(request.groupId, context)
    if (misplaced !== Code.NONE) return reply(failed(misplaced, request.memberId))
    const { cluster } = context
    // Subscriptions outlive the frame they came in.
    const protocols = request.protocols.map((it) => ({ ...it, metadata: it.metadata.slice() }))
    cluster.group(
      (ticket, now) => cluster.groups.joinGroup({ ...request, protocols }, callerOf(context), ticket, now),
      reply
    )
  },
  refuse: (request, error) => failed(error, request.memberId)
})
