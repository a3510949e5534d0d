/** Control batches: the markers with which a coordinator ends a transaction in every partition it wrote to. */
import { BatchBuilder } from "./BatchBuilder.ts"
import type { Codecs } from "./Codecs.ts"
import { MalformedBytes } from "./errors.ts"
import * as ControlRecordType from "./generated/ControlRecordTypeSchema.ts"
import * as EndTxnMarker from "./generated/EndTxnMarker.ts"
import { Reader } from "./Reader.ts"
import type { RecordBatch } from "./RecordBatch.ts"
import { Writer } from "./Writer.ts"

export const ABORT = 0
export const COMMIT = 1

/** What a control batch says. Types other than `ABORT` and `COMMIT` belong to Kafka's own quorum. */
export interface ControlRecord {
  readonly type: number
  /** The epoch of the coordinator that wrote the marker; -1 for types that are not markers. */
  readonly coordinatorEpoch: number
}

export interface MarkerOptions {
  readonly type: typeof ABORT | typeof COMMIT
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly coordinatorEpoch: number
  readonly timestamp: number | bigint
  readonly baseOffset?: bigint | undefined
  readonly partitionLeaderEpoch?: number | undefined
  readonly codecs?: Codecs | undefined
}

const data = (write: (writer: Writer) => void): Uint8Array => {
  const writer = new Writer(8)
  write(writer)
  return writer.finish()
}

/** A batch with one marker, which takes one offset. */
export const encodeMarker = (options: MarkerOptions): Uint8Array => {
  const builder = new BatchBuilder(128)
  builder.append({
    timestamp: options.timestamp,
    key: data((writer) => {
      writer.int16(0)
      ControlRecordType.encode(writer, { type: options.type }, 0)
    }),
    value: data((writer) => {
      writer.int16(0)
      EndTxnMarker.encode(writer, { coordinatorEpoch: options.coordinatorEpoch }, 0)
    })
  })
  return builder.finish({ ...options, baseSequence: -1, isTransactional: true, isControl: true })
}

/** Reads the one record of a control batch; newer versions of key and value only add fields, so the first ones are read. */
export const decode = (batch: RecordBatch): ControlRecord => {
  const record = batch.cursor().next()
  const key = record?.key
  if (record === undefined || key === undefined || key === null) {
    throw new MalformedBytes("InvalidRecord", 0, "a control batch without a control record")
  }
  const reader = new Reader(key)
  reader.int16()
  const { type } = ControlRecordType.decode(reader, 0)
  if (type !== ABORT && type !== COMMIT) return { type, coordinatorEpoch: -1 }
  const value = new Reader(record.value ?? new Uint8Array(0))
  value.int16()
  return { type, coordinatorEpoch: EndTxnMarker.decode(value, 0).coordinatorEpoch }
}
