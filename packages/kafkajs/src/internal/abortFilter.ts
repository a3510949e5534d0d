/**
 * Which record batches of one partition's fetch response a read_committed reader sees (R21).
 *
 * The broker answers with the batches as they stand in the log, aborted ones included, and with the list of aborted
 * transactions that overlap them: producer id and first offset, in the order in which they were completed. A producer's
 * data is aborted from the first offset of an entry to its abort marker, which may lie behind the response. One producer
 * may have several entries, transactions of several producers interleave, and a marker is known by its control bit: a
 * user's key may look exactly like a marker's.
 */

export interface AbortedTransaction {
  readonly producerId: bigint
  readonly firstOffset: bigint
}

/** What the filter reads of a batch's head. */
export interface BatchHead {
  readonly producerId: bigint
  readonly lastOffset: bigint
  readonly transactional: boolean
  readonly control: boolean
  /** A control batch whose record is an abort marker. */
  readonly abortMarker: boolean
}

/** A filter for one response: ask it for each batch, in offset order. */
export const makeAbortFilter = (aborted: ReadonlyArray<AbortedTransaction>): (head: BatchHead) => boolean => {
  if (aborted.length === 0) return (head) => !head.control
  const waiting = aborted.toSorted((a, b) => a.firstOffset < b.firstOffset ? -1 : a.firstOffset > b.firstOffset ? 1 : 0)
  const open = new Set<bigint>()
  let next = 0
  return (head) => {
    for (
      let entry = waiting[next];
      entry !== undefined && entry.firstOffset <= head.lastOffset;
      entry = waiting[++next]
    ) {
      open.add(entry.producerId)
    }
    if (head.abortMarker) open.delete(head.producerId)
    return !head.control && !(head.transactional && open.has(head.producerId))
  }
}
