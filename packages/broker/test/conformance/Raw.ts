/** The requests of a transactional client, each in the version the case picks; answers are reduced to codes and states. */
import { Apis, ControlRecord, type FetchResponse, ReadCommitted, RecordBatch } from "@exactly-once/protocol"
import type { RawClient } from "../support/RawClient.ts"
import { type Batch, batchOf, type Producer, type Sent } from "./Batch.ts"
import type { Answer } from "./suite.ts"

export interface Commit {
  readonly group: string
  readonly topic: string
  readonly partition?: number
  readonly offset: number
  readonly member?: string
  readonly generation?: number
  readonly instance?: string | null
  readonly metadata?: string | null
  readonly leaderEpoch?: number
}

export class Raw {
  readonly client: RawClient
  /** Coordinators' epochs are counted from here: a Kafka that was once slow to heartbeat is not at 0. */
  readonly firstCoordinatorEpoch: number

  constructor(client: RawClient, firstCoordinatorEpoch: number) {
    this.client = client
    this.firstCoordinatorEpoch = firstCoordinatorEpoch
  }

  close(): Promise<void> {
    return this.client.close()
  }

  async findCoordinators(id: string, group: string): Promise<void> {
    for (const [keyType, key] of [[1, id], [0, group]] as const) {
      let code = 15
      while (code === 14 || code === 15) {
        const answer = await this.client.call(Apis.FindCoordinator, 4, { keyType, coordinatorKeys: [key] })
        code = answer.coordinators[0]!.errorCode
      }
    }
  }

  async createTopic(name: string, numPartitions = 1, config: Readonly<Record<string, string>> = {}): Promise<number> {
    const answer = await this.client.call(Apis.CreateTopics, 7, {
      topics: [{
        name,
        numPartitions,
        replicationFactor: 1,
        assignments: [],
        configs: Object.entries(config).map(([name, value]) => ({ name, value }))
      }],
      timeoutMs: 10_000,
      validateOnly: false
    })
    return answer.topics[0]!.errorCode
  }

  async deleteTopics(topicNames: ReadonlyArray<string>): Promise<ReadonlyArray<number>> {
    const answer = await this.client.call(Apis.DeleteTopics, 5, { topicNames, timeoutMs: 10_000 })
    return answer.responses.map(({ errorCode }) => errorCode)
  }

  async deleteTopic(name: string): Promise<number> {
    return (await this.deleteTopics([name]))[0]!
  }

  /** Settings of a group, as Kafka has them. */
  async setGroup(name: string, settings: Readonly<Record<string, string>>): Promise<void> {
    const configs = Object.entries(settings).map(([name, value]) => ({ name, configOperation: 0, value }))
    const answer = await this.client.call(Apis.IncrementalAlterConfigs, 1, {
      resources: [{ resourceType: 32, resourceName: name, configs }],
      validateOnly: false
    })
    const { errorCode, errorMessage } = answer.responses[0]!
    if (errorCode !== 0) throw new Error(`settings of ${name}: ${errorCode} ${errorMessage}`)
  }

  /** Error and new start of the log. */
  async deleteRecords(name: string, offset: number, partitionIndex = 0): Promise<ReadonlyArray<number>> {
    const answer = await this.client.call(Apis.DeleteRecords, 2, {
      topics: [{ name, partitions: [{ partitionIndex, offset: BigInt(offset) }] }],
      timeoutMs: 5_000
    })
    const found = answer.topics[0]!.partitions[0]!
    return [found.errorCode, Number(found.lowWatermark)]
  }

  /** Error of a topic, then of its partitions. */
  async topicErrors(name: string): Promise<ReadonlyArray<number>> {
    const body = { topics: [{ name }], allowAutoTopicCreation: false }
    const [topic] = (await this.client.call(Apis.Metadata, 12, body)).topics
    return [topic!.errorCode, ...topic!.partitions.map(({ errorCode }) => errorCode)]
  }

  /** Errors of the partitions' leaders when they are asked for the start of their logs. */
  async startErrors(name: string): Promise<ReadonlyArray<number>> {
    const body = { topics: [{ name }], allowAutoTopicCreation: false }
    const known = (await this.client.call(Apis.Metadata, 12, body)).topics[0]!.partitions
    const answer = await this.client.call(Apis.ListOffsets, 7, {
      replicaId: -1,
      topics: [{ name, partitions: known.map(({ partitionIndex }) => ({ partitionIndex, timestamp: -2n })) }]
    })
    return answer.topics[0]!.partitions.map(({ errorCode }) => errorCode)
  }

  async topicId(name: string): Promise<string> {
    const body = { topics: [{ name }], allowAutoTopicCreation: false }
    return (await this.client.call(Apis.Metadata, 12, body)).topics[0]!.topicId
  }

  async init(
    id: string | null,
    options: { readonly version?: number; readonly pid?: Producer; readonly timeoutMs?: number } = {}
  ): Promise<Producer & { readonly error: number }> {
    const { pid, timeoutMs = 60_000, version = 5 } = options
    const answer = await this.client.call(Apis.InitProducerId, version, {
      transactionalId: id,
      transactionTimeoutMs: timeoutMs,
      ...(pid === undefined ? {} : { producerId: pid.producerId, producerEpoch: pid.epoch })
    })
    return { id, producerId: answer.producerId, epoch: answer.producerEpoch, error: answer.errorCode }
  }

  async add(
    { epoch: producerEpoch, id, producerId }: Producer,
    topics: Readonly<Record<string, ReadonlyArray<number>>>,
    version = 3,
    verifyOnly = false
  ): Promise<ReadonlyArray<number>> {
    const listed = Object.entries(topics).map(([name, partitions]) => ({ name, partitions }))
    const transactionalId = id ?? ""
    const answer = await this.client.call(
      Apis.AddPartitionsToTxn,
      version,
      version >= 4
        ? { transactions: [{ transactionalId, producerId, producerEpoch, verifyOnly, topics: listed }] }
        : {
          v3AndBelowTransactionalId: transactionalId,
          v3AndBelowProducerId: producerId,
          v3AndBelowProducerEpoch: producerEpoch,
          v3AndBelowTopics: listed
        }
    )
    if (answer.errorCode !== 0) return [answer.errorCode]
    const results = version >= 4 ? answer.resultsByTransaction[0]!.topicResults : answer.resultsByTopicV3AndBelow
    // Kafka answers in any order.
    const codes = new Map(
      results.flatMap(({ name, resultsByPartition }) =>
        resultsByPartition.map((
          { partitionErrorCode, partitionIndex }
        ) => [`${name}-${partitionIndex}`, partitionErrorCode])
      )
    )
    return Object.entries(topics).flatMap(([name, partitions]) =>
      partitions.map((partition) => codes.get(`${name}-${partition}`) ?? -2)
    )
  }

  async addOffsets({ epoch: producerEpoch, id, producerId }: Producer, groupId: string, version = 3): Promise<number> {
    const body = { transactionalId: id ?? "", producerId, producerEpoch, groupId }
    return (await this.client.call(Apis.AddOffsetsToTxn, version, body)).errorCode
  }

  async txnCommit(producer: Producer, commit: Commit, version = 3): Promise<number> {
    const answer = await this.client.call(Apis.TxnOffsetCommit, version, {
      transactionalId: producer.id ?? "",
      groupId: commit.group,
      producerId: producer.producerId,
      producerEpoch: producer.epoch,
      ...(version < 3 ? {} : {
        generationId: commit.generation ?? -1,
        memberId: commit.member ?? "",
        groupInstanceId: commit.instance ?? null
      }),
      topics: [{
        name: commit.topic,
        partitions: [{
          partitionIndex: commit.partition ?? 0,
          committedOffset: BigInt(commit.offset),
          committedMetadata: commit.metadata === undefined ? "" : commit.metadata,
          ...(commit.leaderEpoch === undefined ? {} : { committedLeaderEpoch: commit.leaderEpoch })
        }]
      }]
    })
    return answer.topics[0]!.partitions[0]!.errorCode
  }

  async end(
    { epoch: producerEpoch, id, producerId }: Producer,
    committed: boolean,
    version = 4
  ): Promise<{ readonly error: number; readonly epoch: number; readonly producerId: bigint }> {
    const body = { transactionalId: id ?? "", producerId, producerEpoch, committed }
    const answer = await this.client.call(Apis.EndTxn, version, body)
    return { error: answer.errorCode, epoch: answer.producerEpoch, producerId: answer.producerId }
  }

  /** Sends a batch of `producer`, in its transaction when it has an id. */
  send(producer: Producer, batch: Batch, version = 11): Promise<Sent> {
    const as = batch.as === undefined ? producer.id : batch.as
    return this.sendBytes(batchOf(producer, batch), { ...batch, as }, version)
  }

  async sendBytes(records: Uint8Array | null, target: Omit<Batch, "values">, version = 11): Promise<Sent> {
    const { acks = -1, as = null, partition = 0, topic } = target
    const answer = await this.client.call(Apis.Produce, version, {
      transactionalId: as,
      acks,
      timeoutMs: 5_000,
      topicData: [{
        ...(version >= 13 ? { topicId: await this.topicId(topic) } : { name: topic }),
        partitionData: [{ index: partition, records }]
      }]
    })
    const { baseOffset, errorCode } = answer.responses[0]!.partitionResponses[0]!
    return errorCode === 0 ? { offset: Number(baseOffset) } : { error: errorCode }
  }

  async fetch(options: {
    readonly topic: string
    readonly partition?: number
    readonly from?: number
    readonly committed?: boolean
    readonly version?: number
    readonly maxWaitMs?: number
    readonly minBytes?: number
    readonly maxBytes?: number
    readonly leaderEpoch?: number
  }): Promise<FetchResponse.PartitionData> {
    const { committed = true, from = 0, leaderEpoch, maxBytes = 1_000_000, partition = 0, topic, version = 11 } =
      options
    const answer = await this.client.call(Apis.Fetch, version, {
      ...(version <= 14 ? { replicaId: -1 } : {}),
      maxWaitMs: options.maxWaitMs ?? 0,
      minBytes: options.minBytes ?? 1,
      isolationLevel: committed ? 1 : 0,
      topics: [{
        ...(version >= 13 ? { topicId: await this.topicId(topic) } : { topic }),
        partitions: [{
          partition,
          fetchOffset: BigInt(from),
          partitionMaxBytes: maxBytes,
          ...(leaderEpoch === undefined ? {} : { currentLeaderEpoch: leaderEpoch })
        }]
      }]
    })
    return answer.responses[0]!.partitions[0]!
  }

  /** What a fetch answers besides the data itself. */
  async fetched(options: Parameters<Raw["fetch"]>[0]): Promise<{ readonly [name: string]: Answer }> {
    const answer = await this.fetch(options)
    const first = answer.abortedTransactions?.map(({ firstOffset }) => Number(firstOffset)) ?? null
    return {
      error: answer.errorCode,
      batches: RecordBatch.split(answer.records ?? new Uint8Array(0)).batches.map(({ baseOffset }) =>
        Number(baseOffset)
      ),
      aborted: first === null ? null : first.toSorted((a, b) => a - b),
      highWatermark: Number(answer.highWatermark),
      lastStable: Number(answer.lastStableOffset),
      start: Number(answer.logStartOffset)
    }
  }

  /** The values that a read_committed reader keeps, in order. */
  async visible(topic: string, partition = 0): Promise<ReadonlyArray<string>> {
    const answer = await this.fetch({ topic, partition })
    const { batches } = RecordBatch.split(answer.records ?? new Uint8Array(0))
    return ReadCommitted.visible(batches, answer.abortedTransactions ?? []).flatMap((batch) =>
      batch.records().map(({ value }) => Buffer.from(value ?? []).toString())
    )
  }

  private sinceFirst(coordinatorEpoch: number): number {
    return coordinatorEpoch < 0 ? coordinatorEpoch : coordinatorEpoch - this.firstCoordinatorEpoch
  }

  /** Every batch of a partition, markers included, one line each. */
  async log(topic: string, partition = 0): Promise<ReadonlyArray<string>> {
    const { records } = await this.fetch({ topic, partition, committed: false })
    return RecordBatch.split(records ?? new Uint8Array(0)).batches.map((batch) => {
      const at = `${batch.baseOffset} epoch ${batch.producerEpoch} sequence ${batch.baseSequence}`
      if (!batch.isControl) {
        const values = batch.records().map(({ value }) => Buffer.from(value ?? []).toString()).join(",")
        return `${at} ${batch.isTransactional ? "transactional " : ""}${values}`
      }
      const { coordinatorEpoch, type } = ControlRecord.decode(batch)
      return `${at} attributes ${batch.attributes} ${
        type === ControlRecord.COMMIT ? "commit" : "abort"
      } by coordinator ${this.sinceFirst(coordinatorEpoch)}`
    })
  }

  async listOffset(topic: string, timestamp: number, options: {
    readonly version?: number
    readonly committed?: boolean
    readonly partition?: number
    readonly leaderEpoch?: number
  } = {}): Promise<{ readonly error: number; readonly offset: number; readonly timestamp: number }> {
    const version = options.version ?? 7
    const answer = await this.client.call(Apis.ListOffsets, version, {
      replicaId: -1,
      ...(version >= 2 ? { isolationLevel: options.committed === true ? 1 : 0 } : {}),
      topics: [{
        name: topic,
        partitions: [{
          partitionIndex: options.partition ?? 0,
          timestamp: BigInt(timestamp),
          ...(options.leaderEpoch === undefined ? {} : { currentLeaderEpoch: options.leaderEpoch })
        }]
      }]
    })
    const found = answer.topics[0]!.partitions[0]!
    return { error: found.errorCode, offset: Number(found.offset), timestamp: Number(found.timestamp) }
  }

  /** End of the log and last stable offset. */
  async ends(topic: string, partition = 0): Promise<{ readonly end: number; readonly lastStable: number }> {
    const [end, stable] = await Promise.all([
      this.listOffset(topic, -1, { partition }),
      this.listOffset(topic, -1, { partition, committed: true })
    ])
    return { end: end.offset, lastStable: stable.offset }
  }

  /** A committed offset, -1 for none, or `error`. */
  async committed(
    group: string,
    topic: string,
    options: { readonly partition?: number; readonly stable?: boolean; readonly version?: number } = {}
  ): Promise<number | { readonly error: number }> {
    const { partition = 0, stable = false, version = 7 } = options
    const asked = version >= 10
      ? { topicId: await this.topicId(topic), partitionIndexes: [partition] }
      : { name: topic, partitionIndexes: [partition] }
    const answer = await this.client.call(Apis.OffsetFetch, version, {
      ...(version >= 8
        ? { groups: [{ groupId: group, topics: [asked] }] }
        : { groupId: group, topics: [{ name: topic, partitionIndexes: [partition] }] }),
      ...(version >= 7 ? { requireStable: stable } : {})
    })
    const whole = version >= 8 ? answer.groups[0]!.errorCode : answer.errorCode
    if (whole !== 0) return { error: whole }
    const found = (version >= 8 ? answer.groups[0]!.topics[0] : answer.topics[0])?.partitions[0]
    if (found === undefined) return { error: -2 }
    return found.errorCode === 0 ? Number(found.committedOffset) : { error: found.errorCode }
  }

  async commit(commit: Commit, version = 7): Promise<number> {
    const answer = await this.client.call(Apis.OffsetCommit, version, {
      groupId: commit.group,
      generationIdOrMemberEpoch: commit.generation ?? -1,
      memberId: commit.member ?? "",
      ...(version >= 7 ? { groupInstanceId: commit.instance ?? null } : {}),
      topics: [{
        ...(version >= 10 ? { topicId: await this.topicId(commit.topic) } : { name: commit.topic }),
        partitions: [{
          partitionIndex: commit.partition ?? 0,
          committedOffset: BigInt(commit.offset),
          committedMetadata: commit.metadata === undefined ? "" : commit.metadata
        }]
      }]
    })
    return answer.topics[0]!.partitions[0]!.errorCode
  }

  /** DescribeTransactions: the state, or the error in its place. */
  async state(id: string): Promise<string | number> {
    const answer = await this.client.call(Apis.DescribeTransactions, 0, { transactionalIds: [id] })
    const { errorCode, transactionState } = answer.transactionStates[0]!
    return errorCode === 0 ? transactionState : errorCode
  }

  async describe(id: string): Promise<{ readonly [name: string]: Answer }> {
    const answer = await this.client.call(Apis.DescribeTransactions, 0, { transactionalIds: [id] })
    const it = answer.transactionStates[0]!
    return {
      error: it.errorCode,
      state: it.transactionState,
      epoch: it.producerEpoch,
      timeoutMs: it.transactionTimeoutMs,
      started: it.transactionStartTimeMs >= 0n,
      partitions: it.topics.flatMap(({ partitions, topic }) => partitions.map((partition) => `${topic}-${partition}`))
        // Internal topics first, whatever this run's names begin with.
        .toSorted((a, b) => Number(b.startsWith("__")) - Number(a.startsWith("__")) || (a < b ? -1 : 1))
    }
  }

  /** DescribeProducers, the newest state of each producer of a partition. */
  async producers(topic: string, partition = 0): Promise<ReadonlyArray<{ readonly [name: string]: Answer }>> {
    const body = { topics: [{ name: topic, partitionIndexes: [partition] }] }
    const answer = await this.client.call(Apis.DescribeProducers, 0, body)
    const found = answer.topics[0]!.partitions[0]!
    if (found.errorCode !== 0) return [{ error: found.errorCode }]
    return found.activeProducers.toSorted((a, b) => Number(a.producerId - b.producerId)).map((it) => ({
      epoch: it.producerEpoch,
      lastSequence: it.lastSequence,
      coordinatorEpoch: this.sinceFirst(it.coordinatorEpoch),
      transactionStart: Number(it.currentTxnStartOffset)
    }))
  }
}
