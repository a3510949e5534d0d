/**
 * Records of an open transaction that were not handed to the driver yet. Synchronous; a record costs a push.
 */
import * as Result from "effect/Result"
import type { EncodedRecord } from "../Driver.ts"
import type { EncodeError } from "../KafkaError.ts"
import type * as Topic from "../Topic.ts"
import { encode } from "./encode.ts"

export interface Chunk {
  readonly topic: string
  readonly records: ReadonlyArray<EncodedRecord>
}

interface Growing {
  readonly topic: string
  readonly records: Array<EncodedRecord>
}

/** A call that brings this many records stays a chunk of its own: its array is not copied. */
const ownChunk = 64

/** What a record weighs beside key and value: offsets, lengths, timestamp. */
const overhead = 16

export interface EmitBuffer {
  /** Encodes all records or none; answers the bytes that wait. */
  readonly add: <K, V>(
    topic: Topic.Topic<string, K, V>,
    records: ReadonlyArray<Topic.OutRecord<K, V>>
  ) => Result.Result<number, EncodeError>
  readonly take: () => ReadonlyArray<Chunk>
  /** Bytes that were not taken yet. */
  readonly waiting: () => number
  /** Records added in all. */
  readonly count: () => number
  /** A topic that records went to. */
  readonly anyTopic: () => string | undefined
}

const size = (record: EncodedRecord): number =>
  overhead + (record.key === null ? 0 : record.key.length) + (record.value === null ? 0 : record.value.length)

export const make = (): EmitBuffer => {
  let chunks: Array<Chunk> = []
  let growing = new Map<string, Growing>()
  let bytes = 0
  let count = 0
  let anyTopic: string | undefined

  const append = (topic: string, records: ReadonlyArray<EncodedRecord>) => {
    for (const record of records) bytes += size(record)
    count += records.length
    anyTopic = topic
    if (records.length >= ownChunk) {
      chunks.push({ topic, records })
      growing.delete(topic)
      return
    }
    const open = growing.get(topic)
    if (open !== undefined) open.records.push(...records)
    else {
      const fresh: Growing = { topic, records: records.slice() }
      growing.set(topic, fresh)
      chunks.push(fresh)
    }
  }

  return {
    add: (topic, records) => {
      if (records.length === 0) return Result.succeed(bytes)
      const encoded = encode(topic, records)
      if (Result.isFailure(encoded)) return Result.fail(encoded.failure)
      append(topic.name, encoded.success)
      return Result.succeed(bytes)
    },
    take: () => {
      const taken = chunks
      chunks = []
      growing = new Map()
      bytes = 0
      return taken
    },
    waiting: () => bytes,
    count: () => count,
    anyTopic: () => anyTopic
  }
}
