/**
 * What a reader downstream would count: read from the logs, by a client that shares no code with the drivers.
 */
import type { Probe } from "@exactly-once/testkit"
import { Effect } from "effect"

export interface Counts {
  readonly in: number
  readonly out: number
  readonly twice: number
  readonly lost: number
  /** Aborted records that the reader took for real ones. */
  readonly phantoms: number
}

const id = (value: Uint8Array | null): number => {
  const parsed: unknown = value === null ? undefined : JSON.parse(new TextDecoder().decode(value))
  return typeof parsed === "object" && parsed !== null && "id" in parsed ? Number(parsed.id) : -1
}

/** The ids of a topic's records, in the order of its partitions' logs. */
const readIds = (probe: Probe.Probe, topic: string, isolation: "read_committed" | "read_uncommitted") =>
  Effect.gen(function*() {
    const ids: Array<number> = []
    const partitions = yield* probe.partitions(topic)
    for (let partition = 0; partition < partitions; partition++) {
      const end = yield* probe.offset(topic, partition, isolation === "read_committed" ? "lastStable" : "end")
      for (let at = 0n; at < end;) {
        const fetched = yield* probe.fetch(topic, partition, at, { isolation, maxWaitMs: 200 })
        const batches = isolation === "read_committed" ? fetched.committed : fetched.batches
        for (const batch of batches) {
          if (batch.marker === undefined) { for (const { value } of batch.records) ids.push(id(value)) }
        }
        if (fetched.nextOffset <= at) break
        at = fetched.nextOffset
      }
    }
    return ids
  })

/** Counts what came out of the flights `from` up to `to`. */
export const count = (
  probe: Probe.Probe,
  outputs: ReadonlyArray<string>,
  reader: "read_committed" | "read_uncommitted",
  from: number,
  to: number
) =>
  Effect.gen(function*() {
    const within = (ids: ReadonlyArray<number>) => ids.filter((found) => found >= from && found < to)
    const committed = within(
      (yield* Effect.forEach(outputs, (topic) => readIds(probe, topic, "read_committed"))).flat()
    )
    const seen = reader === "read_committed"
      ? committed
      : within((yield* Effect.forEach(outputs, (topic) => readIds(probe, topic, reader))).flat())
    const distinct = new Set(committed).size
    const counts: Counts = {
      in: to - from,
      out: seen.length,
      twice: committed.length - distinct,
      lost: to - from - distinct,
      phantoms: seen.length - committed.length
    }
    return counts
  })
