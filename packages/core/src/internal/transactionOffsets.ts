/**
 * The offsets that a transaction commits, and the token in them by which its end is known when EndTxn's answer was lost.
 */
import * as Effect from "effect/Effect"
import type { DriverError } from "../Driver.ts"
import { type Offset, offsetUnsafe } from "../Offset.ts"
import { format } from "../TopicPartition.ts"
import type { Share } from "./batch.ts"
import type { Unresolved } from "./lane.ts"
import type { Begun, Driven } from "./openTransaction.ts"
import type { SessionRuntime } from "./sessionRuntime.ts"

/** One offset a partition: the last of those that were enlisted by hand. */
const lastOf = (shares: ReadonlyArray<Share>): ReadonlyArray<Share> => {
  const last = new Map<string, Share>()
  for (const share of shares) {
    const known = last.get(format(share.fetched))
    if (known === undefined || share.fetched.nextOffset > known.fetched.nextOffset) {
      last.set(format(share.fetched), share)
    }
  }
  return Array.from(last.values())
}

/** Where this transaction's token stands once it has committed: on its first offset. */
export const tokenPlace = (session: SessionRuntime, transaction: Driven, begun: Begun): Unresolved | undefined => {
  const token = transaction.token
  const [first] = transaction.shares
  if (first !== undefined && transaction.runtime !== undefined) {
    const { partition, topic } = first.fetched
    return { groupId: transaction.runtime.groupId, partition: { topic, partition }, token, start: first.start }
  }
  const topic = transaction.buffer.anyTopic()
  return topic === undefined
    ? undefined
    : {
      groupId: `${session.settings.transactionalIdPrefix}-outcome-${begun.transactionalId}`,
      partition: { topic, partition: 0 },
      token,
      start: undefined
    }
}

const marker: Offset = offsetUnsafe(0n)

export const sendOffsets = (session: SessionRuntime, transaction: Driven, begun: Begun) => {
  const { runtime, shares, token } = transaction
  const [first] = shares
  if (runtime !== undefined && first !== undefined) {
    return begun.handle.sendOffsets({
      groupId: runtime.groupId,
      delivery: first.fetched.delivery,
      offsets: lastOf(shares).map(({ fetched }) => ({
        topic: fetched.topic,
        partition: fetched.partition,
        offset: fetched.nextOffset,
        metadata: token
      }))
    })
  }
  // Without input offsets nothing would tell later whether a commit whose answer was lost took effect.
  const place = tokenPlace(session, transaction, begun)
  return place === undefined ? Effect.void : begun.handle.sendOffsets({
    groupId: place.groupId,
    delivery: null,
    offsets: [{ ...place.partition, offset: marker, metadata: token }]
  })
}

/** The token where it would stand. Absent proves nothing when the next owner may have committed over it. */
export const lookUp = (
  session: SessionRuntime,
  place: Unresolved
): Effect.Effect<"Committed" | undefined, DriverError> =>
  Effect.map(
    session.driver.admin.committed(place.groupId, [place.partition]),
    (found) => found.values().next().value?.metadata === place.token ? "Committed" : undefined
  )
