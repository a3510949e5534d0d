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
  position: Offset
}

export interface Ownership {
  readonly assign: (tp: TopicPartition, position: Offset) => void
  /** Still ours, but no new transaction may begin on it. */
  readonly revoking: (tp: TopicPartition) => void
  readonly drop: (tp: TopicPartition) => void
  /** Moves the position back and makes every batch delivered before stale. */
  readonly rewind: (tp: TopicPartition, position: Offset) => void
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
      owned.set(format(tp), { tp, ownership: ++last, revoking: false, position })
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
    owns: (tp) => owned.has(format(tp)),
    position: (tp) => owned.get(format(tp))?.position,
    all: () => Array.from(owned.values(), (entry) => entry.tp)
  }
}
