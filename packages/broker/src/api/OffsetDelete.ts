/**
 * OffsetDelete: v0
 *
 * Behaviour
 * - Deletes committed offsets of topics that no member of the group is subscribed to.
 */
import { Apis } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { callerOf, placement } from "./groups.ts"
import { serve } from "./Served.ts"

export const OffsetDelete = serve(Apis.OffsetDelete, {
  handle: (request, context, reply) => {
    const misplaced = placement(request.groupId, context)
    if (misplaced !== Code.NONE) return reply({ errorCode: misplaced, topics: [] })
    const { cluster } = context
    cluster.group((ticket, now) => cluster.groups.offsetDelete(request, callerOf(context), ticket, now), reply)
  },
  refuse: (_request, errorCode) => ({ errorCode, topics: [] })
})
