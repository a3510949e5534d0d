/**
 * Judges a pipeline by what stands in the logs: every input record exactly once in the output at read_committed, the
 * order of each key kept, no transaction left open, the group's offsets at the end of the input.
 *
 * It reads with the suite's own client, streams, and keeps one number per input record and a few examples per finding.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { outputPartition } from "./internal/ledgerOutput.ts"
import { type Finding, isEmpty, type Tally, tally } from "./internal/tally.ts"
import type { Probe, RawRecord } from "./Probe.ts"
import type { RawError } from "./RawConnection.ts"

export type { Finding }

export interface Spec {
  readonly input: string
  /** Each input record is expected once in these topics together. */
  readonly outputs: ReadonlyArray<string>
  readonly groupId: string
  /** What makes a record the same in input and output. Unique within the input. */
  readonly id: (record: RawRecord) => string
  /** Records of one key must keep their order. The record's key as text unless told; `null`: without order. */
  readonly key?: (record: RawRecord) => string | null
  /** Whether an input record is expected in the output at all. Every one unless told. */
  readonly expected?: (record: RawRecord) => boolean
}

export interface PartitionLag {
  readonly topic: string
  readonly partition: number
  /** The group's committed offset, or the last stable offset. */
  readonly at: bigint
  /** Where it should stand. */
  readonly end: bigint
}

export interface Report {
  /** `Undecided` when nothing was expected, or when the logs are not at rest: never a pass. */
  readonly verdict: "Exact" | "Violated" | "Undecided"
  readonly expected: number
  /** Records visible at read_committed, duplicates counted. */
  readonly visible: number
  /** Records that read_uncommitted shows and read_committed must not. */
  readonly aborted: number
  readonly lost: Finding
  readonly duplicated: Finding
  /** Visible, but never put in. */
  readonly unexpected: Finding
  /** Visible before a record of the same key that was put in earlier. */
  readonly reordered: Finding
  /** Visible at read_committed although an abort marker decided them. */
  readonly abortedSeen: Finding
  /** Transactions still open on an output partition. */
  readonly open: Finding
  /** Partitions whose last stable offset stands before the end of the log. */
  readonly heldBack: ReadonlyArray<PartitionLag>
  /** Input partitions whose committed offset stands before the last record, or beyond the end. */
  readonly behind: ReadonlyArray<PartitionLag>
}

const text = new TextDecoder()
const keyText = (record: RawRecord): string | null => record.key === null ? null : text.decode(record.key)

/** What was put in: each id's position, in the order of its partition's log. */
const readInput = (probe: Probe, spec: Spec) =>
  Effect.gen(function*() {
    const ordinals = new Map<string, number>()
    const lastData: Array<bigint> = []
    const repeated = tally()
    const partitions = yield* probe.partitions(spec.input)
    for (let partition = 0; partition < partitions; partition++) {
      const end = yield* probe.offset(spec.input, partition, "lastStable")
      let at = yield* probe.offset(spec.input, partition, "earliest")
      let last = -1n
      while (at < end) {
        const fetched = yield* probe.fetch(spec.input, partition, at, { maxWaitMs: 500 })
        for (const batch of fetched.committed) {
          for (const record of batch.records) {
            if (record.offset < at) continue
            last = record.offset
            if (spec.expected?.(record) === false) continue
            const id = spec.id(record)
            if (ordinals.has(id)) repeated.add(id)
            ordinals.set(id, ordinals.size)
          }
        }
        at = fetched.nextOffset
      }
      lastData.push(last)
    }
    return { ordinals, lastData, repeated }
  })

const groupLag = (probe: Probe, spec: Spec, lastData: ReadonlyArray<bigint>) =>
  Effect.gen(function*() {
    const behind: Array<PartitionLag> = []
    for (const [partition, last] of lastData.entries()) {
      if (last < 0n) continue
      const { code, offset } = yield* probe.committed(spec.groupId, spec.input, partition, { stable: true })
      const end = yield* probe.offset(spec.input, partition, "end")
      if (code !== 0 || offset < last + 1n) behind.push({ topic: spec.input, partition, at: offset, end: last + 1n })
      else if (offset > end) behind.push({ topic: spec.input, partition, at: offset, end })
    }
    return behind
  })

const stability = (probe: Probe, topics: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const open = tally()
    const heldBack: Array<PartitionLag> = []
    for (const topic of topics) {
      const partitions = yield* probe.partitions(topic)
      for (let partition = 0; partition < partitions; partition++) {
        const end = yield* probe.offset(topic, partition, "end")
        const at = yield* probe.offset(topic, partition, "lastStable")
        if (at < end) heldBack.push({ topic, partition, at, end })
        for (const { producerId, startOffset } of yield* probe.openTransactions(topic, partition)) {
          open.add(`producer ${producerId} on ${topic}-${partition} since offset ${startOffset}`)
        }
      }
    }
    return { open, heldBack }
  })

const missing = (ordinals: ReadonlyMap<string, number>, seen: ReadonlyMap<string, number>): Tally => {
  const lost = tally()
  for (const id of ordinals.keys()) if (!seen.has(id)) lost.add(id)
  return lost
}

/** Reads input and output to their ends and judges. Waits for nothing: `settled` does. */
export const audit = (probe: Probe, spec: Spec): Effect.Effect<Report, RawError> =>
  Effect.gen(function*() {
    const { lastData, ordinals, repeated } = yield* readInput(probe, spec)
    const state = {
      ordinals,
      id: spec.id,
      key: spec.key ?? keyText,
      seen: new Map<string, number>(),
      duplicated: tally(),
      unexpected: tally(),
      reordered: tally(),
      abortedSeen: tally(),
      visible: 0,
      aborted: 0
    }
    for (const topic of spec.outputs) {
      const partitions = yield* probe.partitions(topic)
      for (let partition = 0; partition < partitions; partition++) {
        yield* outputPartition(probe, topic, partition, state)
      }
    }
    const lost = missing(ordinals, state.seen)
    const behind = yield* groupLag(probe, spec, lastData)
    const { heldBack, open } = yield* stability(probe, spec.outputs)
    const findings = [lost, state.duplicated, state.unexpected, state.reordered, state.abortedSeen, open]
    const violated = findings.some((finding) => !isEmpty(finding)) || heldBack.length > 0 || behind.length > 0
    // Ids that the input itself repeats cannot be told apart in the output, so nothing can be said about them.
    const undecided = ordinals.size === 0 || !isEmpty(repeated)
    return {
      verdict: undecided ? "Undecided" : violated ? "Violated" : "Exact",
      expected: ordinals.size,
      visible: state.visible,
      aborted: state.aborted,
      lost: lost.finding(),
      duplicated: state.duplicated.finding(),
      unexpected: state.unexpected.finding(),
      reordered: state.reordered.finding(),
      abortedSeen: state.abortedSeen.finding(),
      open: open.finding(),
      heldBack,
      behind
    }
  })

/**
 * Completes with `true` as soon as the group's offsets stand at the end of the input and no output is held back by an
 * open transaction; with `false` when that has not come about within `within` milliseconds.
 */
export const settled = (
  probe: Probe,
  spec: Spec,
  options: { readonly within: number }
): Effect.Effect<boolean, RawError> =>
  Effect.gen(function*() {
    const { lastData } = yield* readInput(probe, spec)
    const atRest = Effect.gen(function*() {
      const behind = yield* groupLag(probe, spec, lastData)
      if (behind.length > 0) return false
      return (yield* stability(probe, spec.outputs)).heldBack.length === 0
    })
    return yield* atRest.pipe(
      Effect.repeat({
        until: (done) => done,
        schedule: Schedule.spaced("200 millis").pipe(Schedule.upTo({ duration: options.within }))
      }),
      Effect.map((done) => done === true)
    )
  })

/** What is wrong, a line each; empty for an exact report. */
export const violations = (report: Report): ReadonlyArray<string> => {
  const lines: Array<string> = []
  const say = (what: string, finding: Finding) => {
    if (finding.count > 0) lines.push(`${finding.count} ${what}: ${finding.examples.join(", ")}`)
  }
  say("lost", report.lost)
  say("visible more than once", report.duplicated)
  say("never put in", report.unexpected)
  say("out of their key's order", report.reordered)
  say("visible although aborted", report.abortedSeen)
  say("open transactions", report.open)
  for (const { at, end, partition, topic } of report.heldBack) {
    lines.push(`${topic}-${partition} is held back: last stable offset ${at}, end ${end}`)
  }
  for (const { at, end, partition, topic } of report.behind) {
    lines.push(`${topic}-${partition}: the group stands at ${at} instead of ${end}`)
  }
  return lines
}

/** The report as text for people. */
export const format = (report: Report): string =>
  [
    `${report.verdict}: ${report.expected} put in, ${report.visible} visible at read_committed, ` +
    `${report.aborted} aborted records that read_uncommitted shows`,
    ...violations(report).map((line) => `  ${line}`)
  ].join("\n")
