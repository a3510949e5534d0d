/** Records as callers hand them over: what can be sent of them, and in which form a batch takes them. */
import type { Driver } from "@exactly-once/core"
import type { RecordInput } from "@exactly-once/protocol"
import type { TopicInfo } from "../network/metadata.ts"

/** A record that cannot be sent, and why. */
export interface Refusal {
  readonly index: number
  readonly why: string
}

/** Bytes of a record beside key, value and headers, at most; of a header beside its name and value, at most. */
const recordOverhead = 40
const headerOverhead = 10

/** An upper bound of what a record takes in a batch; UTF-8 takes three bytes for a UTF-16 unit at most. */
export const sizeBound = (record: Driver.EncodedRecord): number => {
  let size = recordOverhead + (record.key?.length ?? 0) + (record.value?.length ?? 0)
  if (record.headers !== undefined) {
    for (const [name, value] of record.headers) size += headerOverhead + name.length * 3 + (value?.length ?? 0)
  }
  return size
}

/** The first record that cannot be sent. */
export const refusalOf = (
  topic: TopicInfo,
  records: ReadonlyArray<Driver.EncodedRecord>,
  maxRecordBytes: number
): Refusal | undefined => {
  const count = topic.leaders.length
  for (let index = 0; index < records.length; index++) {
    const record = records[index]
    if (record === undefined) return { index, why: "there is no record" }
    // A caller outside of TypeScript can pass these.
    if (record.key === undefined) return { index, why: "its key is undefined: use null for a record without a key" }
    if (record.value === undefined) return { index, why: "its value is undefined: use null for a tombstone" }
    const { partition } = record
    if (partition !== undefined && !(partition >= 0 && partition < count)) {
      return { index, why: `it names partition ${partition} and the topic has ${count}` }
    }
    const size = sizeBound(record)
    if (size > maxRecordBytes) {
      return {
        index,
        why: `it takes up to ${size} bytes and maxRecordBytes is ${maxRecordBytes}: raise the option together with ` +
          "the topic's max.message.bytes, or send less"
      }
    }
  }
  return undefined
}

/** One record at a time in the form that a batch takes, in one object for all of them. */
export class Scratch implements RecordInput {
  key: Uint8Array | null = null
  value: Uint8Array | null = null
  headers: RecordInput["headers"] = undefined
  timestamp: number | bigint = 0

  take(record: Driver.EncodedRecord, now: number): void {
    this.key = record.key
    this.value = record.value
    this.timestamp = record.timestamp ?? now
    this.headers = record.headers === undefined || record.headers.length === 0
      ? undefined
      : record.headers.map(([key, value]) => ({ key, value }))
  }
}
