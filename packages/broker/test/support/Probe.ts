/** The requests of exactly-once, one short method each, each with the version the caller picks. Answers are what tests compare. */
import { Apis, BatchBuilder, type FetchResponse, ReadCommitted, RecordBatch } from "@exactly-once/protocol"
import { RawClient } from "./RawClient.ts"

export interface Pid {
  readonly producerId: bigint
  readonly epoch: number
}

export interface BatchSpec {
  readonly topic?: string
  readonly partition?: number
  readonly values?: ReadonlyArray<string>
  readonly sequence?: number
  readonly transactionalId?: string | null
  readonly transactional?: boolean
  readonly control?: boolean
  readonly acks?: number
}

export const NO_PID: Pid = { producerId: -1n, epoch: -1 }

export const batchOf = (pid: Pid, spec: BatchSpec): Uint8Array => {
  const builder = new BatchBuilder()
  for (const value of spec.values ?? ["v"]) builder.append({ key: null, value: Buffer.from(value), timestamp: 1_000 })
  return builder.finish({
    producerId: pid.producerId,
    producerEpoch: pid.epoch,
    baseSequence: pid.producerId < 0n ? -1 : spec.sequence ?? 0,
    isTransactional: spec.transactional ?? false,
    isControl: spec.control ?? false
  })
}

export class Probe {
  readonly client: RawClient

  constructor(client: RawClient) {
    this.client = client
  }

  static async open(address: string, clientId?: string): Promise<Probe> {
    return new Probe(await RawClient.open(address, clientId))
  }

  close(): Promise<void> {
    return this.client.close()
  }

  /** Looks for the coordinators of an id and a group, as every client does first. */
  async coordinators(transactionalId: string, groupId = "group"): Promise<void> {
    await this.client.call(Apis.FindCoordinator, 4, { keyType: 1, coordinatorKeys: [transactionalId] })
    await this.client.call(Apis.FindCoordinator, 4, { keyType: 0, coordinatorKeys: [groupId] })
  }

  async createTopic(name: string, numPartitions = 1): Promise<void> {
    await this.client.call(Apis.CreateTopics, 7, {
      topics: [{ name, numPartitions, replicationFactor: 1, assignments: [], configs: [] }],
      timeoutMs: 1000,
      validateOnly: false
    })
  }

  async init(
    transactionalId: string | null,
    options: { readonly version?: number; readonly pid?: Pid; readonly timeoutMs?: number } = {}
  ): Promise<Pid & { readonly error: number }> {
    const { pid, timeoutMs = 60_000, version = 5 } = options
    const known = pid === undefined ? {} : { producerId: pid.producerId, producerEpoch: pid.epoch }
    const answer = await this.client.call(Apis.InitProducerId, version, {
      transactionalId,
      transactionTimeoutMs: timeoutMs,
      ...known
    })
    return { producerId: answer.producerId, epoch: answer.producerEpoch, error: answer.errorCode }
  }

  async add(
    transactionalId: string,
    pid: Pid,
    topics: Readonly<Record<string, ReadonlyArray<number>>>,
    version = 3
  ): Promise<ReadonlyArray<number>> {
    const listed = Object.entries(topics).map(([name, partitions]) => ({ name, partitions }))
    const answer = await this.client.call(
      Apis.AddPartitionsToTxn,
      version,
      version >= 4
        ? {
          transactions: [{
            transactionalId,
            producerId: pid.producerId,
            producerEpoch: pid.epoch,
            verifyOnly: false,
            topics: listed
          }]
        }
        : {
          v3AndBelowTransactionalId: transactionalId,
          v3AndBelowProducerId: pid.producerId,
          v3AndBelowProducerEpoch: pid.epoch,
          v3AndBelowTopics: listed
        }
    )
    const results = version >= 4 ? answer.resultsByTransaction[0]!.topicResults : answer.resultsByTopicV3AndBelow
    return results.flatMap((it) => it.resultsByPartition.map((partition) => partition.partitionErrorCode))
  }

  async addOffsets(transactionalId: string, pid: Pid, groupId = "group", version = 3): Promise<number> {
    const { producerId, epoch: producerEpoch } = pid
    const body = { transactionalId, producerId, producerEpoch, groupId }
    return (await this.client.call(Apis.AddOffsetsToTxn, version, body)).errorCode
  }

  async commitOffset(
    transactionalId: string,
    pid: Pid,
    offset: bigint,
    options: {
      readonly version?: number
      readonly groupId?: string
      readonly topic?: string
      readonly partition?: number
      readonly memberId?: string
      readonly generation?: number
      readonly instance?: string | null
    } = {}
  ): Promise<number> {
    const version = options.version ?? 3
    const member = version >= 3
      ? {
        generationId: options.generation ?? -1,
        memberId: options.memberId ?? "",
        groupInstanceId: options.instance ?? null
      }
      : {}
    const answer = await this.client.call(Apis.TxnOffsetCommit, version, {
      transactionalId,
      groupId: options.groupId ?? "group",
      producerId: pid.producerId,
      producerEpoch: pid.epoch,
      ...member,
      topics: [{
        name: options.topic ?? "t",
        partitions: [{ partitionIndex: options.partition ?? 0, committedOffset: offset, committedMetadata: "" }]
      }]
    })
    return answer.topics[0]!.partitions[0]!.errorCode
  }

  async end(
    transactionalId: string,
    pid: Pid,
    committed: boolean,
    version = 4
  ): Promise<Pid & { readonly error: number }> {
    const { producerId, epoch: producerEpoch } = pid
    const answer = await this.client.call(Apis.EndTxn, version, {
      transactionalId,
      producerId,
      producerEpoch,
      committed
    })
    return { error: answer.errorCode, producerId: answer.producerId, epoch: answer.producerEpoch }
  }

  /** One batch; answers error and base offset. */
  produce(
    version: number,
    pid: Pid,
    spec: BatchSpec = {}
  ): Promise<{ readonly error: number; readonly offset: bigint }> {
    return this.produceBytes(version, batchOf(pid, spec), spec)
  }

  /** A batch in the transaction of `transactionalId`. */
  send(version: number, transactionalId: string, pid: Pid, spec: BatchSpec = {}) {
    return this.produce(version, pid, { transactional: true, transactionalId, ...spec })
  }

  async produceBytes(version: number, records: Uint8Array | null, spec: BatchSpec = {}) {
    const name = spec.topic ?? "t"
    const topicId = version >= 13 ? await this.topicId(name) : undefined
    const answer = await this.client.call(Apis.Produce, version, {
      transactionalId: spec.transactionalId ?? null,
      acks: spec.acks ?? -1,
      timeoutMs: 1000,
      topicData: [{
        ...(topicId === undefined ? { name } : { topicId }),
        partitionData: [{ index: spec.partition ?? 0, records }]
      }]
    })
    const { baseOffset, errorCode, errorMessage } = answer.responses[0]!.partitionResponses[0]!
    return { error: errorCode, offset: baseOffset, message: errorMessage }
  }

  async topicId(name: string): Promise<string> {
    const body = { topics: [{ name }], allowAutoTopicCreation: false }
    return (await this.client.call(Apis.Metadata, 12, body)).topics[0]!.topicId
  }

  async fetch(options: {
    readonly version?: number
    readonly topic?: string
    readonly partition?: number
    readonly from?: bigint
    readonly committed?: boolean
    readonly maxWaitMs?: number
    readonly minBytes?: number
    readonly maxBytes?: number
    readonly leaderEpoch?: number
  } = {}): Promise<FetchResponse.PartitionData> {
    const version = options.version ?? 11
    const topic = options.topic ?? "t"
    const answer = await this.client.call(Apis.Fetch, version, {
      replicaId: version <= 14 ? -1 : undefined,
      maxWaitMs: options.maxWaitMs ?? 0,
      minBytes: options.minBytes ?? 1,
      isolationLevel: options.committed === false ? 0 : 1,
      topics: [{
        ...(version >= 13 ? { topicId: await this.topicId(topic) } : { topic }),
        partitions: [{
          partition: options.partition ?? 0,
          fetchOffset: options.from ?? 0n,
          partitionMaxBytes: options.maxBytes ?? 1_000_000,
          ...(options.leaderEpoch === undefined ? {} : { currentLeaderEpoch: options.leaderEpoch })
        }]
      }]
    })
    return answer.responses[0]!.partitions[0]!
  }

  /** The values a read_committed consumer gets. */
  async visible(topic = "t", partition = 0): Promise<ReadonlyArray<string>> {
    const answer = await this.fetch({ topic, partition })
    const { batches } = RecordBatch.split(answer.records ?? new Uint8Array(0))
    return ReadCommitted.visible(batches, answer.abortedTransactions ?? []).flatMap((batch) =>
      batch.records().map((record) => Buffer.from(record.value ?? []).toString())
    )
  }

  async committed(
    options: {
      readonly groupId?: string
      readonly topic?: string
      readonly partition?: number
      readonly stable?: boolean
      readonly version?: number
    } = {}
  ): Promise<{ readonly error: number; readonly offset: bigint }> {
    const { groupId = "group", partition = 0, stable = false, topic = "t" } = options
    const version = options.version ?? (stable ? 7 : 5)
    const answer = await this.client.call(Apis.OffsetFetch, version, {
      groupId,
      topics: [{ name: topic, partitionIndexes: [partition] }],
      ...(version >= 7 ? { requireStable: stable } : {})
    })
    const found = answer.topics[0]?.partitions[0]
    return { error: found?.errorCode ?? answer.errorCode, offset: found?.committedOffset ?? -1n }
  }

  async plainCommit(offset: bigint, groupId = "group", topic = "t", partition = 0): Promise<number> {
    const answer = await this.client.call(Apis.OffsetCommit, 7, {
      groupId,
      generationIdOrMemberEpoch: -1,
      memberId: "",
      topics: [{
        name: topic,
        partitions: [{ partitionIndex: partition, committedOffset: offset, committedMetadata: "" }]
      }]
    })
    return answer.topics[0]!.partitions[0]!.errorCode
  }

  async describe(transactionalId: string) {
    const answer = await this.client.call(Apis.DescribeTransactions, 0, { transactionalIds: [transactionalId] })
    const { errorCode, producerEpoch, producerId, topics, transactionState } = answer.transactionStates[0]!
    return { error: errorCode, state: transactionState, producerId, epoch: producerEpoch, topics }
  }

  async latest(committed: boolean, topic = "t", partition = 0): Promise<bigint> {
    const answer = await this.client.call(Apis.ListOffsets, 5, {
      replicaId: -1,
      isolationLevel: committed ? 1 : 0,
      topics: [{ name: topic, partitions: [{ partitionIndex: partition, timestamp: -1n }] }]
    })
    return answer.topics[0]!.partitions[0]!.offset
  }
}
