/**
 * The suite's own client of a whole cluster: it finds leaders and coordinators, and does what tests need and a careful
 * driver would not: leaves transactions open, plays zombies, reads aborted data. It retries nothing but what a
 * coordinator answers while it is busy or loading.
 */
import { Apis } from "@exactly-once/protocol"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { busy, check, moving, patiently, refused } from "./internal/asking.ts"
import { makeTransactions, type RawTransaction } from "./internal/probeTransaction.ts"
import {
  type Aborted,
  committedOnly,
  decodeBatches,
  encodeBatch,
  type NewRecord,
  type RawBatch
} from "./internal/records.ts"
import { connect, type RawConnection, RawError } from "./RawConnection.ts"

export type { Aborted, NewRecord, RawBatch, RawRecord } from "./internal/records.ts"

/** One fetch of one partition. */
export interface Fetched {
  /** Whole batches, aborted data and control batches included. */
  readonly batches: ReadonlyArray<RawBatch>
  /** The data among them that a read_committed consumer may see, by the suite's own filter. */
  readonly committed: ReadonlyArray<RawBatch>
  readonly aborted: ReadonlyArray<Aborted>
  readonly highWatermark: bigint
  readonly lastStableOffset: bigint
  /** Where the next fetch continues; the fetch's own offset when nothing came. */
  readonly nextOffset: bigint
}

export type { RawTransaction }

export interface TransactionListing {
  readonly transactionalId: string
  readonly producerId: bigint
  readonly transactionState: string
}

/** A committed offset of a group. `-1n`: none. */
export interface GroupOffset {
  readonly offset: bigint
  readonly metadata: string | null
  readonly code: number
}

export interface Probe {
  readonly createTopic: (
    name: string,
    partitions: number,
    configs?: Readonly<Record<string, string>>
  ) => Effect.Effect<void, RawError>
  readonly deleteTopic: (name: string) => Effect.Effect<void, RawError>
  readonly partitions: (topic: string) => Effect.Effect<number, RawError>
  /** Appends without a producer id; answers with the base offset. */
  readonly produce: (
    topic: string,
    partition: number,
    records: ReadonlyArray<NewRecord>
  ) => Effect.Effect<bigint, RawError>
  readonly fetch: (
    topic: string,
    partition: number,
    offset: bigint,
    options?: {
      readonly isolation?: "read_committed" | "read_uncommitted"
      readonly maxWaitMs?: number
      readonly maxBytes?: number
    }
  ) => Effect.Effect<Fetched, RawError>
  readonly offset: (
    topic: string,
    partition: number,
    at: "earliest" | "lastStable" | "end"
  ) => Effect.Effect<bigint, RawError>
  readonly committed: (
    groupId: string,
    topic: string,
    partition: number,
    options?: { readonly stable?: boolean }
  ) => Effect.Effect<GroupOffset, RawError>
  /** Initialises a transactional id from outside, which fences whoever holds it. */
  readonly transaction: (transactionalId: string, timeoutMs: number) => Effect.Effect<RawTransaction, RawError>
  /** Transactions in these states, all of them when none is given. */
  readonly transactions: (states?: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<TransactionListing>, RawError>
  /** The start of the oldest open transaction on the partition by producer id. */
  readonly openTransactions: (
    topic: string,
    partition: number
  ) => Effect.Effect<ReadonlyArray<{ readonly producerId: bigint; readonly startOffset: bigint }>, RawError>
  /** Members of a classic group by id, with the partitions of `topic` each has. */
  readonly members: (groupId: string) => Effect.Effect<
    {
      readonly state: string
      readonly members: ReadonlyArray<{ readonly memberId: string; readonly clientId: string }>
    },
    RawError
  >
  /** A connection of one's own to a broker, for requests that no method here sends. */
  readonly coordinator: (kind: "group" | "transaction", key: string) => Effect.Effect<RawConnection, RawError>
}

/** A probe of the cluster behind `bootstrap` (`host:port`); its connections close with the scope. */
export const make = (
  bootstrap: ReadonlyArray<string>,
  clientId = "testkit"
): Effect.Effect<Probe, RawError, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const connections = new Map<string, RawConnection>()

    const to = (address: string): Effect.Effect<RawConnection, RawError> =>
      Effect.suspend(() => {
        const open = connections.get(address)
        if (open?.isOpen() === true) return Effect.succeed(open)
        return connect(address, clientId).pipe(
          Effect.provideService(Scope.Scope, scope),
          Effect.tap((connection) => Effect.sync(() => connections.set(address, connection)))
        )
      })
    const anyBroker = bootstrap.slice(1).reduce(
      (first, address) => Effect.catch(first, () => to(address)),
      to(bootstrap[0] ?? "")
    )

    const metadata = (topics: ReadonlyArray<string>) =>
      Effect.flatMap(anyBroker, (broker) =>
        broker.request(Apis.Metadata, 12, {
          topics: topics.map((name) => ({ name })),
          allowAutoTopicCreation: false
        }))

    const leader = (topic: string, partition: number): Effect.Effect<RawConnection, RawError> =>
      patiently(
        moving,
        Effect.gen(function*() {
          const { brokers, topics } = yield* metadata([topic])
          yield* check(`Metadata ${topic}`, topics[0]?.errorCode ?? 3)
          const found = topics[0]?.partitions.find(({ partitionIndex }) => partitionIndex === partition)
          yield* check(`Metadata ${topic}-${partition}`, found?.errorCode ?? 3)
          const node = brokers.find(({ nodeId }) => nodeId === found?.leaderId)
          if (node === undefined) return yield* refused(`leader of ${topic}-${partition}`, 5)
          return yield* to(`${node.host}:${node.port}`)
        })
      )

    const coordinator = (kind: "group" | "transaction", key: string): Effect.Effect<RawConnection, RawError> =>
      patiently(
        busy,
        Effect.gen(function*() {
          const { coordinators } = yield* (yield* anyBroker).request(Apis.FindCoordinator, 4, {
            keyType: kind === "group" ? 0 : 1,
            coordinatorKeys: [key]
          })
          const found = coordinators[0]
          yield* check(`FindCoordinator ${key}`, found?.errorCode ?? 15)
          return yield* to(`${found?.host}:${found?.port}`)
        })
      )

    const controller = Effect.flatMap(metadata([]), ({ brokers, controllerId }) => {
      const node = brokers.find(({ nodeId }) => nodeId === controllerId) ?? brokers[0]
      return node === undefined ? Effect.fail(refused("controller", 41)) : to(`${node.host}:${node.port}`)
    })

    const append = (topic: string, partition: number, transactionalId: string | null, records: Uint8Array) =>
      patiently(
        new Set([...busy, ...moving]),
        Effect.gen(function*() {
          const broker = yield* leader(topic, partition)
          const { responses } = yield* broker.request(Apis.Produce, 9, {
            transactionalId,
            acks: -1,
            timeoutMs: 10_000,
            topicData: [{ name: topic, partitionData: [{ index: partition, records }] }]
          })
          const answer = responses[0]?.partitionResponses[0]
          yield* check(`Produce ${topic}-${partition}`, answer?.errorCode ?? -1)
          return answer?.baseOffset ?? -1n
        })
      )

    const now = Effect.sync(() => BigInt(Date.now()))

    const transaction = makeTransactions({ coordinator, append })

    const probe: Probe = {
      createTopic: (name, partitions, configs = {}) =>
        Effect.gen(function*() {
          const answer = yield* (yield* controller).request(Apis.CreateTopics, 7, {
            topics: [{
              name,
              numPartitions: partitions,
              replicationFactor: -1,
              assignments: [],
              configs: Object.entries(configs).map(([name, value]) => ({ name, value }))
            }],
            timeoutMs: 10_000
          })
          yield* check(`CreateTopics ${name}`, answer.topics[0]?.errorCode ?? -1)
          for (let partition = 0; partition < partitions; partition++) yield* leader(name, partition)
        }),
      deleteTopic: (name) =>
        Effect.gen(function*() {
          const answer = yield* (yield* controller).request(Apis.DeleteTopics, 5, {
            topicNames: [name],
            timeoutMs: 10_000
          })
          yield* check(`DeleteTopics ${name}`, answer.responses[0]?.errorCode ?? -1)
        }),
      partitions: (topic) =>
        Effect.gen(function*() {
          const { topics } = yield* metadata([topic])
          yield* check(`Metadata ${topic}`, topics[0]?.errorCode ?? 3)
          return topics[0]?.partitions.length ?? 0
        }),
      produce: (topic, partition, records) =>
        Effect.flatMap(now, (at) => append(topic, partition, null, encodeBatch(records, { now: at }))),
      fetch: (topic, partition, offset, options = {}) =>
        Effect.gen(function*() {
          const broker = yield* leader(topic, partition)
          const { responses } = yield* broker.request(Apis.Fetch, 12, {
            maxWaitMs: options.maxWaitMs ?? 0,
            minBytes: 1,
            maxBytes: options.maxBytes ?? 4_194_304,
            isolationLevel: options.isolation === "read_uncommitted" ? 0 : 1,
            topics: [{
              topic,
              partitions: [{ partition, fetchOffset: offset, partitionMaxBytes: options.maxBytes ?? 4_194_304 }]
            }]
          })
          const answer = responses[0]?.partitions[0]
          if (answer === undefined) return yield* refused(`Fetch ${topic}-${partition}`, -1)
          yield* check(`Fetch ${topic}-${partition}`, answer.errorCode)
          const records = answer.records ?? new Uint8Array(0)
          const batches = yield* Effect.try({
            try: () => decodeBatches(records),
            catch: (cause) => new RawError({ operation: `Fetch ${topic}-${partition}`, description: String(cause) })
          })
          const aborted = answer.abortedTransactions ?? []
          return {
            batches,
            committed: committedOnly(batches, aborted),
            aborted,
            highWatermark: answer.highWatermark,
            lastStableOffset: answer.lastStableOffset,
            nextOffset: (batches.at(-1)?.lastOffset ?? offset - 1n) + 1n
          }
        }),
      offset: (topic, partition, at) =>
        Effect.gen(function*() {
          const broker = yield* leader(topic, partition)
          const { topics } = yield* broker.request(Apis.ListOffsets, 7, {
            replicaId: -1,
            isolationLevel: at === "lastStable" ? 1 : 0,
            topics: [{
              name: topic,
              partitions: [{ partitionIndex: partition, timestamp: at === "earliest" ? -2n : -1n }]
            }]
          })
          const answer = topics[0]?.partitions[0]
          yield* check(`ListOffsets ${topic}-${partition}`, answer?.errorCode ?? -1)
          return answer?.offset ?? -1n
        }),
      committed: (groupId, topic, partition, options = {}) =>
        Effect.gen(function*() {
          const answer = yield* patiently(
            busy,
            Effect.gen(function*() {
              const group = yield* coordinator("group", groupId)
              const answer = yield* group.request(Apis.OffsetFetch, 7, {
                groupId,
                topics: [{ name: topic, partitionIndexes: [partition] }],
                requireStable: options.stable ?? false
              })
              yield* check(`OffsetFetch ${groupId}`, answer.errorCode)
              return answer.topics[0]?.partitions[0]
            })
          )
          return {
            offset: answer?.committedOffset ?? -1n,
            metadata: answer?.metadata ?? null,
            code: answer?.errorCode ?? 0
          }
        }),
      transaction,
      transactions: (states = []) =>
        Effect.gen(function*() {
          const { brokers } = yield* metadata([])
          const all: Array<TransactionListing> = []
          for (const { host, port } of brokers) {
            const broker = yield* to(`${host}:${port}`)
            const answer = yield* broker.request(Apis.ListTransactions, 0, {
              stateFilters: states,
              producerIdFilters: []
            })
            yield* check("ListTransactions", answer.errorCode)
            all.push(...answer.transactionStates)
          }
          return all
        }),
      openTransactions: (topic, partition) =>
        Effect.gen(function*() {
          const broker = yield* leader(topic, partition)
          const { topics } = yield* broker.request(Apis.DescribeProducers, 0, {
            topics: [{ name: topic, partitionIndexes: [partition] }]
          })
          const answer = topics[0]?.partitions[0]
          yield* check(`DescribeProducers ${topic}-${partition}`, answer?.errorCode ?? -1)
          return (answer?.activeProducers ?? [])
            .filter(({ currentTxnStartOffset }) => currentTxnStartOffset >= 0n)
            .map(({ currentTxnStartOffset, producerId }) => ({ producerId, startOffset: currentTxnStartOffset }))
        }),
      members: (groupId) =>
        Effect.gen(function*() {
          const group = yield* coordinator("group", groupId)
          const { groups } = yield* group.request(Apis.DescribeGroups, 5, { groups: [groupId] })
          return {
            state: groups[0]?.groupState ?? "",
            members: (groups[0]?.members ?? []).map(({ clientId, memberId }) => ({ clientId, memberId }))
          }
        }),
      coordinator
    }
    yield* metadata([])
    return probe
  })
