import type { ClassicGroup } from "./ClassicGroup.ts"
import type { ConsumerGroup } from "./ConsumerGroup.ts"
import type { GroupEnvironment, GroupOptions, Reply, Ticket } from "./GroupEnvironment.ts"
import type { OffsetStore } from "./OffsetStore.ts"
import type { Timers } from "./Timers.ts"

/** The state of a coordinator, and what one step of it works with: the moment, and the answers it gives. */
export interface GroupContext {
  readonly environment: GroupEnvironment
  readonly options: GroupOptions
  readonly groups: Map<string, ClassicGroup | ConsumerGroup>
  readonly offsets: OffsetStore
  readonly timers: Timers
  /** The moment of this step, milliseconds of whatever clock the caller has. Never goes back. */
  now: number
  /** Answers that became due in this step. */
  outbox: Array<Reply>
}

export const reply = (context: GroupContext, ticket: Ticket, response: unknown): void => {
  context.outbox.push({ ticket, response })
}

/** Removes a group; its committed offsets are another matter. */
export const removeGroup = (context: GroupContext, groupId: string): void => {
  const group = context.groups.get(groupId)
  if (group === undefined) return
  group.stopTimers(context.timers)
  context.groups.delete(groupId)
}
