/**
 * SyncGroup: v0-5
 *
 * Behaviour
 * - Waits for the leader's assignment, and answers the member's own part of it.
 *
 * Versions
 * - v3 static members; v5 the protocol is named and checked.
 */
import { Apis, type SyncGroupResponse } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { callerOf, placement } from "./groups.ts"
import { serve } from "./Served.ts"

const failed = (errorCode: number): SyncGroupResponse.SyncGroupResponseInput => ({
  errorCode,
  assignment: new Uint8Array(0)
})

export const SyncGroup = serve(Apis.SyncGroup, {
  handle: (request, context, reply) => {
    const misplaced = placement(request.groupId, context)
    if (misplaced !== Code.NONE) return reply(failed(misplaced))
    const { cluster } = context
    // Assignments outlive the frame they came in.
    const assignments = request.assignments.map((it) => ({ ...it, assignment: it.assignment.slice() }))
    cluster.group(
      (ticket, now) => cluster.groups.syncGroup({ ...request, assignments }, callerOf(context), ticket, now),
      reply
    )
  },
  refuse: (_request, error) => failed(error)
})
