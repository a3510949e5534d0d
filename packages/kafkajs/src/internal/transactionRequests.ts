/**
 * The requests of a transaction, each as one effect that fails with what its answer means. Those that had no effect are
 * asked again; the others are not.
 */
import * as Effect from "effect/Effect"
import { answered, type Failure, isConcurrentTransactions, isCoordinatorMove } from "./classify.ts"
import type { ApiName } from "./kafkajsInternals.ts"
import { poll } from "./poll.ts"
import { staleLeader } from "./produce.ts"
import { type CoordinatorKind, exchangeOf, type Wire } from "./wire.ts"

export interface Identity {
  readonly producerId: bigint
  readonly epoch: number
}

export interface TopicPartitions {
  readonly topic: string
  readonly partitions: ReadonlyArray<number>
}

/** Of a request's fields those that an ACL may refuse. */
interface Arguments {
  readonly groupId?: string
  readonly transactionalId?: string
  readonly [field: string]: unknown
}

const groupRefused = 30
const transactionalIdRefused = 53

/** A request to a coordinator; after anything but an answer, and after "not here", the coordinator is looked up anew. */
export const askCoordinator = <Decoded>(
  wire: Wire,
  kind: CoordinatorKind,
  key: string,
  api: ApiName,
  args: Arguments,
  failureIn: (decoded: Decoded) => Failure | undefined
): Effect.Effect<Decoded, Failure> =>
  wire.coordinator(kind, key).pipe(
    Effect.flatMap((link) => wire.ask(link, exchangeOf<Decoded>(api, args))),
    Effect.flatMap((decoded) => {
      const failure = failureIn(decoded)
      return failure === undefined ? Effect.succeed(decoded) : Effect.fail(failure)
    }),
    Effect.mapError((failure): Failure => {
      const refused = failure.code === groupRefused
        ? `group "${args.groupId ?? key}"`
        : failure.code === transactionalIdRefused
        ? `transactional.id "${args.transactionalId ?? key}"`
        : undefined
      return refused === undefined ? failure : { ...failure, resource: refused }
    }),
    Effect.tapError((failure) =>
      Effect.sync(() => {
        if (failure.code === undefined || isCoordinatorMove(failure)) wire.forgetCoordinator(kind, key)
      })
    )
  )

const code = (api: string) => ({ errorCode }: { readonly errorCode: number }): Failure | undefined =>
  errorCode === 0 ? undefined : answered(api, errorCode)

/** Of several codes the one that explains the others: 55 says only that a neighbour failed. */
const mostTelling = (failures: ReadonlyArray<Failure>): Failure | undefined =>
  failures.find((failure) => failure.code !== 55) ?? failures[0]

interface InitResponse {
  readonly errorCode: number
  readonly producerId: string
  readonly producerEpoch: number
}

const identityOf = (response: InitResponse): Identity => ({
  producerId: BigInt(response.producerId),
  epoch: response.producerEpoch
})

/** A failure after which the same request may go out again because the first certainly changed nothing. */
const hadNoEffect = (failure: Failure): boolean =>
  isConcurrentTransactions(failure) || isCoordinatorMove(failure) ||
  // nothing was sent: a broker is starting, or its connection has just ended
  (failure.code === undefined && !failure.sent && !isRefusal(failure))

const isRefusal = (failure: Failure): boolean =>
  failure.cause instanceof Error &&
  (failure.cause.name === "KafkaJSSASLAuthenticationError" || failure.cause.message === "the driver is closed")

/**
 * InitProducerId for a transactional.id: takes it over, and waits until the transaction that stands under it has ended.
 */
export const initTransactional = (
  wire: Wire,
  transactionalId: string,
  transactionTimeout: number,
  budget: number
): Effect.Effect<Identity, Failure> =>
  poll(
    askCoordinator<InitResponse>(
      wire,
      "transaction",
      transactionalId,
      "InitProducerId",
      { transactionalId, transactionTimeout },
      code("InitProducerId")
    ),
    { budget, again: hadNoEffect }
  ).pipe(Effect.map(identityOf))

/** InitProducerId without a transactional.id: any broker hands out a new producer id. */
export const initIdempotent = (wire: Wire, budget: number): Effect.Effect<Identity, Failure> =>
  poll(
    wire.any.pipe(
      Effect.flatMap((link) =>
        wire.ask(
          link,
          exchangeOf<InitResponse>("InitProducerId", { transactionalId: null, transactionTimeout: 60_000 })
        )
      ),
      Effect.flatMap((response) =>
        response.errorCode === 0
          ? Effect.succeed(identityOf(response))
          : Effect.fail(answered("InitProducerId", response.errorCode))
      )
    ),
    // an id that was handed out and not heard of is simply never used
    { budget, again: (failure) => hadNoEffect(failure) || failure.code === undefined }
  )

export interface Transaction {
  readonly wire: Wire
  readonly transactionalId: string
  readonly identity: Identity
  /** Milliseconds for answers that say "not yet". */
  readonly budget: number
}

const identified = ({ identity, transactionalId }: Transaction) => ({
  transactionalId,
  producerId: identity.producerId,
  producerEpoch: identity.epoch
})

interface AddPartitionsResponse {
  readonly errors: ReadonlyArray<{
    readonly topic: string
    readonly partitionErrors: ReadonlyArray<{ readonly partition: number; readonly errorCode: number }>
  }>
}

export const addPartitions = (
  transaction: Transaction,
  topics: ReadonlyArray<TopicPartitions>
): Effect.Effect<void, Failure> =>
  poll(
    askCoordinator<AddPartitionsResponse>(
      transaction.wire,
      "transaction",
      transaction.transactionalId,
      "AddPartitionsToTxn",
      { ...identified(transaction), topics },
      ({ errors }) =>
        mostTelling(errors.flatMap(({ partitionErrors, topic }) =>
          partitionErrors.filter(({ errorCode }) => errorCode !== 0)
            .map(({ errorCode, partition }) =>
              answered("AddPartitionsToTxn", staleLeader(errorCode), { topic, partition })
            )
        ))
    ),
    { budget: transaction.budget, again: hadNoEffect }
  ).pipe(Effect.asVoid)

export const addOffsets = (transaction: Transaction, groupId: string): Effect.Effect<void, Failure> =>
  poll(
    askCoordinator<{ readonly errorCode: number }>(
      transaction.wire,
      "transaction",
      transaction.transactionalId,
      "AddOffsetsToTxn",
      { ...identified(transaction), groupId },
      code("AddOffsetsToTxn")
    ),
    { budget: transaction.budget, again: hadNoEffect }
  ).pipe(Effect.asVoid)

interface OffsetCommitResponse {
  readonly topics: ReadonlyArray<{
    readonly topic: string
    readonly partitions: ReadonlyArray<{ readonly partition: number; readonly errorCode: number }>
  }>
}

export interface OffsetToCommit {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly metadata: string
}

/** TxnOffsetCommit. An unanswered one is never sent again: the later log position would win. */
export const commitOffsets = (
  transaction: Transaction,
  groupId: string,
  offsets: ReadonlyArray<OffsetToCommit>
): Effect.Effect<void, Failure> => {
  const topics = [...Map.groupBy(offsets, ({ topic }) => topic)].map(([topic, partitions]) => ({ topic, partitions }))
  return poll(
    askCoordinator<OffsetCommitResponse>(
      transaction.wire,
      "group",
      groupId,
      "TxnOffsetCommit",
      { ...identified(transaction), groupId, topics },
      (response) => {
        for (const { partition, topic } of offsets) {
          const answer = response.topics.find((candidate) => candidate.topic === topic)?.partitions
            .find((candidate) => candidate.partition === partition)
          if (answer === undefined) return answered("TxnOffsetCommit", -1, { topic, partition })
          if (answer.errorCode !== 0) return answered("TxnOffsetCommit", answer.errorCode, { topic, partition })
        }
        return undefined
      }
    ),
    { budget: transaction.budget, again: hadNoEffect }
  ).pipe(Effect.asVoid)
}

export interface Ended {
  /** EndTxn went out more than once because a coordinator that moved may have taken the first one (R23). */
  readonly repeated: boolean
}

/** EndTxn. Repeated, as the protocol allows for one transaction, only on an answer that the coordinator is elsewhere. */
export const endTransaction = (transaction: Transaction, commit: boolean): Effect.Effect<Ended, Failure> =>
  Effect.suspend(() => {
    let repeated = false
    return poll(
      askCoordinator<{ readonly errorCode: number }>(
        transaction.wire,
        "transaction",
        transaction.transactionalId,
        "EndTxn",
        { ...identified(transaction), transactionResult: commit },
        code("EndTxn")
      ),
      {
        budget: transaction.budget,
        again: (failure) => {
          // 15 and 16 also answer a log append whose fate the coordinator did not see
          if (failure.api === "EndTxn" && isCoordinatorMove(failure)) repeated = true
          return hadNoEffect(failure)
        }
      }
    ).pipe(
      Effect.mapError((failure): Failure =>
        // once a copy may have been taken, "not now" and "not sent" no longer mean that nothing happened
        repeated && (failure.code === undefined || isCoordinatorMove(failure))
          ? { ...failure, code: undefined, sent: true, cause: failure.cause ?? new Error("its coordinator moved") }
          : failure
      ),
      Effect.map(() => ({ repeated }))
    )
  })
