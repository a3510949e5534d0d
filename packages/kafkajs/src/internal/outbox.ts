/**
 * Records that were taken and not yet sent: checked, placed in a partition, kept in order per partition, and cut into
 * batches that a broker accepts.
 */
import { Driver } from "@exactly-once/core"
import type { Partitioner } from "./partitioner.ts"
import { sizeBound } from "./recordWriter.ts"
import type { PartitionLeader } from "./wire.ts"

/** Records of one partition that go out together. */
export interface Piece {
  readonly topic: string
  readonly partition: number
  readonly records: ReadonlyArray<Driver.EncodedRecord>
  /** Their places in the list that was given to `add`. */
  readonly indices: ReadonlyArray<number>
}

/** A record that cannot be sent. */
export interface Refused {
  readonly index: number
  readonly why: string
}

export const refusedRecord = (topic: string, { index, why }: Refused): Driver.DriverError =>
  new Driver.DriverError({
    operation: "send",
    failure: "InvalidRecord",
    topic,
    description: `record ${index} for topic "${topic}" cannot be sent: ${why}`
  })

export interface Limits {
  /** The largest batch, in bytes before compression: below the broker's message.max.bytes. */
  readonly maxBatchBytes: number
  /** The largest single record, in bytes. */
  readonly maxRecordBytes: number
}

interface Growing {
  readonly topic: string
  readonly partition: number
  readonly records: Array<Driver.EncodedRecord>
  readonly indices: Array<number>
  bytes: number
}

const maxRecordsPerBatch = 100_000

const refusal = (record: Driver.EncodedRecord, size: number, limits: Limits): string | undefined => {
  // A caller outside of TypeScript can pass these; kafkajs would send "undefined" as text or throw in its encoder.
  if (record.key === undefined) return "its key is undefined: use null for a record without a key"
  if (record.value === undefined) return "its value is undefined: use null for a tombstone"
  if (record.headers !== undefined) {
    for (const [name, value] of record.headers) {
      if (value === undefined) return `its header "${name}" is undefined: use null for a header without a value`
    }
  }
  if (size > limits.maxRecordBytes) {
    return `it takes up to ${size} bytes and maxRecordBytes is ${limits.maxRecordBytes}: raise the option together with ` +
      "the topic's max.message.bytes, or send less"
  }
  return undefined
}

export class Outbox {
  readonly #limits: Limits
  readonly #partitioner: Partitioner
  // per partition the pieces in order; only the last one grows
  readonly #pieces = new Map<string, Array<Growing>>()
  bytes = 0

  constructor(limits: Limits, partitioner: Partitioner) {
    this.#limits = limits
    this.#partitioner = partitioner
  }

  get isEmpty(): boolean {
    return this.#pieces.size === 0
  }

  /** Takes all of them or, when one is refused, none that counts: the caller drops the outbox. */
  add(
    topic: string,
    records: ReadonlyArray<Driver.EncodedRecord>,
    partitions: ReadonlyArray<PartitionLeader>
  ): Refused | undefined {
    for (let index = 0; index < records.length; index++) {
      const record = records[index]
      if (record === undefined) return { index, why: "there is no record" }
      const size = sizeBound(record)
      const why = refusal(record, size, this.#limits)
      if (why !== undefined) return { index, why }
      const partition = this.#partitioner.choose(topic, record, size, partitions)
      if (partition === undefined) {
        return { index, why: `it names partition ${record.partition} and the topic has ${partitions.length}` }
      }
      this.#append(topic, partition, record, index, size)
    }
    return undefined
  }

  #append(topic: string, partition: number, record: Driver.EncodedRecord, index: number, size: number): void {
    const key = `${topic}-${partition}`
    let pieces = this.#pieces.get(key)
    if (pieces === undefined) {
      pieces = []
      this.#pieces.set(key, pieces)
    }
    let last = pieces.at(-1)
    if (
      last === undefined || last.bytes + size > this.#limits.maxBatchBytes || last.records.length >= maxRecordsPerBatch
    ) {
      last = { topic, partition, records: [], indices: [], bytes: 0 }
      pieces.push(last)
    }
    last.records.push(record)
    last.indices.push(index)
    last.bytes += size
    this.bytes += size
  }

  /** Everything taken, in rounds: a round has at most one piece of a partition, and ends before the next begins. */
  drain(): ReadonlyArray<ReadonlyArray<Piece>> {
    const rounds: Array<Array<Piece>> = []
    for (const pieces of this.#pieces.values()) {
      pieces.forEach((piece, i) => {
        const round = rounds[i]
        if (round === undefined) rounds[i] = [piece]
        else round.push(piece)
      })
    }
    this.clear()
    return rounds
  }

  clear(): void {
    this.#pieces.clear()
    this.bytes = 0
  }
}
