/**
 * Which mechanism caught a fault, read off the wire and the logs: what the brokers answered the workers, and what markers
 * were written.
 */
import type { Probe, Proxy } from "@exactly-once/testkit"
import { Effect, Predicate } from "effect"

export interface Evidence {
  /** Abort markers written. */
  readonly aborted: number
  /** Requests of workers that a broker refused because another one owns the work by now. */
  readonly refused: number
  /** Produce requests that a broker knew for copies by their sequence numbers: answered with the offset of the first. */
  readonly deduplicated: number
}

const fencing: ReadonlySet<number> = new Set([22, 25, 47, 82, 90])
const guarded: ReadonlySet<string> = new Set([
  "Produce",
  "AddPartitionsToTxn",
  "AddOffsetsToTxn",
  "TxnOffsetCommit",
  "EndTxn",
  "OffsetCommit"
])

/** Every value under `name` in a decoded answer. */
const valuesOf = (body: unknown, name: string): ReadonlyArray<unknown> =>
  Array.isArray(body)
    ? body.flatMap((part) => valuesOf(part, name))
    : Predicate.isObject(body)
    ? Object.entries(body).flatMap(([key, value]) => key === name ? [value] : valuesOf(value, name))
    : []

const abortMarkers = (probe: Probe.Probe, topics: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    let markers = 0
    for (const topic of topics) {
      const partitions = yield* probe.partitions(topic)
      for (let partition = 0; partition < partitions; partition++) {
        const end = yield* probe.offset(topic, partition, "end")
        for (let at = 0n; at < end;) {
          const fetched = yield* probe.fetch(topic, partition, at, { isolation: "read_uncommitted", maxWaitMs: 200 })
          markers += fetched.batches.filter(({ marker }) => marker === "abort").length
          if (fetched.nextOffset <= at) break
          at = fetched.nextOffset
        }
      }
    }
    return markers
  })

/** What has happened from here on. */
export const collect = (probe: Probe.Probe, proxy: Proxy.Proxy["Service"], topics: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const from = yield* proxy.mark
    const before = yield* abortMarkers(probe, topics)
    return Effect.gen(function*() {
      const answers = (yield* proxy.journal(from)).filter(({ clientId, phase }) =>
        phase === "answered" && clientId !== null && clientId.startsWith("worker")
      )
      const refused = answers.filter(({ api, response }) =>
        guarded.has(api) && valuesOf(response(), "errorCode").some((code) => fencing.has(Number(code)))
      )
      const places = new Set<string>()
      let deduplicated = 0
      for (const { api, response } of answers) {
        if (api !== "Produce") continue
        const place = ["name", "topicId", "index", "baseOffset"].map((name) => valuesOf(response(), name).join()).join(
          "/"
        )
        if (places.has(place)) deduplicated++
        places.add(place)
      }
      const evidence: Evidence = {
        aborted: (yield* abortMarkers(probe, topics)) - before,
        refused: refused.length,
        deduplicated
      }
      return evidence
    })
  })

/** In words. */
export const describe = ({ aborted, deduplicated, refused }: Evidence): string =>
  [
    deduplicated > 0 ? "the sequence numbers" : "",
    refused > 0 ? "fencing" : "",
    aborted > 0 ? "the abort marker" : ""
  ].filter((part) => part !== "").join(" and ") || "nothing"
