/**
 * What a `read_committed` consumer may see of a fetched partition. The broker sends everything below the last stable offset, aborted
 * data and markers included, with a list of the aborted transactions; dropping them is the client's part.
 */
import * as ControlRecord from "./ControlRecord.ts"
import type { RecordBatch } from "./RecordBatch.ts"

/** An aborted transaction of a fetch response. One producer may have many in one response. */
export interface AbortedTransaction {
  readonly producerId: bigint
  /** The offset of the transaction's first record in this partition. */
  readonly firstOffset: bigint
}

const byFirstOffset = (a: AbortedTransaction, b: AbortedTransaction): number =>
  a.firstOffset < b.firstOffset ? -1 : a.firstOffset > b.firstOffset ? 1 : 0

/**
 * The data batches that are committed, in order. `batches` are those of one partition, in offset order; `aborted` may be in any order,
 * or null as brokers send it for none.
 *
 * A producer's data is aborted from the `firstOffset` of an entry up to that producer's next abort marker, or to the end of the response
 * when the marker lies beyond. Several ranges of one producer are several entries, each ended by its own marker; so this walks entries and batches
 * side by side rather than keeping one range per producer. Transactional data alone is dropped: a producer id may also write without a transaction.
 */
export const visible = (
  batches: ReadonlyArray<RecordBatch>,
  aborted: ReadonlyArray<AbortedTransaction> | null
): Array<RecordBatch> => {
  const entries = aborted === null || aborted.length < 2 ? aborted ?? [] : aborted.toSorted(byFirstOffset)
  if (entries.length === 0) return batches.filter((batch) => !batch.isControl)
  const aborting = new Set<bigint>()
  const kept: Array<RecordBatch> = []
  let next = 0
  for (const batch of batches) {
    const lastOffset = batch.lastOffset
    while (next < entries.length && entries[next]!.firstOffset <= lastOffset) aborting.add(entries[next++]!.producerId)
    if (batch.isControl) {
      // Compaction may leave a marker's batch without its record, to keep the producer's epoch; it says nothing then.
      const ends = batch.count > 0 && aborting.has(batch.producerId) &&
        ControlRecord.decode(batch).type === ControlRecord.ABORT
      if (ends) aborting.delete(batch.producerId)
    } else if (!batch.isTransactional || !aborting.has(batch.producerId)) kept.push(batch)
  }
  return kept
}

/** The offset to fetch next: one past the last batch, whether it was visible or not; `from` when there is none. */
export const nextOffset = (batches: ReadonlyArray<RecordBatch>, from: bigint): bigint => {
  const last = batches.at(-1)
  return last === undefined ? from : last.lastOffset + 1n
}
