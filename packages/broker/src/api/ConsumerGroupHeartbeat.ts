/**
 * ConsumerGroupHeartbeat: v0-1
 *
 * Behaviour
 * - Joins, stays in and leaves a group of the new protocol (KIP-848): the broker assigns, the member reconciles.
 *
 * Versions
 * - v1 subscriptions by pattern, and the member chooses its own id.
 */
import { Apis } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { callerOf, placement } from "./groups.ts"
import { serve } from "./Served.ts"

const failed = (errorCode: number) => ({ throttleTimeMs: 0, errorCode, memberEpoch: 0, heartbeatIntervalMs: 0 })

export const ConsumerGroupHeartbeat = serve(Apis.ConsumerGroupHeartbeat, {
  handle: (request, context, reply) => {
    const misplaced = placement(request.groupId, context)
    if (misplaced !== Code.NONE) return reply(failed(misplaced))
    const { cluster } = context
    cluster.group(
      (ticket, now) => cluster.groups.consumerGroupHeartbeat(request, callerOf(context), ticket, now),
      reply
    )
  },
  refuse: (_request, error) => failed(error)
})
