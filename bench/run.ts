/**
 * `npm run bench`: peers side by side on one broker, in interleaved rounds, every run checked. See bench/README.md for
 * the workloads and for what a peer has to do.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs"
import { arch, cpus, totalmem } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { startCluster } from "../scripts/lib/kafkaCluster.ts"
import { latency } from "./lib/latency.ts"
import { type Peer, readPeers, results, root } from "./lib/peers.ts"
import { tables } from "./lib/report.ts"
import { Cluster } from "./lib/Wire.ts"
import { copy, produce, type Row, type Sizes, transactions } from "./lib/workloads.ts"

const { values } = parseArgs({
  options: {
    workloads: { type: "string", default: "W1,W4" },
    peers: { type: "string" },
    baseline: { type: "string" },
    rounds: { type: "string", default: "3" },
    records: { type: "string", default: "500000" },
    partitions: { type: "string", default: "4" },
    "commit-ms": { type: "string", default: "100" },
    "txn-ms": { type: "string", default: "8000" },
    "latency-s": { type: "string", default: "20" },
    // PARTITIONSxRECORDS, by commas
    w5: { type: "string", default: "1x300000,16x300000,4x100000" },
    out: { type: "string", default: "bench" }
  }
})

const integer = (name: "rounds" | "records" | "partitions" | "commit-ms" | "txn-ms" | "latency-s"): number => {
  const number = Number(values[name])
  if (!Number.isSafeInteger(number) || number < 1) throw new Error(`--${name} ${values[name]}: a positive whole number`)
  return number
}

const sizes: Sizes = {
  records: integer("records"),
  partitions: integer("partitions"),
  commitMs: integer("commit-ms"),
  txnMs: integer("txn-ms")
}
const rounds = integer("rounds")
const latencySeconds = integer("latency-s")

const known = readPeers()
const present = (peer: Peer) =>
  peer.command.slice(1).every((word) => !word.startsWith("bench/") || existsSync(join(root, word)))
const chosen = (values.peers?.split(",") ?? [...known.keys()]).flatMap((name) => {
  const peer = known.get(name)
  if (peer === undefined) throw new Error(`no peer ${name}; there are ${[...known.keys()].join(", ")}`)
  if (present(peer)) return [peer]
  console.error(`${name} is left out: ${peer.command.join(" ")} is not there`)
  return []
})
const baseline = values.baseline ?? chosen[0]?.name
if (baseline === undefined) throw new Error("no peer to measure")

type Runner = (cluster: Cluster, bootstrap: string, peer: Peer) => ReturnType<typeof copy>

const runners = (
  workload: string
): ReadonlyArray<readonly [label: string, mode: Peer["modes"][number], run: Runner]> => {
  switch (workload) {
    case "W1":
      return [["W1", "copy", (...args) => copy(...args, sizes)]]
    case "W2":
      return [[
        "W2",
        "copy",
        (...args) => latency(...args, { ...sizes, seconds: latencySeconds, rate: 5000, warmUpSeconds: 2 })
      ]]
    case "W3":
      return [["W3", "produce", (...args) => produce(...args, sizes)]]
    case "W4":
      return [["W4", "txn", (...args) => transactions(...args, sizes)]]
    case "W5":
      return values.w5.split(",").map((shape) => {
        const [partitions = 0, records = 0] = shape.split("x").map(Number)
        return [`W5 ${shape}`, "copy", (...args) => copy(...args, { ...sizes, partitions, records })]
      })
    default:
      throw new Error(`no workload ${workload}; there are W1 to W5`)
  }
}

const external = process.env["KAFKA_BOOTSTRAP"] ?? ""
const broker = external === "" ? await startCluster({ profile: "bench" }) : undefined
const bootstrap = broker?.bootstrap ?? external
const cluster = new Cluster(bootstrap)
const rows: Array<Row> = []

try {
  // A broker that was just started runs uncompiled code and is several times slower.
  const warmUp = chosen[0]
  if (broker !== undefined && warmUp !== undefined) {
    console.error(`warm-up: ${warmUp.name}`)
    await copy(cluster, bootstrap, warmUp, { ...sizes, records: Math.min(sizes.records, 200_000) })
  }
  for (const workload of values.workloads.split(",")) {
    for (const [label, mode, run] of runners(workload)) {
      const able = chosen.filter(({ modes }) => modes.includes(mode))
      for (let round = 0; round < rounds; round++) {
        // Each round starts with another peer.
        const first = round % Math.max(1, able.length)
        for (const peer of [...able.slice(first), ...able.slice(0, first)]) {
          const row: Row = { workload: label, peer: peer.name, round, ...await run(cluster, bootstrap, peer) }
          rows.push(row)
          const numbers = Object.entries(row.numbers).map(([name, value]) => `${name} ${value.toFixed(2)}`).join("  ")
          console.error(
            `${label} round ${round} ${peer.name}: ${row.ok ? numbers : `FAILED, ${row.reason} (${row.log})`}`
          )
        }
      }
    }
  }
} finally {
  cluster.close()
  await broker?.stop()
}

const machine = `${cpus().length} x ${cpus()[0]?.model ?? arch()}, ${
  Math.round(totalmem() / 2 ** 30)
} GiB, Node ${process.version}`
const table = `${tables(rows, baseline)}\nmin / median / max of ${rounds} rounds, ratios inside a round. ${machine}.`
mkdirSync(results, { recursive: true })
const file = join(results, `${values.out}.json`)
writeFileSync(file, JSON.stringify({ at: new Date().toISOString(), machine, sizes, rounds, rows }, undefined, 2))
writeFileSync(join(results, `${values.out}.md`), `${table}\n`)
console.log(table)
console.error(`rows: ${file}`)
if (rows.some(({ ok }) => !ok)) process.exitCode = 1
