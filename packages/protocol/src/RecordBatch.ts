import * as Codecs from "./Codecs.ts"
import type { Crc32c } from "./Crc32c.ts"
import { crc32c as plainCrc32c } from "./Crc32c.ts"
import { CorruptBatch, MalformedBytes } from "./errors.ts"
import { RecordView } from "./RecordView.ts"

/** Bytes in front of a batch's first record. */
export const HEAD_SIZE = 61
/** The length field counts from behind itself. */
export const LENGTH_OVERHEAD = 12
/** The CRC covers everything from the attributes on, so the base offset and the leader epoch may change without it. */
export const CRC_START = 21

const MAGIC_AT = 16
const SMALLEST_RECORD = 7

const TIMESTAMP_TYPE_BIT = 0x08
export const TRANSACTIONAL_BIT = 0x10
export const CONTROL_BIT = 0x20

/** The batches of a byte string, and how many bytes of a batch that was cut off follow them. */
export interface Split {
  readonly batches: Array<RecordBatch>
  readonly trailing: number
}

/** The sequence `count` records after `sequence`; 2^31 - 1 is followed by 0. */
export const advanceSequence = (sequence: number, count: number): number => (sequence + count) % 0x8000_0000

/**
 * A record batch (message format 2) as a view of the bytes it came in. Head fields are read on access; records are read by `records` or
 * `cursor`, which decompress when they have to.
 */
export class RecordBatch {
  readonly sizeInBytes: number
  private readonly source: Uint8Array
  private readonly view: DataView
  private readonly start: number

  private constructor(source: Uint8Array, view: DataView, start: number, size: number) {
    this.source = source
    this.view = view
    this.start = start
    this.sizeInBytes = size
  }

  /**
   * The batches in `bytes`, which is what Produce and Fetch carry as records. A broker may cut the last batch of a fetch off; its bytes
   * are counted, not read. Throws `MalformedBytes` on a length that no batch has, and on message formats 0 and 1.
   */
  static split(bytes: Uint8Array): Split {
    const source = bytes.constructor === Uint8Array
      ? bytes
      : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
    const view = new DataView(source.buffer, source.byteOffset, source.length)
    const batches: Array<RecordBatch> = []
    let at = 0
    while (source.length - at > MAGIC_AT) {
      const magic = view.getInt8(at + MAGIC_AT)
      if (magic !== 2) {
        throw new MalformedBytes("UnsupportedMagic", at + MAGIC_AT, `message format ${magic}, only 2 is read`)
      }
      const length = view.getInt32(at + 8)
      if (length < HEAD_SIZE - LENGTH_OVERHEAD) {
        throw new MalformedBytes("InvalidRecord", at + 8, `a record batch of length ${length}`)
      }
      const size = LENGTH_OVERHEAD + length
      if (size > source.length - at) break
      batches.push(new RecordBatch(source, view, at, size))
      at += size
    }
    return { batches, trailing: source.length - at }
  }

  /** The whole batch, as a view. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.source.buffer, this.source.byteOffset + this.start, this.sizeInBytes)
  }

  get baseOffset(): bigint {
    return this.view.getBigInt64(this.start)
  }

  get partitionLeaderEpoch(): number {
    return this.view.getInt32(this.start + 12)
  }

  get crc(): number {
    return this.view.getUint32(this.start + 17)
  }

  get attributes(): number {
    return this.view.getInt16(this.start + CRC_START)
  }

  /** The last offset less the base offset. Compaction keeps it, so it may exceed `count - 1`. */
  get lastOffsetDelta(): number {
    return this.view.getInt32(this.start + 23)
  }

  get lastOffset(): bigint {
    return this.baseOffset + BigInt(this.lastOffsetDelta)
  }

  get baseTimestamp(): bigint {
    return this.view.getBigInt64(this.start + 27)
  }

  get maxTimestamp(): bigint {
    return this.view.getBigInt64(this.start + 35)
  }

  /** -1 when the producer is not idempotent. */
  get producerId(): bigint {
    return this.view.getBigInt64(this.start + 43)
  }

  get producerEpoch(): number {
    return this.view.getInt16(this.start + 51)
  }

  get baseSequence(): number {
    return this.view.getInt32(this.start + 53)
  }

  /** The sequence of the last record; -1 when there is none. */
  get lastSequence(): number {
    return this.baseSequence < 0 ? -1 : advanceSequence(this.baseSequence, this.lastOffsetDelta)
  }

  /** The number of records. */
  get count(): number {
    return this.view.getInt32(this.start + 57)
  }

  /** The compression type, one of the constants of `Codecs`. */
  get compression(): number {
    return this.attributes & 7
  }

  /** Whether the broker stamped the records when it appended them; else their timestamps are the producer's. */
  get isLogAppendTime(): boolean {
    return (this.attributes & TIMESTAMP_TYPE_BIT) !== 0
  }

  get isTransactional(): boolean {
    return (this.attributes & TRANSACTIONAL_BIT) !== 0
  }

  /** Whether this is a control batch: a marker of a transaction's end, not data. */
  get isControl(): boolean {
    return (this.attributes & CONTROL_BIT) !== 0
  }

  private computeCrc(crc32c: Crc32c): number {
    return crc32c(
      new Uint8Array(this.source.buffer, this.source.byteOffset + this.start + CRC_START, this.sizeInBytes - CRC_START)
    )
  }

  isValid(crc32c: Crc32c = plainCrc32c): boolean {
    return this.computeCrc(crc32c) === this.crc
  }

  /** Throws `CorruptBatch` when the CRC does not match. */
  verify(crc32c: Crc32c = plainCrc32c): void {
    const computed = this.computeCrc(crc32c)
    if (computed !== this.crc) throw new CorruptBatch(this.baseOffset, this.crc, computed)
  }

  /** Walks the records with one `RecordView` that each step points at the next: for loops that look and move on. */
  cursor(codecs: Codecs.Codecs = Codecs.plain): RecordCursor {
    const start = this.start + HEAD_SIZE
    const end = this.start + this.sizeInBytes
    if (this.compression === Codecs.NONE) return new RecordCursor(this, this.source, start, end)
    const compressed = new Uint8Array(this.source.buffer, this.source.byteOffset + start, end - start)
    const plain = codecs.compression(this.compression).decompress(compressed, codecs.maxDecompressedSize)
    return new RecordCursor(this, plain, 0, plain.length)
  }

  /** Every record as a view of its own. Throws `MalformedBytes`, and `UnknownCodec` when the registry lacks the compression. */
  records(codecs: Codecs.Codecs = Codecs.plain): Array<RecordView> {
    return this.cursor(codecs).toArray()
  }
}

export class RecordCursor {
  private readonly batch: RecordBatch
  private readonly bytes: Uint8Array
  private readonly end: number
  private readonly record: RecordView
  private at: number
  private left: number

  constructor(batch: RecordBatch, bytes: Uint8Array, start: number, end: number) {
    const count = batch.count
    if (count < 0 || count * SMALLEST_RECORD > end - start) {
      throw new MalformedBytes("InvalidRecord", start, `a batch of ${count} records in ${end - start} bytes`)
    }
    this.batch = batch
    this.bytes = bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
    this.end = end
    this.record = new RecordView(batch, this.bytes)
    this.at = start
    this.left = count
    this.checkEnd()
  }

  /** The next record, in the same object each time; `undefined` after the last. */
  next(): RecordView | undefined {
    if (this.left === 0) return undefined
    this.step(this.record)
    return this.record
  }

  toArray(): Array<RecordView> {
    const records: Array<RecordView> = []
    while (this.left > 0) {
      const record = new RecordView(this.batch, this.bytes)
      this.step(record)
      records.push(record)
    }
    return records
  }

  private step(record: RecordView): void {
    this.at = record.read(this.at, this.end)
    this.left--
    this.checkEnd()
  }

  private checkEnd(): void {
    if (this.left === 0 && this.at !== this.end) {
      throw new MalformedBytes("TrailingBytes", this.at, `${this.end - this.at} bytes after the last record of a batch`)
    }
  }
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

/** Gives the batch at `at` another base offset, in place. The CRC does not cover it. */
export const setBaseOffset = (bytes: Uint8Array, baseOffset: bigint, at = 0): void =>
  viewOf(bytes).setBigInt64(at, baseOffset)

/** Gives the batch at `at` another leader epoch, in place. The CRC does not cover it. */
export const setPartitionLeaderEpoch = (bytes: Uint8Array, epoch: number, at = 0): void =>
  viewOf(bytes).setInt32(at + 12, epoch)

/** Who wrote a batch, and where it stands in that producer's sequence. */
export interface ProducerStamp {
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly baseSequence: number
}

/** Stamps one whole batch with another producer id, epoch and sequence, in place, and computes its CRC anew. */
export const setProducer = (bytes: Uint8Array, stamp: ProducerStamp, crc32c: Crc32c = plainCrc32c): void => {
  const view = viewOf(bytes)
  view.setBigInt64(43, stamp.producerId)
  view.setInt16(51, stamp.producerEpoch)
  view.setInt32(53, stamp.baseSequence)
  view.setUint32(17, crc32c(bytes.subarray(CRC_START)))
}
