/** What a test may want to know of a broker without being a client of it. */
import type { Cluster } from "./cluster/Cluster.ts"
import type { Partition } from "./cluster/Topic.ts"
import { open, recordsOf } from "./log/records.ts"
import type { TransactionState } from "./transaction/Transaction.ts"

/** A record as it lies in the log. */
export interface LogRecord {
  readonly offset: bigint
  readonly timestamp: bigint
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: ReadonlyArray<{ readonly key: string; readonly value: Uint8Array | null }>
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly transactional: boolean
}

/** A batch as it lies in the log. */
export interface LogBatch {
  readonly baseOffset: bigint
  readonly lastOffset: bigint
  readonly count: number
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly transactional: boolean
  /** Set on the markers that end transactions. */
  readonly marker: "commit" | "abort" | undefined
  readonly sizeInBytes: number
}

export interface PartitionState {
  readonly leader: number
  readonly leaderEpoch: number
  readonly startOffset: bigint
  readonly highWatermark: bigint
  readonly lastStableOffset: bigint
  readonly sizeInBytes: number
  /** Producers with an open transaction here, and where it begins. */
  readonly openTransactions: ReadonlyArray<{ readonly producerId: bigint; readonly firstOffset: bigint }>
}

export interface TransactionView {
  readonly transactionalId: string
  readonly state: TransactionState
  readonly producerId: bigint
  readonly epoch: number
  readonly timeoutMs: number
  readonly partitions: ReadonlyArray<{ readonly topic: string; readonly partition: number }>
}

export const partitionState = ({ leader, leaderEpoch, log }: Partition): PartitionState => ({
  leader,
  leaderEpoch,
  startOffset: BigInt(log.startOffset),
  highWatermark: BigInt(log.highWatermark),
  lastStableOffset: BigInt(log.lastStableOffset),
  sizeInBytes: log.sizeInBytes,
  openTransactions: Array.from(log.producers.openTransactions(), (entry) => ({
    producerId: BigInt(entry.producerId),
    firstOffset: BigInt(entry.transactionStart)
  }))
})

const COMMIT = 1

const markerOf = (batch: ReturnType<typeof open>): "commit" | "abort" | undefined => {
  if (!batch.isControl) return undefined
  const key = batch.records()[0]?.key
  return key?.[3] === COMMIT ? "commit" : "abort"
}

export const batchesOf = ({ log }: Partition): Array<LogBatch> =>
  Array.from(log.batches(), (bytes) => {
    const batch = open(bytes)
    return {
      baseOffset: batch.baseOffset,
      lastOffset: batch.lastOffset,
      count: batch.count,
      producerId: batch.producerId,
      producerEpoch: batch.producerEpoch,
      baseSequence: batch.baseSequence,
      transactional: batch.isTransactional,
      marker: markerOf(batch),
      sizeInBytes: batch.sizeInBytes
    }
  })

/**
 * The data records of a partition; with `committed` only those a read_committed consumer gets. A batch that cannot be decompressed here is
 * an error.
 */
export const logRecords = ({ log }: Partition, committed: boolean): Array<LogRecord> => {
  const end = committed ? log.lastStableOffset : log.highWatermark
  const aborted = committed ? log.abortedBetween(log.startOffset, end) : []
  const records: Array<LogRecord> = []
  for (const bytes of log.batches()) {
    const batch = open(bytes)
    const first = Number(batch.baseOffset)
    if (batch.isControl || first >= end) continue
    const dropped = batch.isTransactional &&
      aborted.some((it) =>
        it.producerId === Number(batch.producerId) && it.firstOffset <= first && first < it.lastOffset
      )
    if (dropped) continue
    const views = recordsOf(batch)
    if (views === undefined) {
      throw new TypeError(`The batch at ${batch.baseOffset}, of compression type ${batch.compression}, cannot be read`)
    }
    for (const it of views) {
      if (Number(it.offset) < log.startOffset) continue
      records.push({
        offset: BigInt(it.offset),
        timestamp: BigInt(it.timestamp),
        key: it.key,
        value: it.value,
        headers: it.headers,
        producerId: batch.producerId,
        producerEpoch: batch.producerEpoch,
        transactional: batch.isTransactional
      })
    }
  }
  return records
}

export const transactionsOf = (cluster: Cluster): Array<TransactionView> =>
  Array.from(cluster.transactions.all(), (it) => ({
    transactionalId: it.transactionalId,
    state: it.state,
    producerId: BigInt(it.producerId),
    epoch: it.epoch,
    timeoutMs: it.timeoutMs,
    partitions: [...it.partitions.values()]
  }))
