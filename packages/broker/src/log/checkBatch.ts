/** Whether what a client wants to append is one well-formed batch: everything that can be seen from its head and its CRC. */
import * as Code from "../errorCodes.ts"
import * as BatchHead from "./BatchHead.ts"

export interface CheckOptions {
  readonly crc32c: (bytes: Uint8Array) => number
  readonly maxMessageBytes: number
  /** From Produce 7 on a client may send zstd (KIP-110). */
  readonly allowZstd: boolean
}

export interface Checked {
  readonly error: number
  readonly message: string | null
  readonly head: BatchHead.BatchHead | undefined
}

const ZSTD = 4
const wrong = (error: number, message: string): Checked => ({ error, message, head: undefined })

export const checkBatch = (records: Uint8Array, options: CheckOptions): Checked => {
  const view = BatchHead.viewOf(records)
  if (records.length >= 17 && view.getInt8(16) !== 2) {
    return wrong(Code.INVALID_RECORD, "Only record batches of magic 2 are accepted")
  }
  const size = BatchHead.sizeAt(view, 0)
  if (size < 0 || size > records.length) return wrong(Code.INVALID_RECORD, "No whole record batch in the request")
  const head = BatchHead.read(view, 0)
  if (head === undefined || size < BatchHead.HEAD_SIZE) {
    return wrong(Code.CORRUPT_MESSAGE, "A record batch smaller than its own head")
  }
  if (size < records.length) {
    return wrong(Code.INVALID_RECORD, "More than one record batch for a partition in one request")
  }
  if (size > options.maxMessageBytes) {
    return wrong(Code.MESSAGE_TOO_LARGE, `${size} bytes, at most ${options.maxMessageBytes} are accepted`)
  }
  if (options.crc32c(records.subarray(BatchHead.CRC_FROM)) !== head.crc) {
    return wrong(Code.CORRUPT_MESSAGE, "The record batch does not match its CRC")
  }
  if (BatchHead.isControl(head)) return wrong(Code.INVALID_RECORD, "Clients are not allowed to write control records")
  if (head.count <= 0 || head.lastOffsetDelta !== head.count - 1) {
    return wrong(Code.INVALID_RECORD, `${head.count} records with a last offset delta of ${head.lastOffsetDelta}`)
  }
  if (head.producerId >= 0 && head.baseSequence < 0) {
    return wrong(Code.INVALID_RECORD, `Sequence ${head.baseSequence} in a batch with a producer id`)
  }
  const codec = head.attributes & 7
  if (codec > ZSTD || (codec === ZSTD && !options.allowZstd)) {
    return wrong(Code.UNSUPPORTED_COMPRESSION_TYPE, `Compression type ${codec} in this version`)
  }
  return { error: Code.NONE, message: null, head }
}
