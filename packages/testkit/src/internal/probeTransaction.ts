/** Transactions of the probe: every request in the hands of the test. */
import { Apis } from "@exactly-once/protocol"
import * as Effect from "effect/Effect"
import type { RawConnection, RawError } from "../RawConnection.ts"
import { busy, check, patiently, refused } from "./asking.ts"
import { encodeBatch, type NewRecord } from "./records.ts"

/** A transaction of the suite's own, request by request, in protocol version 1. */
export interface RawTransaction {
  readonly transactionalId: string
  readonly producerId: bigint
  readonly epoch: number
  readonly addPartitions: (topic: string, partitions: ReadonlyArray<number>) => Effect.Effect<void, RawError>
  /** Adds the partition where needed and appends; answers with the base offset. */
  readonly produce: (
    topic: string,
    partition: number,
    records: ReadonlyArray<NewRecord>
  ) => Effect.Effect<bigint, RawError>
  /** Adds the group and writes a pending offset, as nobody's member. */
  readonly sendOffset: (
    groupId: string,
    topic: string,
    partition: number,
    offset: bigint
  ) => Effect.Effect<void, RawError>
  /** Commits or aborts, and waits until every partition has its marker. */
  readonly end: (committed: boolean) => Effect.Effect<void, RawError>
}

export interface Routes {
  readonly coordinator: (kind: "group" | "transaction", key: string) => Effect.Effect<RawConnection, RawError>
  /** Appends a batch to a partition's leader; answers with the base offset. */
  readonly append: (
    topic: string,
    partition: number,
    transactionalId: string | null,
    batch: Uint8Array
  ) => Effect.Effect<bigint, RawError>
}

/** Initialises a transactional id, which fences whoever holds it. */
export const makeTransactions =
  ({ append, coordinator }: Routes) =>
  (transactionalId: string, timeoutMs: number): Effect.Effect<RawTransaction, RawError> =>
    Effect.gen(function*() {
      const find = coordinator("transaction", transactionalId)
      const init = yield* patiently(
        busy,
        Effect.gen(function*() {
          const answer = yield* (yield* find).request(Apis.InitProducerId, 4, {
            transactionalId,
            transactionTimeoutMs: timeoutMs,
            producerId: -1n,
            producerEpoch: -1
          })
          yield* check("InitProducerId", answer.errorCode)
          return answer
        })
      )
      const producer = { transactionalId, producerId: init.producerId, producerEpoch: init.producerEpoch }
      const added = new Set<string>()
      const sequences = new Map<string, number>()

      const addPartitions = (topic: string, partitions: ReadonlyArray<number>) =>
        patiently(
          busy,
          Effect.gen(function*() {
            const answer = yield* (yield* find).request(Apis.AddPartitionsToTxn, 3, {
              v3AndBelowTransactionalId: transactionalId,
              v3AndBelowProducerId: init.producerId,
              v3AndBelowProducerEpoch: init.producerEpoch,
              v3AndBelowTopics: [{ name: topic, partitions }]
            })
            for (const { resultsByPartition } of answer.resultsByTopicV3AndBelow) {
              for (const { partitionErrorCode } of resultsByPartition) {
                yield* check(`AddPartitionsToTxn ${topic}`, partitionErrorCode)
              }
            }
            for (const partition of partitions) added.add(`${topic}-${partition}`)
          })
        )

      /** EndTxn is answered when the decision is logged; only then are markers written, partition by partition. */
      const complete = patiently(
        busy,
        Effect.gen(function*() {
          const { transactionStates } = yield* (yield* find).request(Apis.DescribeTransactions, 0, {
            transactionalIds: [transactionalId]
          })
          const state = transactionStates[0]?.transactionState ?? ""
          if (state.startsWith("Prepare")) return yield* refused(`markers of ${transactionalId}`, 51)
        })
      )

      return {
        transactionalId,
        producerId: init.producerId,
        epoch: init.producerEpoch,
        addPartitions,
        produce: (topic, partition, records) =>
          Effect.gen(function*() {
            const name = `${topic}-${partition}`
            if (!added.has(name)) yield* addPartitions(topic, [partition])
            const baseSequence = sequences.get(name) ?? 0
            sequences.set(name, baseSequence + records.length)
            const batch = encodeBatch(records, {
              ...producer,
              baseSequence,
              transactional: true,
              now: BigInt(Date.now())
            })
            return yield* append(topic, partition, transactionalId, batch)
          }),
        sendOffset: (groupId, topic, partition, offset) =>
          Effect.gen(function*() {
            yield* patiently(
              busy,
              Effect.gen(function*() {
                const answer = yield* (yield* find).request(Apis.AddOffsetsToTxn, 3, { ...producer, groupId })
                yield* check("AddOffsetsToTxn", answer.errorCode)
              })
            )
            yield* patiently(
              busy,
              Effect.gen(function*() {
                const group = yield* coordinator("group", groupId)
                const answer = yield* group.request(Apis.TxnOffsetCommit, 3, {
                  ...producer,
                  groupId,
                  topics: [{
                    name: topic,
                    partitions: [{ partitionIndex: partition, committedOffset: offset, committedMetadata: "" }]
                  }]
                })
                yield* check("TxnOffsetCommit", answer.topics[0]?.partitions[0]?.errorCode ?? -1)
              })
            )
          }),
        end: (committed) =>
          patiently(
            busy,
            Effect.gen(function*() {
              const answer = yield* (yield* find).request(Apis.EndTxn, 3, { ...producer, committed })
              yield* check("EndTxn", answer.errorCode)
              added.clear()
            })
          ).pipe(Effect.andThen(complete))
      }
    })
