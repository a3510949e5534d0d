/** What answers say of leaders and nodes. */
import type { Partition } from "../cluster/Topic.ts"
import type { Node, RequestContext } from "./Served.ts"

export const leaderOf = (partition: Partition) => ({ leaderId: partition.leader, leaderEpoch: partition.leaderEpoch })

export const nodeEndpoints = (context: RequestContext) =>
  context.nodes.map(({ host, id, port }) => ({ nodeId: id, host, port, rack: null }))

export const nodeOf = (context: RequestContext, id: number): Node =>
  context.nodes.find((node) => node.id === id) ?? context.node
