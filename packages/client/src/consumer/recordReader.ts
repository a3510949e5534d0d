/**
 * From the bytes of a fetched partition to its committed records: one pass over each batch, one small object per record.
 */
import { Driver } from "@exactly-once/core"
import {
  type Codecs,
  CorruptBatch,
  type FetchResponse,
  ReadCommitted,
  RecordBatch,
  UnknownCodec
} from "@exactly-once/protocol"
import { LazyRecord } from "./LazyRecord.ts"

export interface Read {
  readonly records: ReadonlyArray<LazyRecord>
  /** Past the last batch, whether anything of it was visible or not (R2). */
  readonly nextOffset: bigint
}

export interface ReadOptions {
  readonly topic: string
  readonly partition: number
  readonly bytes: Uint8Array
  /** Records below it were not asked for: a batch begins where it was written, not where it is fetched. */
  readonly fetchOffset: bigint
  readonly aborted: ReadonlyArray<FetchResponse.AbortedTransaction> | null
  readonly codecs: Codecs.Codecs
}

const codecNames = ["none", "gzip", "snappy", "lz4", "zstd"]

const text = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause)

const unreadable = (
  { partition, topic }: ReadOptions,
  offset: bigint,
  cause: unknown
): Driver.DriverError => {
  const place = `${topic}-${partition}`
  const about = { operation: "poll", topic, partition, offset, cause }
  if (cause instanceof UnknownCodec) {
    const name = codecNames[cause.compression] ?? `type ${cause.compression}`
    return new Driver.DriverError({
      ...about,
      failure: "Misconfigured",
      setting: "codecs",
      description: `${place} is compressed with ${name} at offset ${offset} and there is no such codec here: ` +
        "pass one as a `codecs` option"
    })
  }
  return new Driver.DriverError({
    ...about,
    failure: "CorruptRecord",
    description: cause instanceof CorruptBatch
      ? `the batch at offset ${offset} of ${place} does not match its checksum`
      : `the batch at offset ${offset} of ${place} cannot be read: ${text(cause)}`
  })
}

/** The committed records from `fetchOffset` on, or why they cannot be read: the position stays before what is damaged. */
export const readRecords = (options: ReadOptions): Read | Driver.DriverError => {
  const { aborted, bytes, codecs, fetchOffset, partition, topic } = options
  const records: Array<LazyRecord> = []
  let at = fetchOffset
  try {
    const { batches } = RecordBatch.split(bytes)
    for (const batch of batches) {
      at = batch.baseOffset
      batch.verify(codecs.crc32c)
    }
    for (const batch of ReadCommitted.visible(batches, aborted)) {
      at = batch.baseOffset
      if (batch.lastOffset < fetchOffset) continue
      const cursor = batch.cursor(codecs)
      let view = cursor.next()
      if (view === undefined) continue
      const source = { topic, partition, batch, baseOffset: at, bytes: view.bytes }
      const skipped = Number(fetchOffset - at)
      for (; view !== undefined; view = cursor.next()) {
        if (view.offsetDelta >= skipped) records.push(new LazyRecord(source, view))
      }
    }
    const next = ReadCommitted.nextOffset(batches, fetchOffset)
    return { records, nextOffset: next > fetchOffset ? next : fetchOffset }
  } catch (cause) {
    return unreadable(options, at, cause)
  }
}
