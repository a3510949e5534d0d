/**
 * `npm run chaos -- [--seconds 60] [--workers 2] [--seed N] [--driver kafkajs] [--records 20000] [--plain]`
 *
 * Copies records through worker processes on a real Kafka while they are killed (-9) and frozen (SIGSTOP beyond the
 * transaction and session timeouts) at random, lets things settle, and judges by the logs. `--plain` runs the loop that
 * kafkajs documents instead. Exit code: 0 exact, 1 violated, 2 undecided (no fault fired, or nothing was copied).
 */
import { Ledger, Probe } from "@exactly-once/testkit"
import { Effect, Fiber } from "effect"
import { randomInt } from "node:crypto"
import { existsSync, mkdtempSync, readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { parseArgs } from "node:util"
import { load } from "./chaos/load.ts"
import { type Random, random } from "./chaos/random.ts"
import { Worker } from "./chaos/supervisor.ts"
import { startCluster } from "./lib/kafkaCluster.ts"

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    workers: { type: "string", default: "2" },
    seed: { type: "string", default: String(randomInt(1_000_000)) },
    driver: { type: "string", default: "kafkajs" },
    records: { type: "string", default: "20000" },
    settle: { type: "string", default: "60" },
    plain: { type: "boolean", default: false }
  }
})

const number = (name: "seconds" | "workers" | "seed" | "records" | "settle"): number => {
  const value = Number(values[name])
  if (Number.isInteger(value) && value >= 0) return value
  console.error(`--${name} wants a whole number, not '${values[name]}'`)
  process.exit(64)
}

const seconds = number("seconds")
const seed = number("seed")
const partitions = 4
const timeoutMs = 4_000
const text = new TextDecoder()

interface Faults {
  kills: number
  freezes: number
}

/** Faults one worker until the time is over. A freeze outlasts the transaction and the session. */
const torment = async (worker: Worker, chance: Random, until: number, faults: Faults): Promise<void> => {
  for (;;) {
    await sleep(chance.between(1_500, 6_000))
    const freezeMs = timeoutMs + chance.between(1_500, 3_500)
    const freeze = chance.next() < 0.5
    if (Date.now() + (freeze ? freezeMs : 0) > until) return
    if (freeze) {
      if (await worker.freeze(freezeMs)) faults.freezes++
    } else if (await worker.kill()) faults.kills++
  }
}

const cluster = Effect.acquireRelease(
  Effect.promise(async () => {
    const given = process.env["KAFKA_BOOTSTRAP"]
    if (given !== undefined && given !== "") return { bootstrap: given, stop: () => Promise.resolve() }
    return startCluster({ properties: { "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500" } })
  }),
  ({ stop }) => Effect.promise(stop)
)

const workers = (env: Readonly<Record<string, string>>, logs: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const script = join(import.meta.dirname, values.plain ? "chaos/plainWorker.ts" : "../examples/worker.ts")
      const all = Array.from(
        { length: number("workers") },
        (_, index) =>
          new Worker({ index, command: [process.execPath, script], env, log: join(logs, `worker-${index}.log`) })
      )
      for (const worker of all) worker.start()
      return all
    }),
    // Stopping twice is harmless: this one is for the ways out that are not the end.
    (all) => Effect.promise(() => Promise.all(all.map((worker) => worker.stop(1_000))))
  )

const tail = (file: string): string =>
  existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n").slice(-15).join("\n") : ""

const main = Effect.gen(function*() {
  const { bootstrap } = yield* cluster
  const probe = yield* Probe.make(bootstrap.split(","))
  const name = (part: string) => `chaos-${part}-${process.pid}-${seed}`
  const input = name("in")
  const output = name("out")
  yield* probe.createTopic(input, partitions)
  yield* probe.createTopic(output, partitions)
  const logs = mkdtempSync(join(tmpdir(), "chaos-"))
  console.log(
    `chaos: ${values.plain ? "plain kafkajs loop" : `driver ${values.driver}`}, ${values.workers} workers, ` +
      `${values.records} records over ${seconds} s, seed ${seed}, logs in ${logs}`
  )
  const all = yield* workers({
    KAFKA_BOOTSTRAP: bootstrap,
    IN_TOPIC: input,
    OUT_TOPIC: output,
    GROUP_ID: name("group"),
    TXN_ID_PREFIX: name("txn"),
    TXN_TIMEOUT_MS: String(timeoutMs),
    SESSION_TIMEOUT_MS: String(timeoutMs),
    DRIVER: values.driver
  }, logs)
  const chance = random(seed)
  const faults: Faults = { kills: 0, freezes: 0 }
  const until = Date.now() + seconds * 1_000
  const loading = yield* Effect.forkChild(load(probe, {
    topic: input,
    partitions,
    records: number("records"),
    keys: 64,
    seconds,
    random: chance.fork(0)
  }))
  yield* Effect.promise(() =>
    Promise.all(all.map((worker, index) => torment(worker, chance.fork(index + 1), until, faults)))
  )
  const aborted = yield* Fiber.join(loading)
  const spec: Ledger.Spec = {
    input,
    outputs: [output],
    groupId: name("group"),
    id: (record) => text.decode(record.value ?? new Uint8Array(0))
  }
  const settleFrom = Date.now()
  const settled = yield* Ledger.settled(probe, spec, { within: number("settle") * 1_000 })
  const settleMs = Date.now() - settleFrom
  const codes = yield* Effect.promise(() => Promise.all(all.map((worker) => worker.stop(10_000))))
  const report = yield* Ledger.audit(probe, spec)

  console.log(`faults: ${faults.kills} kills, ${faults.freezes} freezes; ${aborted} aborted records in the input`)
  for (const [index, { exits, starts }] of all.entries()) {
    console.log(
      `worker ${index}: ${starts} starts, ${exits.killed} killed, ${exits.fenced} stopped as fenced, ` +
        `${exits.clashed} as replica clash, other exits [${exits.others.join(", ")}], SIGTERM -> ${
          codes[index] ?? "killed"
        }`
    )
  }
  console.log(settled ? `settled after ${settleMs} ms` : `not settled within ${values.settle} s`)
  console.log(Ledger.format(report))
  const decided = faults.kills + faults.freezes > 0 && report.visible > 0 && report.verdict !== "Undecided"
  if (!decided) {
    console.log("UNDECIDED: no fault fired, or nothing was copied")
    return 2
  }
  if (report.verdict === "Exact" && settled && codes.every((code) => code === 0 || code === "SIGTERM")) return 0
  if (report.verdict === "Exact" && !values.plain) {
    console.log("VIOLATED: it did not settle, or SIGTERM did not end a worker with 0")
  }
  for (const index of all.keys()) {
    console.log(`--- worker ${index}, last lines\n${tail(join(logs, `worker-${index}.log`))}`)
  }
  return 1
})

process.exitCode = await Effect.runPromise(Effect.scoped(main))
