/**
 * One output partition, read twice: at read_uncommitted, where the markers in the log say what was aborted, and at
 * read_committed, as consumers see it. The first reading checks the second.
 */
import * as Effect from "effect/Effect"
import type { Probe, RawRecord } from "../Probe.ts"
import type { RawError } from "../RawConnection.ts"
import type { Tally } from "./tally.ts"

export interface OutputState {
  readonly ordinals: ReadonlyMap<string, number>
  readonly id: (record: RawRecord) => string
  readonly key: (record: RawRecord) => string | null
  readonly seen: Map<string, number>
  readonly duplicated: Tally
  readonly unexpected: Tally
  readonly reordered: Tally
  readonly abortedSeen: Tally
  visible: number
  aborted: number
}

/** Base offsets of batches that a marker aborted, by the log alone. */
const abortedBatches = (probe: Probe, topic: string, partition: number, from: bigint, end: bigint) =>
  Effect.gen(function*() {
    const undecided = new Map<bigint, Array<{ readonly baseOffset: bigint; readonly records: number }>>()
    const aborted = new Set<bigint>()
    let records = 0
    for (let at = from; at < end;) {
      const fetched = yield* probe.fetch(topic, partition, at, { isolation: "read_uncommitted", maxWaitMs: 500 })
      for (const batch of fetched.batches) {
        if (batch.marker === undefined) {
          if (batch.transactional) {
            // Counts alone: the records of an open transaction may be many.
            const entry = { baseOffset: batch.baseOffset, records: batch.records.length }
            const open = undecided.get(batch.producerId)
            if (open === undefined) undecided.set(batch.producerId, [entry])
            else open.push(entry)
          }
          continue
        }
        if (batch.marker === "abort") {
          for (const entry of undecided.get(batch.producerId) ?? []) {
            aborted.add(entry.baseOffset)
            records += entry.records
          }
        }
        undecided.delete(batch.producerId)
      }
      at = fetched.nextOffset
    }
    return { aborted, records }
  })

const enter = (record: RawRecord, state: OutputState, lastOfKey: Map<string, number>): void => {
  state.visible++
  const id = state.id(record)
  const ordinal = state.ordinals.get(id)
  if (ordinal === undefined) {
    state.unexpected.add(id)
    return
  }
  const times = (state.seen.get(id) ?? 0) + 1
  state.seen.set(id, times)
  if (times > 1) {
    state.duplicated.add(id)
    return
  }
  const key = state.key(record)
  if (key === null) return
  if (ordinal < (lastOfKey.get(key) ?? -1)) state.reordered.add(id)
  else lastOfKey.set(key, ordinal)
}

/** Enters what read_committed shows of a partition. */
export const outputPartition = (
  probe: Probe,
  topic: string,
  partition: number,
  state: OutputState
): Effect.Effect<void, RawError> =>
  Effect.gen(function*() {
    const from = yield* probe.offset(topic, partition, "earliest")
    const end = yield* probe.offset(topic, partition, "lastStable")
    const { aborted, records } = yield* abortedBatches(probe, topic, partition, from, end)
    state.aborted += records
    const lastOfKey = new Map<string, number>()
    for (let at = from; at < end;) {
      const fetched = yield* probe.fetch(topic, partition, at, { maxWaitMs: 500 })
      for (const batch of fetched.committed) {
        for (const record of batch.records) {
          if (record.offset < at) continue
          if (aborted.has(batch.baseOffset)) state.abortedSeen.add(`${topic}-${partition}@${record.offset}`)
          enter(record, state, lastOfKey)
        }
      }
      at = fetched.nextOffset
    }
  })
