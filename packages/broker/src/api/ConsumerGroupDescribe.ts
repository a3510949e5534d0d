/**
 * ConsumerGroupDescribe: v0-1
 *
 * Behaviour
 * - State, epochs, members, current and target assignments of groups of KIP-848; 69 for one that does not exist.
 *
 * Versions
 * - v1 the type of a member.
 */
import { Apis, type ConsumerGroupDescribeResponse } from "@exactly-once/protocol"
import { callerOf, split } from "./groups.ts"
import { serve } from "./Served.ts"

const failed = (groupId: string, errorCode: number) => ({
  errorCode,
  groupId,
  groupState: "",
  groupEpoch: 0,
  assignmentEpoch: 0,
  assignorName: "",
  members: []
})

export const ConsumerGroupDescribe = serve(Apis.ConsumerGroupDescribe, {
  handle: (request, context, reply) => {
    const { cluster } = context
    const { other, own } = split(request.groupIds, (it) => it, context)
    const elsewhere = other.map(({ error, it }) => failed(it, error))
    if (own.length === 0) return reply({ throttleTimeMs: 0, groups: elsewhere })
    cluster.group<ConsumerGroupDescribeResponse.ConsumerGroupDescribeResponseInput>(
      (ticket, now) =>
        cluster.groups.consumerGroupDescribe({ ...request, groupIds: own }, callerOf(context), ticket, now),
      (response) => reply({ ...response, groups: [...response.groups, ...elsewhere] })
    )
  },
  refuse: (request, error) => ({ throttleTimeMs: 0, groups: request.groupIds.map((groupId) => failed(groupId, error)) })
})
