/** Looking into stored batches: for offsets by time, and for tests that ask what a log contains. Never on the way of a produce or fetch. */
import { codecs } from "@exactly-once/codecs"
import { RecordBatch, type RecordView } from "@exactly-once/protocol"

/** The records of one stored batch; `undefined` when the platform lacks the codec it is compressed with. */
export const recordsOf = (batch: RecordBatch): ReadonlyArray<RecordView> | undefined => {
  try {
    return batch.records(codecs)
  } catch {
    return undefined
  }
}

export const open = (bytes: Uint8Array): RecordBatch => RecordBatch.split(bytes).batches[0]!

/** Whether a batch has a record without a key, which a compacted topic cannot keep. A batch that cannot be read is given the benefit. */
export const hasRecordWithoutKey = (bytes: Uint8Array): boolean =>
  recordsOf(open(bytes))?.some(({ key }) => key === null) ?? false

export interface TimedOffset {
  readonly offset: bigint
  readonly timestamp: bigint
}

/** The first record of a batch whose timestamp is not below `timestamp`. Where records cannot be read the batch stands for them. */
export const firstAt = (bytes: Uint8Array, timestamp: bigint): TimedOffset => {
  const batch = open(bytes)
  const record = recordsOf(batch)?.find((it) => BigInt(it.timestamp) >= timestamp)
  return record === undefined
    ? { offset: batch.baseOffset, timestamp: batch.maxTimestamp }
    : { offset: BigInt(record.offset), timestamp: BigInt(record.timestamp) }
}

/** The first record of a batch that has its largest timestamp. */
export const latestIn = (bytes: Uint8Array): TimedOffset => firstAt(bytes, open(bytes).maxTimestamp)
