/** The measured runs. Each is checked from the outside; one that fails a check has `ok: false` and no numbers. */
import { setTimeout as sleep } from "node:timers/promises"
import { type Mode, type Peer, type PeerRun, runPeer } from "./peers.ts"
import { createTopic, deleteTopic, ensureInput, stableEnd, type Verification, verify } from "./Topics.ts"
import type { Cluster } from "./Wire.ts"

export interface Sizes {
  readonly records: number
  readonly partitions: number
  readonly commitMs: number
  /** Length of a W4 run. */
  readonly txnMs: number
}

export interface Row {
  readonly workload: string
  readonly peer: string
  readonly round: number
  readonly ok: boolean
  /** Why it is not ok. */
  readonly reason: string | undefined
  readonly numbers: Readonly<Record<string, number>>
  readonly verification: Verification | undefined
  readonly log: string
}

export type Measured = Omit<Row, "workload" | "peer" | "round">

let serial = 0
export const fresh = (kind: string, peer: Peer): string => `bench-${kind}-${peer.name}-${process.pid}-${++serial}`

/** When the output's last stable offset reached each value, polled; the measuring side's own clock for the end of a copy. */
const watch = (cluster: Cluster, topic: string, everyMs: number) => {
  let ended = false
  let value = 0
  let at = 0
  const poll = async () => {
    const seen = await stableEnd(cluster, topic)
    if (seen !== value) {
      value = seen
      at = Date.now()
    }
  }
  const loop = (async () => {
    while (!ended) {
      await poll()
      await sleep(everyMs)
    }
    await poll()
  })()
  return async (): Promise<number> => {
    ended = true
    await loop
    return at
  }
}

const objections = (run: PeerRun, verification: Verification, expected: number | undefined): string | undefined => {
  const { committed, count, duplicates, malformed, missing, open } = verification
  const found = [
    run.status === "0" ? "" : `status ${run.status}`,
    expected === undefined || count === expected ? "" : `${count} of ${expected} records`,
    expected === undefined || missing === 0 ? "" : `${missing} missing`,
    duplicates === 0 ? "" : `${duplicates} twice`,
    malformed === 0 ? "" : `${malformed} malformed`,
    open === 0 ? "" : `${open} offsets in open transactions`,
    committed === undefined || committed === count ? "" : `${committed} committed, ${count} in the output`
  ].filter((objection) => objection !== "")
  return found.length === 0 ? undefined : found.join(", ")
}

const measured = (
  run: PeerRun,
  verification: Verification,
  objection: string | undefined,
  numbers: Measured["numbers"]
): Measured => {
  const unmeasured = Object.entries(numbers).filter(([, value]) => !Number.isFinite(value)).map(([name]) => name)
  const reason = objection ?? (unmeasured.length > 0 ? `no ${unmeasured.join(", ")} in its answer` : undefined)
  return { ok: reason === undefined, reason, numbers: reason === undefined ? numbers : {}, verification, log: run.log }
}

/** Copies `records` in transactions that each commit with their offsets. */
export const copy = async (cluster: Cluster, bootstrap: string, peer: Peer, sizes: Sizes): Promise<Measured> => {
  const { commitMs, partitions, records } = sizes
  const input = await ensureInput(cluster, partitions, records)
  const output = fresh("out", peer)
  const group = fresh("group", peer)
  await createTopic(cluster, output, partitions)
  const stopWatching = watch(cluster, output, 10)
  const run = await runPeer(peer, {
    KAFKA_BOOTSTRAP: bootstrap,
    MODE: "copy" satisfies Mode,
    IN_TOPIC: input,
    OUT_TOPIC: output,
    GROUP: group,
    N: records,
    COMMIT_MS: commitMs
  }, 30_000 + records / 5)
  const verification = await verify(cluster, { topic: output, expected: records, input: { group, topic: input } })
  const lastMs = await stopWatching()
  await deleteTopic(cluster, output)
  const { first_ms = Number.NaN, txns = Number.NaN } = run.answer
  return measured(run, verification, objections(run, verification, records), {
    records_per_s: records / ((lastMs - first_ms) / 1000),
    cpu_s_per_million: run.cpuSeconds / records * 1e6,
    rss_mb: run.peakMegabytes,
    records_per_txn: records / txns,
    startup_s: (first_ms - run.startedMs) / 1000
  })
}

/** One record and its offset per transaction, for a fixed time. */
export const transactions = async (
  cluster: Cluster,
  bootstrap: string,
  peer: Peer,
  sizes: Sizes
): Promise<Measured> => {
  const input = await ensureInput(cluster, sizes.partitions, sizes.records)
  const output = fresh("out", peer)
  const group = fresh("group", peer)
  await createTopic(cluster, output, sizes.partitions)
  const run = await runPeer(peer, {
    KAFKA_BOOTSTRAP: bootstrap,
    MODE: "txn" satisfies Mode,
    IN_TOPIC: input,
    OUT_TOPIC: output,
    GROUP: group,
    N: 1,
    DURATION_MS: sizes.txnMs
  }, sizes.txnMs + 60_000)
  const verification = await verify(cluster, { topic: output, expected: sizes.records, input: { group, topic: input } })
  await deleteTopic(cluster, output)
  const { elapsed_ms = Number.NaN, max_ms = Number.NaN, p50_ms = Number.NaN, p99_ms = Number.NaN, txns = Number.NaN } =
    run.answer
  const fewer = verification.count < txns ? `${verification.count} records of ${txns} transactions` : undefined
  return measured(run, verification, objections(run, verification, undefined) ?? fewer, {
    txn_per_s: txns / elapsed_ms * 1000,
    p50_ms,
    p99_ms,
    max_ms,
    cpu_ms_per_txn: run.cpuSeconds * 1000 / txns
  })
}

/** Produces without transactions: idempotent, every replica's acknowledgement. */
export const produce = async (cluster: Cluster, bootstrap: string, peer: Peer, sizes: Sizes): Promise<Measured> => {
  const { partitions, records } = sizes
  const output = fresh("produced", peer)
  await createTopic(cluster, output, partitions)
  const run = await runPeer(peer, {
    KAFKA_BOOTSTRAP: bootstrap,
    MODE: "produce" satisfies Mode,
    IN_TOPIC: "-",
    OUT_TOPIC: output,
    GROUP: "-",
    N: records
  }, 30_000 + records / 5)
  const verification = await verify(cluster, { topic: output, expected: records })
  await deleteTopic(cluster, output)
  return measured(run, verification, objections(run, verification, records), {
    records_per_s: records / (run.answer["elapsed_ms"] ?? Number.NaN) * 1000,
    cpu_s_per_million: run.cpuSeconds / records * 1e6,
    rss_mb: run.peakMegabytes
  })
}
