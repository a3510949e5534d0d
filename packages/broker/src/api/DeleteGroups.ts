/**
 * DeleteGroups: v0-2
 *
 * Behaviour
 * - Deletes groups without members, and their offsets.
 */
import { Apis, type DeleteGroupsResponse } from "@exactly-once/protocol"
import { callerOf, split } from "./groups.ts"
import { serve } from "./Served.ts"

export const DeleteGroups = serve(Apis.DeleteGroups, {
  handle: (request, context, reply) => {
    const { cluster } = context
    const { other, own } = split(request.groupsNames, (it) => it, context)
    const elsewhere = other.map(({ error, it }) => ({ groupId: it, errorCode: error }))
    if (own.length === 0) return reply({ throttleTimeMs: 0, results: elsewhere })
    cluster.group<DeleteGroupsResponse.DeleteGroupsResponseInput>(
      (ticket, now) => cluster.groups.deleteGroups({ ...request, groupsNames: own }, callerOf(context), ticket, now),
      (response) => reply({ ...response, results: [...response.results, ...elsewhere] })
    )
  },
  refuse: (request, errorCode) => ({
    throttleTimeMs: 0,
    results: request.groupsNames.map((groupId) => ({ groupId, errorCode }))
  })
})
