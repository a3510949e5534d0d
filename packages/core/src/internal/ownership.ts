/**
 * Which partitions are ours, since when, and where each stands. Mutable and synchronous: a driver's callbacks and the
 * transactions ask it between two awaits, and every answer is one map look-up.
 */
import type { Offset } from "../Offset.ts"
import { format, type TopicPartition } from "../TopicPartition.ts"

interface Owned {
  /** Raised at every assignment and every rewind; never used twice. */
  ownership: number
  revoking: boolean
  /** Where the next batch has to begin. */
  position: Offset
  /** Where the last batch ended whose transaction began. */
  begun: Offset
}

export interface Ownership {
  readonly assign: (tp: TopicPartition, position: Offset) => void
  /** Still ours, but no new transaction may begin on it. */
  readonly revoking: (tp: TopicPartition) => void
  readonly drop: (tp: TopicPartition) => void
  /** Moves the position back and makes every batch delivered before stale. */
  readonly rewind: (tp: TopicPartition, position: Offset) => void
  /** Where to go back to when a batch that began at `start` is given up: not past one before it that has not begun. */
  readonly resume: (tp: TopicPartition, start: Offset) => Offset
  /** Hands out a range: answers the ownership it is delivered under; undefined when not ours, or not where we stand. */
  readonly deliver: (
    tp: TopicPartition,
    start: Offset,
    next: Offset
  ) => { readonly start: Offset; readonly ownership: number } | undefined
  /** Held without a break since `ownership` was handed out. */
  readonly holds: (tp: TopicPartition, ownership: number) => boolean
  /** `holds`, and not being given away: a transaction may begin. */
  readonly mayBegin: (tp: TopicPartition, ownership: number) => boolean
  /** Every batch before the one at `start` has begun: later offsets must not be committed first. */
  readonly isNext: (tp: TopicPartition, start: Offset) => boolean
  readonly begin: (tp: TopicPartition, next: Offset) => void
  readonly owns: (tp: TopicPartition) => boolean
  /** Where the next batch has to begin. */
  readonly position: (tp: TopicPartition) => Offset | undefined
  readonly all: () => ReadonlyArray<TopicPartition>
}

export const make = (): Ownership => {
  const owned = new Map<string, Owned & { readonly tp: TopicPartition }>()
  let last = 0
  return {
    assign: (tp, position) => {
      owned.set(format(tp), { tp, ownership: ++last, revoking: false, position, begun: position })
    },
    revoking: (tp) => {
      const entry = owned.get(format(tp))
      if (entry !== undefined) entry.revoking = true
    },
    drop: (tp) => {
      owned.delete(format(tp))
    },
    rewind: (tp, position) => {
      const entry = owned.get(format(tp))
      if (entry === undefined) return
      entry.ownership = ++last
      entry.position = position
      entry.begun = position
    },
    resume: (tp, start) => {
      const begun = owned.get(format(tp))?.begun
      return begun !== undefined && begun < start ? begun : start
    },
    deliver: (tp, start, next) => {
      const entry = owned.get(format(tp))
      if (entry === undefined || entry.revoking || entry.position !== start) return undefined
      entry.position = next
      return { start, ownership: entry.ownership }
    },
    holds: (tp, ownership) => owned.get(format(tp))?.ownership === ownership,
    mayBegin: (tp, ownership) => {
      const entry = owned.get(format(tp))
      return entry !== undefined && entry.ownership === ownership && !entry.revoking
    },
    isNext: (tp, start) => owned.get(format(tp))?.begun === start,
    begin: (tp, next) => {
      const entry = owned.get(format(tp))
      if (entry !== undefined) entry.begun = next
    },
    owns: (tp) => owned.has(format(tp)),
    position: (tp) => owned.get(format(tp))?.position,
    all: () => Array.from(owned.values(), (entry) => entry.tp)
  }
}
