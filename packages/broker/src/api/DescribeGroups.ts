/**
 * DescribeGroups: v0-6
 *
 * Behaviour
 * - State, protocol and members of classic groups; one that does not exist is "Dead".
 *
 * Versions
 * - v4 static members; v6 error 69 for a group that does not exist.
 */
import { Apis, type DescribeGroupsResponse } from "@exactly-once/protocol"
import { callerOf, split } from "./groups.ts"
import { serve } from "./Served.ts"

const failed = (groupId: string, errorCode: number) => ({
  errorCode,
  groupId,
  groupState: "",
  protocolType: "",
  protocolData: "",
  members: []
})

export const DescribeGroups = serve(Apis.DescribeGroups, {
  handle: (request, context, reply) => {
    const { cluster } = context
    const { other, own } = split(request.groups, (it) => it, context)
    const elsewhere = other.map(({ error, it }) => failed(it, error))
    if (own.length === 0) return reply({ groups: elsewhere })
    cluster.group<DescribeGroupsResponse.DescribeGroupsResponseInput>(
      (ticket, now) => cluster.groups.describeGroups({ ...request, groups: own }, callerOf(context), ticket, now),
      (response) => reply({ ...response, groups: [...response.groups, ...elsewhere] })
    )
  },
  refuse: (request, error) => ({ groups: request.groups.map((groupId) => failed(groupId, error)) })
})
