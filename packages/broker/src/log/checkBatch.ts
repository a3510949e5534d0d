/**
 * Whether what a client wants to append is one well-formed batch. First its form, which a broker checks as it reads the request; then what
 * the leader checks, which for a transactional batch comes after the coordinator was asked.
 */
import * as Code from "../errorCodes.ts"
import * as BatchHead from "./BatchHead.ts"

export interface ContentOptions {
  readonly crc32c: (bytes: Uint8Array) => number
  readonly maxMessageBytes: number
  /** From Produce 7 on a client may send zstd (KIP-110). */
  readonly allowZstd: boolean
  /** Timestamps between these are taken. */
  readonly earliest: number
  readonly latest: number
}

export interface Fault {
  readonly error: number
  readonly message: string
}

export interface Formed {
  readonly head: BatchHead.BatchHead
  /** The batch alone: what follows it and is not a whole batch itself is ignored. */
  readonly batch: Uint8Array
}

const MAGIC_AT = 16
const ZSTD = 4
const NO_TIMESTAMP = -1

const fault = (error: number, message: string): Fault => ({ error, message })

export const isFault = (it: Formed | Fault): it is Fault => "error" in it

/** The one batch in what a client sent for a partition. */
export const form = (records: Uint8Array): Formed | Fault => {
  const view = BatchHead.viewOf(records)
  const size = BatchHead.sizeAt(view, 0)
  if (records.length > MAGIC_AT) {
    const magic = view.getInt8(MAGIC_AT)
    if (magic < 0 || magic > 2) return fault(Code.CORRUPT_MESSAGE, `There is no record format ${magic}`)
    if (magic < 2) return fault(Code.INVALID_RECORD, "Only record batches of format 2 are accepted")
  }
  if (size < 0 || size > records.length) return fault(Code.INVALID_RECORD, "No whole record batch in the request")
  const head = size < BatchHead.HEAD_SIZE ? undefined : BatchHead.read(view, 0)
  if (head === undefined) return fault(Code.CORRUPT_MESSAGE, "A record batch smaller than its own head")
  const rest = records.length - size
  if (rest > MAGIC_AT && BatchHead.sizeAt(view, size) <= rest) {
    return fault(Code.INVALID_RECORD, "More than one record batch for a partition in one request")
  }
  return { head, batch: rest === 0 ? records : records.subarray(0, size) }
}

/** What is wrong with a batch of the right form; `undefined` when nothing is. */
export const content = ({ batch, head }: Formed, options: ContentOptions): Fault | undefined => {
  if (batch.length > options.maxMessageBytes) {
    return fault(Code.MESSAGE_TOO_LARGE, `${batch.length} bytes, at most ${options.maxMessageBytes} are accepted`)
  }
  if (options.crc32c(batch.subarray(BatchHead.CRC_FROM)) !== head.crc) {
    return fault(Code.CORRUPT_MESSAGE, "The record batch does not match its CRC")
  }
  if (BatchHead.isControl(head)) return fault(Code.INVALID_RECORD, "Clients are not allowed to write control records")
  if (head.baseOffset !== 0) return fault(Code.INVALID_RECORD, `A base offset of ${head.baseOffset} from a client`)
  if (head.count <= 0 || head.lastOffsetDelta !== head.count - 1) {
    return fault(Code.INVALID_RECORD, `${head.count} records with a last offset delta of ${head.lastOffsetDelta}`)
  }
  if (head.producerId >= 0 && head.baseSequence < 0) {
    return fault(Code.INVALID_RECORD, `Sequence ${head.baseSequence} in a batch with a producer id`)
  }
  const codec = head.attributes & 7
  if (codec > ZSTD || (codec === ZSTD && !options.allowZstd)) {
    return fault(Code.UNSUPPORTED_COMPRESSION_TYPE, `Compression type ${codec} in this version`)
  }
  const early = head.baseTimestamp !== NO_TIMESTAMP && head.baseTimestamp < options.earliest
  if (early || head.maxTimestamp > options.latest) {
    return fault(Code.INVALID_TIMESTAMP, "A timestamp too far from the broker's time")
  }
  return undefined
}
