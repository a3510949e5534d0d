/**
 * The requests of a transaction, each as one effect that fails with what its answer means. Those that had no effect are
 * asked again, and those that the protocol makes idempotent; the others are not.
 */
import type { Driver } from "@exactly-once/core"
import { Apis } from "@exactly-once/protocol"
import * as Effect from "effect/Effect"
import type { Cluster } from "../network/Cluster.ts"
import { answered, type Failure, hadNoEffect, isCoordinatorMove, unanswered } from "../network/failure.ts"
import { retry } from "../network/retry.ts"

export interface Identity {
  readonly producerId: bigint
  readonly epoch: number
}

/** Who asks: one transactional.id under one epoch, in a version of the protocol. */
export interface Requester {
  readonly cluster: Cluster
  readonly pool: string
  readonly transactionalId: string
  readonly identity: Identity
  /** Transactions of KIP-890: partitions and groups are added implicitly, every end bumps the epoch. */
  readonly v2: boolean
  /** Milliseconds for answers that say "not yet". */
  readonly budget: number
}

const code = (api: string) => ({ errorCode }: { readonly errorCode: number }): Failure | undefined =>
  errorCode === 0 ? undefined : answered(api, errorCode)

const identified = ({ identity, transactionalId }: Requester) => ({
  transactionalId,
  producerId: identity.producerId,
  producerEpoch: identity.epoch
})

/**
 * InitProducerId for a transactional.id: waits until the transaction that stands under it has ended. With `own` it keeps
 * the producer id and raises the epoch, and fails when a newer owner has raised it already (KIP-360); the same `own` again
 * answers alike.
 */
export const initTransactional = (
  { cluster, pool, transactionalId }: Pick<Requester, "cluster" | "pool" | "transactionalId">,
  own: Identity | undefined,
  transactionTimeoutMs: number,
  budget: number
): Effect.Effect<Identity, Failure> =>
  retry(
    cluster.askCoordinator({
      pool,
      kind: "transaction",
      key: transactionalId,
      api: Apis.InitProducerId,
      body: {
        transactionalId,
        transactionTimeoutMs,
        producerId: own?.producerId ?? -1n,
        producerEpoch: own?.epoch ?? -1
      },
      failureIn: code("InitProducerId")
    }),
    budget,
    hadNoEffect
  ).pipe(Effect.map(({ producerEpoch, producerId }) => ({ producerId, epoch: producerEpoch })))

/** The states in which a coordinator still writes a transaction's markers. */
const ending = new Set(["PrepareAbort", "PrepareCommit", "PrepareEpochFence"])

/**
 * The identity under which the coordinator itself ended our transaction when its time was over: one epoch on, and nobody
 * has had the id since. `undefined` when the id has gone further, to a newer owner.
 *
 * With transactions of version 1 the coordinator answers its own time-out and a newer owner alike. It raises the epoch by
 * one when it ends an open transaction, and a newer owner's init raises it once more. An init that is under way at this
 * moment still wins: it carries no epoch, and is asked again until it has its way.
 */
export const timedOutIdentity = (
  { cluster, pool, transactionalId }: Pick<Requester, "cluster" | "pool" | "transactionalId">,
  own: Identity,
  budget: number
): Effect.Effect<Identity | undefined, Failure> =>
  retry(
    cluster.askCoordinator({
      pool,
      kind: "transaction",
      key: transactionalId,
      api: Apis.DescribeTransactions,
      body: { transactionalIds: [transactionalId] },
      failureIn: ({ transactionStates: [state] }) =>
        state === undefined
          ? answered("DescribeTransactions", -1)
          : state.errorCode !== 0
          ? answered("DescribeTransactions", state.errorCode)
          // Asked again like any transaction that is still being ended.
          : ending.has(state.transactionState)
          ? answered("DescribeTransactions", 51)
          : undefined
    }),
    budget,
    hadNoEffect
  ).pipe(
    Effect.map(({ transactionStates: [state] }) =>
      state !== undefined && state.transactionState === "CompleteAbort" && state.producerId === own.producerId &&
        state.producerEpoch === own.epoch + 1
        ? { producerId: own.producerId, epoch: own.epoch + 1 }
        : undefined
    )
  )

/** InitProducerId without a transactional.id: any broker hands out a new producer id. */
export const initIdempotent = (cluster: Cluster, pool: string, budget: number): Effect.Effect<Identity, Failure> =>
  retry(
    cluster.any(pool).pipe(
      Effect.flatMap((to) => cluster.ask(to, Apis.InitProducerId, { transactionalId: null, transactionTimeoutMs: 0 })),
      Effect.flatMap(({ errorCode, producerEpoch, producerId }) =>
        errorCode === 0
          ? Effect.succeed({ producerId, epoch: producerEpoch })
          : Effect.fail(answered("InitProducerId", errorCode))
      )
    ),
    budget,
    // An id that was handed out and not heard of is simply never used.
    (failure) => hadNoEffect(failure) || (failure.code === undefined && failure.sent)
  )

/** Of several codes the one that explains the others: 55 says only that a neighbour failed. */
const mostTelling = (failures: ReadonlyArray<Failure>): Failure | undefined =>
  failures.find((failure) => failure.code !== 55) ?? failures[0]

/** AddPartitionsToTxn, which transactions of version 1 need before the first Produce to a partition. */
export const addPartitions = (
  requester: Requester,
  partitions: ReadonlyArray<{ readonly topic: string; readonly index: number }>
): Effect.Effect<void, Failure> =>
  retry(
    requester.cluster.askCoordinator({
      pool: requester.pool,
      kind: "transaction",
      key: requester.transactionalId,
      api: Apis.AddPartitionsToTxn,
      body: {
        v3AndBelowTransactionalId: requester.transactionalId,
        v3AndBelowProducerId: requester.identity.producerId,
        v3AndBelowProducerEpoch: requester.identity.epoch,
        v3AndBelowTopics: Array.from(
          Map.groupBy(partitions, ({ topic }) => topic),
          ([name, group]) => ({ name, partitions: group.map(({ index }) => index) })
        )
      },
      failureIn: ({ resultsByTopicV3AndBelow }) =>
        mostTelling(resultsByTopicV3AndBelow.flatMap(({ name, resultsByPartition }) =>
          resultsByPartition.filter(({ partitionErrorCode }) => partitionErrorCode !== 0).map((
            { partitionErrorCode, partitionIndex }
          ) => answered("AddPartitionsToTxn", partitionErrorCode, { topic: name, partition: partitionIndex }))
        ))
    }),
    requester.budget,
    // Adding a partition twice adds it once, and a copy that comes late meets a transaction that has it.
    (failure) =>
      hadNoEffect(failure)
  ).pipe(Effect.asVoid)

/** AddOffsetsToTxn, which transactions of version 1 need before TxnOffsetCommit. */
export const addOffsets = (requester: Requester, groupId: string): Effect.Effect<void, Failure> =>
  retry(
    requester.cluster.askCoordinator({
      pool: requester.pool,
      kind: "transaction",
      key: requester.transactionalId,
      api: Apis.AddOffsetsToTxn,
      body: { ...identified(requester), groupId },
      failureIn: code("AddOffsetsToTxn")
    }),
    requester.budget,
    hadNoEffect
  ).pipe(Effect.asVoid)

/**
 * TxnOffsetCommit, with the member and generation that the records were delivered under (KIP-447). An unanswered one is
 * never sent again: the offset with the higher log position wins, and a late copy would have it.
 */
export const commitOffsets = (
  requester: Requester,
  { delivery, groupId, offsets }: Driver.TransactionOffsets
): Effect.Effect<void, Failure> =>
  retry(
    requester.cluster.askCoordinator({
      pool: requester.pool,
      kind: "group",
      key: groupId,
      api: Apis.TxnOffsetCommit,
      maxVersion: requester.v2 ? 5 : 4,
      body: {
        ...identified(requester),
        groupId,
        generationId: delivery?.generation ?? -1,
        memberId: delivery?.memberId ?? "",
        groupInstanceId: delivery?.groupInstanceId ?? null,
        topics: Array.from(Map.groupBy(offsets, ({ topic }) => topic), ([name, group]) => ({
          name,
          partitions: group.map(({ metadata, offset, partition }) => ({
            partitionIndex: partition,
            committedOffset: offset,
            committedMetadata: metadata
          }))
        }))
      },
      failureIn: ({ topics }) => {
        for (const { partition, topic } of offsets) {
          const answer = topics.find(({ name }) => name === topic)?.partitions
            .find(({ partitionIndex }) => partitionIndex === partition)
          if (answer === undefined) {
            return unanswered("TxnOffsetCommit", true, new Error(`the answer does not name ${topic}-${partition}`))
          }
          if (answer.errorCode !== 0) return answered("TxnOffsetCommit", answer.errorCode, { topic, partition })
        }
        return undefined
      }
    }),
    requester.budget,
    hadNoEffect
  ).pipe(Effect.asVoid)

export interface Ended {
  /** The identity for the next transaction: with version 2 every end raises the epoch. */
  readonly identity: Identity
  /** EndTxn went out more than once, so that a copy may still be on its way (R23). */
  readonly repeated: boolean
}

/**
 * EndTxn, repeated while its outcome is open: the coordinator answers the same request again with 0 when it was carried
 * out, 48 when the transaction ended the other way. What is still open after `budget` is an unknown outcome, and so is a
 * fence that answers a repeat: the first copy may have been carried out before the fence.
 */
export const endTransaction = (
  requester: Requester,
  commit: boolean,
  budget: number
): Effect.Effect<Ended, Failure> =>
  Effect.suspend(() => {
    let repeated = false
    const { identity, v2 } = requester
    return retry(
      requester.cluster.askCoordinator({
        pool: requester.pool,
        kind: "transaction",
        key: requester.transactionalId,
        api: Apis.EndTxn,
        maxVersion: v2 ? 5 : 4,
        body: { ...identified(requester), committed: commit },
        failureIn: code("EndTxn")
      }),
      budget,
      (failure) => {
        // 15 and 16 also answer a log append whose fate the coordinator did not see.
        const open = failure.api === "EndTxn" &&
          (failure.code === undefined ? failure.sent : isCoordinatorMove(failure))
        if (open) repeated = true
        return open || hadNoEffect(failure)
      }
    ).pipe(
      Effect.mapError((failure): Failure => {
        const settled = failure.code === 48 || (failure.code !== undefined && !repeated && !isCoordinatorMove(failure))
        return settled || !repeated
          ? failure
          : { ...failure, api: "EndTxn", code: undefined, sent: true, cause: failure.cause ?? failure }
      }),
      Effect.map(({ producerEpoch, producerId }) => ({
        identity: v2 && producerId >= 0n ? { producerId, epoch: producerEpoch } : identity,
        repeated
      }))
    )
  })
