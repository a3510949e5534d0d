/**
 * Cuts what a driver fetched into batches of at most `maxRecords`, and gives the driver's batch back when its last slice
 * is. Driver-independent: a fetch cannot be asked for fewer records than a record batch holds.
 */
import type { FetchedBatch } from "../Driver.ts"
import { type Offset, offsetUnsafe } from "../Offset.ts"
import { format, type TopicPartition } from "../TopicPartition.ts"

interface Cut {
  readonly whole: FetchedBatch
  /** Where the last slice ended. */
  start: Offset
  /** The record that the next slice begins with. */
  next: number
  out: number
  /** Rewound: what is left of it is stale. */
  dropped: boolean
}

export interface Slices {
  /** The slices that may go out at once. */
  readonly admit: (batch: FetchedBatch) => ReadonlyArray<FetchedBatch>
  /** A slice came back: another one may go out, or the driver gets its batch back, or neither yet. */
  readonly giveBack: (slice: FetchedBatch) => {
    readonly next: FetchedBatch | undefined
    readonly whole: FetchedBatch | undefined
  }
  /** The partition was rewound: no further slice of what was fetched goes out. */
  readonly drop: (tp: TopicPartition) => void
}

export const make = (maxRecords: number, outAtOnce: number): Slices => {
  const cuts = new Map<FetchedBatch, Cut>()

  const take = (cut: Cut): FetchedBatch | undefined => {
    const { whole } = cut
    if (cut.dropped || cut.next >= whole.records.length || cut.out >= outAtOnce) return undefined
    const records = whole.records.slice(cut.next, cut.next + maxRecords)
    cut.next += records.length
    cut.out += 1
    const following = whole.records[cut.next]
    // Up to the record that follows, so that gaps of aborted and control records are never left over.
    const nextOffset = following === undefined ? whole.nextOffset : offsetUnsafe(following.offset)
    const slice: FetchedBatch = { ...whole, records, startOffset: cut.start, nextOffset }
    cut.start = nextOffset
    cuts.set(slice, cut)
    return slice
  }

  return {
    admit: (batch) => {
      if (batch.records.length <= maxRecords) return [batch]
      const cut: Cut = { whole: batch, start: batch.startOffset, next: 0, out: 0, dropped: false }
      const slices: Array<FetchedBatch> = []
      for (let slice = take(cut); slice !== undefined; slice = take(cut)) slices.push(slice)
      return slices
    },
    giveBack: (slice) => {
      const cut = cuts.get(slice)
      if (cut === undefined) return { next: undefined, whole: slice }
      cuts.delete(slice)
      cut.out -= 1
      const next = take(cut)
      return { next, whole: next === undefined && cut.out === 0 ? cut.whole : undefined }
    },
    drop: (tp) => {
      const key = format(tp)
      for (const cut of cuts.values()) if (format(cut.whole) === key) cut.dropped = true
    }
  }
}
