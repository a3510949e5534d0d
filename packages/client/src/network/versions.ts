/**
 * The versions of each API that this client speaks. The lowest are Kafka 3.1's, the first with topic ids in Fetch; the
 * highest are 4.3's, less where a later version brings nothing to a client like this.
 */
import { Apis } from "@exactly-once/protocol"

export interface Range {
  readonly min: number
  readonly max: number
}

const table: ReadonlyMap<number, Range> = new Map([
  [Apis.Produce.key, { min: 9, max: 13 }],
  [Apis.Fetch.key, { min: 13, max: 17 }],
  [Apis.ListOffsets.key, { min: 7, max: 10 }],
  [Apis.Metadata.key, { min: 12, max: 13 }],
  [Apis.FindCoordinator.key, { min: 4, max: 6 }],
  [Apis.InitProducerId.key, { min: 4, max: 5 }],
  // From version 4 on it is for brokers.
  [Apis.AddPartitionsToTxn.key, { min: 3, max: 3 }],
  [Apis.AddOffsetsToTxn.key, { min: 3, max: 4 }],
  [Apis.EndTxn.key, { min: 3, max: 5 }],
  [Apis.TxnOffsetCommit.key, { min: 3, max: 5 }],
  [Apis.OffsetFetch.key, { min: 8, max: 9 }],
  [Apis.JoinGroup.key, { min: 7, max: 9 }],
  [Apis.SyncGroup.key, { min: 5, max: 5 }],
  [Apis.Heartbeat.key, { min: 4, max: 4 }],
  [Apis.LeaveGroup.key, { min: 4, max: 5 }],
  [Apis.DescribeGroups.key, { min: 5, max: 6 }],
  [Apis.DescribeTransactions.key, { min: 0, max: 0 }]
])

/** The highest version of an API that both sides speak, at most `limit`; `undefined` when there is none. */
export const choose = (
  broker: ReadonlyMap<number, Range>,
  key: number,
  limit = Number.POSITIVE_INFINITY
): number | undefined => {
  const ours = table.get(key)
  const theirs = broker.get(key)
  if (ours === undefined || theirs === undefined) return undefined
  const version = Math.min(ours.max, theirs.max, limit)
  return version >= ours.min && version >= theirs.min ? version : undefined
}

/** What this client needs and the broker does not speak, as a person reads it. */
export const missing = (broker: ReadonlyMap<number, Range>): ReadonlyArray<string> =>
  [...table].flatMap(([key, ours]) => {
    if (choose(broker, key) !== undefined) return []
    const theirs = broker.get(key)
    const name = Apis.byKey(key)?.name ?? String(key)
    return [`${name} v${ours.min} (${theirs === undefined ? "none" : `v${theirs.min}-${theirs.max}`})`]
  })
