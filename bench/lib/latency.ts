/** W2: how long after its production a record can be read from the output, at a steady rate. */
import { setTimeout as sleep } from "node:timers/promises"
import { type Peer, runPeer } from "./peers.ts"
import { now, Tally, timeOf } from "./records.ts"
import { createTopic, deleteTopic, Feeder, fetchCommitted } from "./Topics.ts"
import { Cluster } from "./Wire.ts"
import { fresh, type Measured, type Sizes } from "./workloads.ts"

interface LatencySizes extends Sizes {
  readonly rate: number
  readonly seconds: number
  /** Records of the first seconds are copied, and not measured. */
  readonly warmUpSeconds: number
}

const SETTLE_MS = 5000

/** Sends at the rate, each tick what is due. A batch is flushed every tick: no record waits for company. */
const feed = async (cluster: Cluster, topic: string, rate: number, total: number): Promise<void> => {
  const feeder = new Feeder(cluster, topic, await cluster.partitions(topic))
  const started = performance.now()
  for (let sequence = 0; sequence < total;) {
    const due = Math.min(total, Math.floor((performance.now() - started) / 1000 * rate) + 1)
    for (; sequence < due; sequence++) {
      const full = feeder.append(sequence)
      if (full !== undefined) await feeder.send(full)
    }
    await feeder.flush()
    await sleep(1)
  }
}

export const latency = async (
  cluster: Cluster,
  bootstrap: string,
  peer: Peer,
  sizes: LatencySizes
): Promise<Measured> => {
  const { partitions, rate, seconds, warmUpSeconds } = sizes
  const total = rate * (seconds + warmUpSeconds)
  const input = fresh("in", peer)
  const output = fresh("out", peer)
  await createTopic(cluster, input, partitions)
  await createTopic(cluster, output, partitions)
  const timeoutMs = (seconds + warmUpSeconds) * 1000 + SETTLE_MS + 60_000
  let over = false
  const running = runPeer(peer, {
    KAFKA_BOOTSTRAP: bootstrap,
    MODE: "copy",
    IN_TOPIC: input,
    OUT_TOPIC: output,
    GROUP: fresh("group", peer),
    N: total,
    COMMIT_MS: sizes.commitMs
  }, timeoutMs).finally(() => over = true)

  const tally = new Tally(total)
  const latencies: Array<number> = []
  // A long poll holds its connection, so every partition has a connection of its own.
  const readers = Array.from({ length: partitions }, async (_, partition) => {
    const own = new Cluster(bootstrap)
    // Where the peer has ended, one more fetch shows what it committed last.
    for (let offset = 0n, last = false; !last;) {
      last = over || tally.count >= total
      const { batches, next } = await fetchCommitted(own, { topic: output, partition, offset, maxWaitMs: 500 })
      const arrived = now()
      for (const batch of batches) {
        const cursor = batch.cursor()
        for (let record = cursor.next(); record !== undefined; record = cursor.next()) {
          const { value } = record
          if (tally.add(partition, value) < rate * warmUpSeconds || value === null) continue
          latencies.push((arrived - timeOf(value)) / 1000)
        }
      }
      offset = next
    }
    own.close()
  })
  await sleep(SETTLE_MS)
  await feed(cluster, input, rate, total)
  const run = await running
  await Promise.all(readers)
  await deleteTopic(cluster, input)
  await deleteTopic(cluster, output)

  const sorted = Float64Array.from(latencies).sort()
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN
  const { count, duplicates, inversions, malformed, missing } = tally
  const wrong = run.status !== "0" || count !== total || duplicates + malformed + missing > 0
  return {
    ok: !wrong,
    reason: wrong
      ? `status ${run.status}, ${count} of ${total} records, ${duplicates} twice, ${missing} missing`
      : undefined,
    numbers: wrong
      ? {}
      : { p50_ms: at(0.5), p90_ms: at(0.9), p99_ms: at(0.99), max_ms: at(1), cpu_s: run.cpuSeconds },
    verification: { count, duplicates, inversions, malformed, missing, open: 0, committed: undefined },
    log: run.log
  }
}
