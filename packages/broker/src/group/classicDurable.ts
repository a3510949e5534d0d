/**
 * What Kafka writes of a classic group into its offsets topic, and what is left of the group when a coordinator starts from that: the last
 * generation with an assignment. A rebalance that was under way is forgotten, and members that joined in it are unknown.
 */
import { type ClassicGroup, type ClassicProtocol, metadataOf } from "./ClassicGroup.ts"

export interface DurableClassicGroup {
  readonly generation: number
  readonly protocolType: string | undefined
  readonly protocolName: string | undefined
  readonly leader: string | undefined
  readonly since: number
  readonly members: ReadonlyArray<DurableClassicMember>
}

export interface DurableClassicMember {
  readonly memberId: string
  readonly instanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly protocol: ClassicProtocol
  readonly rebalanceTimeout: number
  readonly sessionTimeout: number
  readonly assignment: Uint8Array
}

/** Remembers the group as it is now. Called when a rebalance ends, not per heartbeat or commit. */
export const writeDurable = (group: ClassicGroup): void => {
  group.durable = {
    generation: group.generation,
    protocolType: group.protocolType,
    protocolName: group.protocolName,
    leader: group.leader,
    since: group.since,
    members: Array.from(group.members.values(), (member) => ({
      memberId: member.memberId,
      instanceId: member.instanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      protocol: { name: group.protocolName ?? "", metadata: metadataOf(member, group.protocolName) },
      rebalanceTimeout: member.rebalanceTimeout,
      sessionTimeout: member.sessionTimeout,
      assignment: member.assignment
    }))
  }
}
