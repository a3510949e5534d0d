/**
 * Fills the input topic over the length of a run: committed records with a key and a sequence number each, and between
 * them transactions that abort, whose records nobody may copy.
 */
import type { Probe } from "@exactly-once/testkit"
import { Effect } from "effect"
import type { Random } from "./random.ts"

export interface LoadOptions {
  readonly topic: string
  readonly partitions: number
  readonly records: number
  readonly keys: number
  readonly seconds: number
  readonly random: Random
}

const utf8 = new TextEncoder()

const stepMs = 100

const record = (key: number, sequence: number | string): Probe.NewRecord => ({
  key: utf8.encode(`key-${key}`),
  value: utf8.encode(`key-${key}/${sequence}`),
  headers: [["sequence", utf8.encode(String(sequence))]]
})

/** The records of one step by partition. A key keeps its partition, so its order is that of the log. */
const draw = (options: LoadOptions, sequences: Array<number>, count: number) => {
  const byPartition = Array.from({ length: options.partitions }, (): Array<Probe.NewRecord> => [])
  for (let i = 0; i < count; i++) {
    const key = options.random.between(0, options.keys - 1)
    const sequence = sequences[key] ?? 0
    sequences[key] = sequence + 1
    byPartition[key % options.partitions]?.push(record(key, sequence))
  }
  return byPartition
}

/** Writes all records; answers with how many aborted ones lie between them. */
export const load = (probe: Probe.Probe, options: LoadOptions) =>
  Effect.gen(function*() {
    const sequences: Array<number> = []
    const foreign = yield* probe.transaction(`${options.topic}-foreign`, 60_000)
    const steps = Math.max(1, Math.floor((options.seconds * 1_000) / stepMs))
    const started = Date.now()
    let written = 0
    let aborted = 0
    for (let step = 1; step <= steps; step++) {
      const target = Math.floor((options.records * step) / steps)
      const byPartition = draw(options, sequences, target - written)
      written = target
      const abort = options.random.next() < 0.1
      for (const [partition, records] of byPartition.entries()) {
        if (records.length === 0) continue
        if (abort) {
          yield* foreign.produce(options.topic, partition, [record(partition, `aborted-${step}`)])
          aborted++
        }
        yield* probe.produce(options.topic, partition, records)
      }
      if (abort) yield* foreign.end(false)
      const ahead = started + step * stepMs - Date.now()
      if (ahead > 0) yield* Effect.sleep(ahead)
    }
    return aborted
  })
