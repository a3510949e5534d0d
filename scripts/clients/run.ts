/**
 * Runs one flow of one client against one broker, and looks at what it left behind with a client of our own.
 *
 * A flow is a program's run with KAFKA_BOOTSTRAP and SCOPE in its environment, and RECORDS where there is an input. It
 * uses the topics SCOPE-in and SCOPE-out (three partitions each, made before it starts), the group SCOPE-group and the
 * transactional.id SCOPE-id, and its last line is a JSON object of what it saw:
 *
 * - `produce`: writes 300 records idempotently and reads them back;
 * - `transactions`: commits ten records, aborts ten, commits ten, and reads at both isolation levels;
 * - `copy`: copies the input in transactions with their offsets, aborting every third one (`copy848`: in a KIP-848 group);
 * - `fence`: a second producer of the same id comes while the first has a transaction open; the first then commits;
 * - `timeout`: a transaction outlives its timeout, is then committed, and a new producer of the id follows;
 * - `crash` and `restart`: a process ends with its transaction open, another one takes the id over;
 * - `stale`: a member commits offsets with the group metadata of before a rebalance, then with the present one;
 * - `member848`: a member of a KIP-848 group commits an offset inside a transaction and outside of one;
 * - `counts`, `countsCrash`: Kafka Streams counts by key, ended without warning in the midst of it and started again.
 */
import { Ledger, Probe } from "@exactly-once/testkit"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import type { Client } from "./clients.ts"
import { prepare } from "./toolchains.ts"

export type Saw = Readonly<Record<string, unknown>>

interface Flow {
  /** A run of the program that comes before. */
  readonly first?: string
  readonly input?: boolean
  readonly check?: (probe: Probe.Probe, scope: string) => Effect.Effect<Saw, unknown>
}

const PARTITIONS = 3
const PER_PARTITION = 200
const utf8 = new TextEncoder()
const text = new TextDecoder()
const textOf = (bytes: Uint8Array | null) => bytes === null ? "" : text.decode(bytes)

/** Every input record once in the output, in order, and the group's offsets at the end. */
const audit = (probe: Probe.Probe, scope: string) =>
  Effect.gen(function*() {
    const spec: Ledger.Spec = {
      input: `${scope}-in`,
      outputs: [`${scope}-out`],
      groupId: `${scope}-group`,
      // The copy's values are in upper case.
      id: (record) => textOf(record.value).toLowerCase()
    }
    const report = yield* Ledger.audit(probe, spec)
    return report.verdict === "Exact" ? { verdict: "Exact" } : { verdict: Ledger.format(report) }
  })

/** For every key the counts 1, 2, 3 … in order, up to the number of its records. */
const counts = (probe: Probe.Probe, scope: string) =>
  Effect.gen(function*() {
    const reached = new Map<string, number>()
    const wrong: Array<string> = []
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const end = yield* probe.offset(`${scope}-out`, partition, "lastStable")
      for (let at = 0n; at < end;) {
        const fetched = yield* probe.fetch(`${scope}-out`, partition, at, { maxWaitMs: 500 })
        for (const { key, value } of fetched.committed.flatMap(({ records }) => records)) {
          const name = textOf(key)
          const expected = (reached.get(name) ?? 0) + 1
          if (Number(textOf(value)) !== expected) wrong.push(`${name}: ${textOf(value)} instead of ${expected}`)
          reached.set(name, expected)
        }
        at = fetched.nextOffset
      }
    }
    const total = [...reached.values()].reduce((sum, count) => sum + count, 0)
    return { keys: reached.size, total, wrong: wrong.slice(0, 10) }
  })

const flows: Readonly<Record<string, Flow>> = {
  produce: {},
  transactions: {},
  copy: { input: true, check: audit },
  fence: {},
  timeout: {},
  restart: { first: "crash" },
  stale: { input: true },
  copy848: { input: true, check: audit },
  stale848: { input: true },
  member848: { input: true },
  counts: { first: "countsCrash", input: true, check: counts }
}

export interface Ran {
  readonly saw: Saw
  /** Everything that the program said. */
  readonly output: string
}

/** Runs a program to its end; its last line that is an object is what it saw. */
export const runProgram = (
  command: ReadonlyArray<string>,
  env: Readonly<Record<string, string>>,
  withinMs: number
): Promise<Ran> =>
  new Promise((resolve, reject) => {
    const [file = "", ...args] = existsSync("/usr/bin/setpriv")
      ? ["/usr/bin/setpriv", "--pdeathsig", "KILL", ...command]
      : command
    const child = spawn(file, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] })
    let output = ""
    child.stdout.on("data", (chunk: Buffer) => output += chunk.toString())
    child.stderr.on("data", (chunk: Buffer) => output += chunk.toString())
    const timer = setTimeout(() => {
      output += `\nkilled after ${withinMs} ms`
      child.kill("SIGKILL")
    }, withinMs)
    child.once("error", reject)
    child.once("close", (code) => {
      clearTimeout(timer)
      const line = output.split("\n").findLast((it) => it.startsWith("{"))
      if (code === 0 && line !== undefined) resolve({ saw: JSON.parse(line), output })
      else reject(new Error(`${command.join(" ")} ended with ${code}:\n${output.slice(-6_000)}`))
    })
  })

const input = (probe: Probe.Probe, topic: string, perPartition: number) =>
  Effect.forEach(Array.from({ length: PARTITIONS }, (_, partition) => partition), (partition) =>
    probe.produce(
      topic,
      partition,
      Array.from({ length: perPartition }, (_, index) => ({
        key: utf8.encode(`key-${partition}-${index % 5}`),
        value: utf8.encode(`v${partition}-${index}`),
        headers: []
      }))
    ))

/** Transactions that a flow has left open, and output that no committed reader gets to see. */
const leftOpen = (probe: Probe.Probe, topic: string) =>
  Effect.gen(function*() {
    let open = 0
    for (let partition = 0; partition < PARTITIONS; partition++) {
      open += (yield* probe.openTransactions(topic, partition)).length
      const end = yield* probe.offset(topic, partition, "end")
      if ((yield* probe.offset(topic, partition, "lastStable")) < end) open++
    }
    return open
  })

let runs = 0

export interface RunOptions {
  /** Records in each of the input's three partitions; 200 unless told. */
  readonly perPartition?: number
  /** Goes on for as long as the program runs, given the names that it uses. */
  readonly during?: (names: Names) => Effect.Effect<never>
}

export interface Names {
  readonly topics: ReadonlyArray<string>
  readonly group: string
  readonly transactionalId: string
}

/** What a client's flow saw, with what our own client found afterwards. */
export const runFlow = async (
  client: Client,
  name: string,
  bootstrap: string,
  options: RunOptions = {}
): Promise<Saw> => {
  const { during = () => Effect.never, perPartition = PER_PARTITION } = options
  const flow = flows[name]
  if (flow === undefined) throw new Error(`there is no flow ${name}`)
  const command = client.command(await prepare(client.toolchain))
  const scope = `${client.name.replace(/[^a-z0-9]+/gi, "-")}-${name}-${process.pid}-${++runs}`.replace(/^-/, "")
  const given = { KAFKA_BOOTSTRAP: bootstrap, SCOPE: scope, RECORDS: String(PARTITIONS * perPartition) }
  const names = {
    topics: [`${scope}-in`, `${scope}-out`],
    group: `${scope}-group`,
    transactionalId: `${scope}-id`
  }
  return Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const probe = yield* Probe.make(bootstrap.split(","))
    yield* probe.createTopic(`${scope}-in`, PARTITIONS)
    yield* probe.createTopic(`${scope}-out`, PARTITIONS)
    if (flow.input === true) yield* input(probe, `${scope}-in`, perPartition)
    const { first } = flow
    if (first !== undefined) yield* Effect.promise(() => runProgram([...command, first], given, 60_000))
    const run = Effect.promise(() => runProgram([...command, name], given, 90_000))
    const { saw } = yield* Effect.raceFirst(run, during(names))
    const found = flow.check === undefined ? {} : yield* flow.check(probe, scope)
    return { ...saw, ...found, open: yield* leftOpen(probe, `${scope}-out`) }
  })))
}
