/**
 * From fetched bytes to batches of decoded records: one loop a batch, no effect per record.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Batch } from "../Batch.ts"
import type { FetchedBatch, FetchedRecord } from "../Driver.ts"
import { DecodeError } from "../KafkaError.ts"
import * as Topic from "../Topic.ts"
import { format } from "../TopicPartition.ts"
import { type Share, type Token, TokenKey } from "./batch.ts"
import type { ConsumerRuntime } from "./consumerRuntime.ts"

type Decoded = Topic.InRecord<string, unknown, unknown>

interface Group {
  readonly shares: Array<Share>
  records: ReadonlyArray<Decoded>
}

const refusal = (record: FetchedRecord, part: "key" | "value", description: string) =>
  new DecodeError({ topic: record.topic, partition: record.partition, offset: record.offset, part, description })

const decodeInto = (out: Array<Decoded>, topic: Topic.Any, records: ReadonlyArray<FetchedRecord>) => {
  for (const record of records) {
    const key = topic.key.decode(record.key)
    if (Result.isFailure(key)) return refusal(record, "key", key.failure)
    const value = topic.value.decode(record.value)
    if (Result.isFailure(value)) return refusal(record, "value", value.failure)
    out.push({
      topic: record.topic,
      partition: record.partition,
      offset: record.offset,
      timestamp: record.timestamp,
      key: key.success,
      value: value.success,
      headers: record.headers
    })
  }
  return undefined
}

/** Batches of one lane come out as one, so that they can share a transaction. */
export const make = <A>(topics: ReadonlyArray<Topic.Any>) => {
  const byName = new Map(topics.map((topic) => [topic.name, topic]))

  return (
    runtime: ConsumerRuntime,
    fetched: ReadonlyArray<FetchedBatch>
  ): Effect.Effect<ReadonlyArray<Batch<A>>, DecodeError> =>
    Effect.suspend(() => {
      const groups: Array<Group> = []
      const last = new Map<string, Group>()
      const stale: Array<FetchedBatch> = []
      for (const batch of fetched) {
        runtime.lend(batch)
        const delivered = runtime.isFresh(batch)
          ? runtime.ownership.deliver(batch, batch.startOffset, batch.nextOffset)
          : undefined
        const topic = byName.get(batch.topic)
        if (delivered === undefined || topic === undefined) {
          stale.push(batch)
          continue
        }
        let records: ReadonlyArray<Decoded> = batch.records
        if (!Topic.isBytes(topic)) {
          const decoded: Array<Decoded> = []
          const refused = decodeInto(decoded, topic, batch.records)
          if (refused !== undefined) return Effect.fail(refused)
          records = decoded
        }
        const share: Share = { fetched: batch, ...delivered }
        const key = runtime.session?.laneKey(batch) ?? format(batch)
        const group = last.get(key)
        // A second slice of a partition was cut to be a batch of its own.
        if (group === undefined || group.shares.some(({ fetched }) => format(fetched) === format(batch))) {
          const fresh: Group = { shares: [share], records }
          groups.push(fresh)
          last.set(key, fresh)
        } else {
          group.shares.push(share)
          group.records = group.records.concat(records)
        }
      }
      const batches = groups.map(({ records, shares }): Batch<A> => {
        const token: Token = { runtime, shares, spent: false }
        return {
          // Every record came out of the serdes of a topic in `topics`, whose records A is the union of.
          records: records as unknown as ReadonlyArray<A>,
          partitions: shares.map(({ fetched }) => ({ topic: fetched.topic, partition: fetched.partition })),
          [TokenKey]: token
        }
      })
      return Effect.as(Effect.forEach(stale, runtime.refuse, { discard: true }), batches)
    })
}
