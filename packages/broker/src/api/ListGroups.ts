/**
 * ListGroups: v0-5
 *
 * Behaviour
 * - The groups that this node coordinates.
 *
 * Versions
 * - v4 filters by state, v5 by type.
 */
import { Apis, type ListGroupsResponse } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { callerOf } from "./groups.ts"
import { serve } from "./Served.ts"

export const ListGroups = serve(Apis.ListGroups, {
  handle: (request, context, reply) => {
    const { cluster, node } = context
    cluster.group<ListGroupsResponse.ListGroupsResponseInput>(
      (ticket, now) => cluster.groups.listGroups(request, callerOf(context), ticket, now),
      (response) =>
        reply({
          ...response,
          groups: response.groups.filter(({ groupId }) => cluster.groupError(groupId, node.id) === Code.NONE)
        })
    )
  },
  refuse: (_request, errorCode) => ({ errorCode, groups: [] })
})
