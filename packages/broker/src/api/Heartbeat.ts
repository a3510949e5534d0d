/**
 * Heartbeat: v0-4
 *
 * Behaviour
 * - Keeps a member of a classic group alive, and tells it by error 27 that the group is rebalancing.
 *
 * Versions
 * - v3 static members.
 */
import { Apis } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { callerOf, placement } from "./groups.ts"
import { serve } from "./Served.ts"

export const Heartbeat = serve(Apis.Heartbeat, {
  handle: (request, context, reply) => {
    const misplaced = placement(request.groupId, context)
    if (misplaced !== Code.NONE) return reply({ errorCode: misplaced })
    const { cluster } = context
    cluster.group((ticket, now) => cluster.groups.heartbeat(request, callerOf(context), ticket, now), reply)
  },
  refuse: (_request, errorCode) => ({ errorCode })
})
