/**
 * LeaveGroup: v0-5
 *
 * Behaviour
 * - Removes members at once, which makes the others rebalance.
 *
 * Versions
 * - v3 several members, each with its own error; v5 a reason.
 */
import { Apis } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { callerOf, placement } from "./groups.ts"
import { serve } from "./Served.ts"

export const LeaveGroup = serve(Apis.LeaveGroup, {
  handle: (request, context, reply) => {
    const misplaced = placement(request.groupId, context)
    if (misplaced !== Code.NONE) return reply({ errorCode: misplaced })
    const { cluster } = context
    cluster.group((ticket, now) => cluster.groups.leaveGroup(request, callerOf(context), ticket, now), reply)
  },
  refuse: (_request, errorCode) => ({ errorCode })
})
