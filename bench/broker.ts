/**
 * `npm run bench:broker [-- --records 1000000 --only start,leak,produce,transactions,memory]`
 *
 * How much the embedded broker takes and costs, each figure beside what is asked of it: how fast one starts, what a
 * thousand of them leave behind, records per second of unmodified clients, one-record transactions per second, memory
 * with a million records in it. The broker under load is a process of its own. Exit code 1 when a figure falls short.
 * With KAFKA_BOOTSTRAP the clients' figures are those of that cluster, to compare.
 */
import { Probe } from "@exactly-once/testkit"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { parseArgs } from "node:util"
import { type Client, franzGo, librdkafka } from "../scripts/clients/clients.ts"
import { runProgram } from "../scripts/clients/run.ts"
import { missing, prepare } from "../scripts/clients/toolchains.ts"
import { transactionsPerSecond } from "./lib/brokerTransactions.ts"

const { values } = parseArgs({
  options: {
    records: { type: "string", default: "1000000" },
    only: { type: "string", default: "start,leak,produce,transactions,memory" }
  }
})
const records = Number(values.records)
const wanted = new Set(values.only.split(","))
const given = process.env["KAFKA_BOOTSTRAP"]
const own = given === undefined || given === ""

interface Row {
  readonly what: string
  readonly figure: number
  readonly unit: string
  readonly bound?: { readonly atLeast?: number; readonly atMost?: number }
}

const rows: Array<Row> = []
const holds = ({ bound, figure }: Row) =>
  figure >= (bound?.atLeast ?? -Infinity) && figure <= (bound?.atMost ?? Infinity)

const print = (row: Row): void => {
  rows.push(row)
  const { atLeast, atMost } = row.bound ?? {}
  const asked = atLeast !== undefined ?
    `at least ${atLeast.toLocaleString("en")}` :
    atMost !== undefined
    ? `at most ${atMost.toLocaleString("en")}`
    : ""
  const number = row.figure.toLocaleString("en", { maximumFractionDigits: row.figure < 100 ? 1 : 0 })
  console.log(
    `${row.what.padEnd(64)} ${number.padStart(12)} ${row.unit.padEnd(16)} ${asked}${holds(row) ? "" : "  NOT MET"}`
  )
}

/** A broker in a process of its own. */
const broker = Effect.acquireRelease(
  Effect.promise(async () => {
    const bin = join(import.meta.dirname, "..", "packages", "broker", "src", "bin.ts")
    const child = spawn(process.execPath, [bin, "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] })
    const stop = () => child.kill("SIGKILL")
    process.once("exit", stop)
    const exited = once(child, "exit")
    void exited.then(() => process.off("exit", stop))
    for await (const line of createInterface(child.stdout)) {
      const address = /^listening on (.+)$/.exec(line)?.[1]
      if (address !== undefined && child.pid !== undefined) return { bootstrap: address, pid: child.pid, child, exited }
    }
    throw new Error("the broker did not start")
  }),
  ({ child, exited }) =>
    Effect.promise(async () => {
      child.kill("SIGTERM")
      await exited
    })
)

const target = own ? broker : Effect.succeed({ bootstrap: given, pid: undefined })

/** Resident memory of a process in MB, now and at its highest; Linux. */
const memory = (pid: number) => {
  const status = readFileSync(`/proc/${pid}/status`, "utf8")
  const megabytes = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? NaN) / 1024
  return { now: megabytes("VmRSS"), peak: megabytes("VmHWM") }
}

const flow = async (client: Client, name: string, bootstrap: string, scope: string): Promise<number> => {
  const command = [...client.command(await prepare(client.toolchain)), name]
  const env = { KAFKA_BOOTSTRAP: bootstrap, SCOPE: scope, RECORDS: String(records) }
  const { saw } = await runProgram(command, env, 300_000)
  return Number(saw["records"]) / (Number(saw["elapsedMs"]) / 1000)
}

let scopes = 0

/** Runs a client over a topic of four partitions; answers its records per second. */
const measure = (bootstrap: string, client: Client, ...names: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const scope = `bench-${process.pid}-${++scopes}`
    const probe = yield* Probe.make(bootstrap.split(","))
    yield* probe.createTopic(`${scope}-out`, 4)
    const rates: Array<number> = []
    for (const name of names) rates.push(yield* Effect.promise(() => flow(client, name, bootstrap, scope)))
    return rates
  })

const produce = (client: Client) =>
  Effect.gen(function*() {
    const absent = missing(client.toolchain)
    if (absent !== undefined) return console.log(`${client.name}: skipped, ${absent}`)
    const { bootstrap } = yield* target
    // The first run finds code that is not compiled yet.
    for (const run of ["the first run", "the second run"]) {
      const [rate = 0] = yield* measure(bootstrap, client, "load")
      const bound = own ? { bound: { atLeast: 150_000 } } : {}
      print({ what: `produced by ${client.name}, ${run}`, figure: rate, unit: "records/s", ...bound })
    }
  })

const million = Effect.gen(function*() {
  const absent = missing(franzGo.toolchain)
  if (absent !== undefined) return console.log(`memory: skipped, ${absent}`)
  const { bootstrap, pid } = yield* target
  const empty = pid === undefined ? undefined : memory(pid)
  const [into = 0, out = 0] = yield* measure(bootstrap, franzGo, "load", "drain")
  print({ what: `in: ${records.toLocaleString("en")} records`, figure: into, unit: "records/s" })
  print({ what: "out, read_committed", figure: out, unit: "records/s" })
  if (pid === undefined || empty === undefined) return
  const full = memory(pid)
  print({ what: "memory of the broker's process, empty", figure: empty.now, unit: "MB" })
  print({ what: "at its highest, the records in and out", figure: full.peak, unit: "MB", bound: { atMost: 400 } })
})

const transactions = Effect.gen(function*() {
  const { bootstrap } = yield* target
  for (const lanes of [1, 1, 8]) {
    const rate = yield* Effect.promise(() => transactionsPerSecond(bootstrap, lanes, 4_000))
    const what = `one-record transactions, ${lanes === 1 ? "one connection" : `${lanes} connections`}`
    print({ what, figure: rate, unit: "transactions/s", ...own ? { bound: { atLeast: 2_000 } } : {} })
  }
})

/** Runs a script of ours alone in a process, and answers its last line. */
const alone = (script: string, ...flags: ReadonlyArray<string>) =>
  Effect.promise(() => runProgram([process.execPath, ...flags, join(import.meta.dirname, "lib", script)], {}, 300_000))

const starts = Effect.gen(function*() {
  const { saw } = yield* alone("brokerStarts.ts")
  print({
    what: "start of the first broker of a process",
    figure: Number(saw["first"]),
    unit: "ms",
    bound: { atMost: 50 }
  })
  print({ what: "start of a later one, median", figure: Number(saw["median"]), unit: "ms", bound: { atMost: 50 } })
  print({ what: "slowest of a hundred", figure: Number(saw["slowest"]), unit: "ms", bound: { atMost: 50 } })
})

const leak = Effect.gen(function*() {
  const { saw } = yield* alone("brokerLeak.ts", "--expose-gc")
  print({
    what: "brokers still held after 1,000 were started, used and stopped",
    figure: Number(saw["alive"]),
    unit: "",
    bound: { atMost: 0 }
  })
  print({
    what: "heap that the 1,000 left behind",
    figure: Number(saw["heapMegabytes"]),
    unit: "MB",
    bound: { atMost: 5 }
  })
  print({
    what: "sockets, servers and timers left behind",
    figure: Number(saw["resources"]),
    unit: "",
    bound: { atMost: 0 }
  })
})

const main = Effect.gen(function*() {
  console.log(`Node ${process.version}, ${own ? "the embedded broker" : given}`)
  if (own && wanted.has("start")) yield* starts
  if (own && wanted.has("leak")) yield* leak
  if (wanted.has("transactions")) yield* Effect.scoped(transactions)
  if (wanted.has("produce")) { for (const client of [franzGo, librdkafka]) yield* Effect.scoped(produce(client)) }
  if (wanted.has("memory")) yield* Effect.scoped(million)
})

await Effect.runPromise(Effect.scoped(main))
process.exitCode = rows.every(holds) ? 0 : 1
