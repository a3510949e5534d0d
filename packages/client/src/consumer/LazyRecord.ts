/**
 * A fetched record as positions in the fetched bytes. Key, value, headers and timestamp are made when they are asked for,
 * as views of the fetch response: copy what outlives the batch. What a record has are getters, so that a spread
 * (`{ ...record }`) copies nothing.
 */
import { type Driver, Headers, Offset } from "@exactly-once/core"
import { type RecordBatch, RecordView } from "@exactly-once/protocol"

/** What the records of one record batch share. */
export interface Source {
  readonly topic: string
  readonly partition: number
  readonly batch: RecordBatch
  readonly baseOffset: bigint
  /** Decompressed, where the batch was compressed. */
  readonly bytes: Uint8Array
}

export class LazyRecord implements Driver.FetchedRecord {
  private readonly source: Source
  private readonly start: number
  private readonly offsetDelta: number
  private readonly keyStart: number
  private readonly keyLength: number
  private readonly valueStart: number
  private readonly valueLength: number
  private readonly headerCount: number

  /** Remembers where `view` stands; the view may move on. */
  constructor(source: Source, view: RecordView) {
    this.source = source
    this.start = view.start
    this.offsetDelta = view.offsetDelta
    this.keyStart = view.keyStart
    this.keyLength = view.keyLength
    this.valueStart = view.valueStart
    this.valueLength = view.valueLength
    this.headerCount = view.headerCount
  }

  get topic(): string {
    return this.source.topic
  }

  get partition(): number {
    return this.source.partition
  }

  get offset(): Offset.Offset {
    return Offset.offsetUnsafe(this.source.baseOffset + BigInt(this.offsetDelta))
  }

  get key(): Uint8Array | null {
    return this.slice(this.keyStart, this.keyLength)
  }

  get value(): Uint8Array | null {
    return this.slice(this.valueStart, this.valueLength)
  }

  get timestamp(): bigint {
    return this.view().timestamp
  }

  get headers(): Headers.Headers {
    return this.headerCount === 0
      ? Headers.empty
      : this.view().headers.map(({ key, value }) => [key, value] as const)
  }

  /** For logs and tests: what the getters say. */
  toJSON() {
    const { headers, key, offset, partition, timestamp, topic, value } = this
    return { topic, partition, offset, timestamp, key, value, headers }
  }

  private slice(start: number, length: number): Uint8Array | null {
    const { bytes } = this.source
    return length < 0 ? null : new Uint8Array(bytes.buffer, bytes.byteOffset + start, length)
  }

  private view(): RecordView {
    const { batch, bytes } = this.source
    const view = new RecordView(batch, bytes)
    view.read(this.start, bytes.length)
    return view
  }
}
