/**
 * `node scripts/clients/librdkafkaChaos.ts [--kafka] [--records 10000] [--seconds 60] [--workers 3] [--seed N]
 * [--protocol classic|consumer] [--transaction-version 2] [--settle 90]`
 *
 * A pipeline of librdkafka workers copies records on the embedded broker, or with `--kafka` on a real one (one of its
 * own, or that of KAFKA_BOOTSTRAP), while they are killed (-9) and frozen beyond their session and their transaction's
 * timeout, some of them in the midst of a rebalance. Judged by the logs, and by whether the group let go of every frozen
 * member while it was frozen. Exit code: 0 exact, 1 violated, 2 undecided or no Python on this machine.
 */
import { Broker } from "@exactly-once/broker"
import { Apis } from "@exactly-once/protocol"
import { Ledger, Probe } from "@exactly-once/testkit"
import { Effect, Fiber } from "effect"
import { randomInt } from "node:crypto"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { parseArgs } from "node:util"
import { load } from "../chaos/load.ts"
import { type Random, random } from "../chaos/random.ts"
import { Worker } from "../chaos/supervisor.ts"
import { startCluster } from "../lib/kafkaCluster.ts"
import { missing, prepare, source, toolchains } from "./toolchains.ts"

const { values } = parseArgs({
  options: {
    "kafka": { type: "boolean", default: false },
    "records": { type: "string", default: "10000" },
    "seconds": { type: "string", default: "60" },
    "workers": { type: "string", default: "3" },
    "seed": { type: "string", default: String(randomInt(1_000_000)) },
    "protocol": { type: "string", default: "classic" },
    "transaction-version": { type: "string", default: "2" },
    "settle": { type: "string", default: "90" }
  }
})

const seconds = Number(values.seconds)
const seed = Number(values.seed)
const transactionVersion = values["transaction-version"] === "1" ? 1 : 2
const partitions = 6
const timeoutMs = 6_000
/**
 * How long the group may keep a frozen member. One that waits to join is not timed before the rebalance is over, and that
 * waits for the session of a dead member to end; then it is given a session of its own.
 */
const longestStay = 3 * timeoutMs
const text = new TextDecoder()

interface Tally {
  kills: number
  freezes: number
  /** Freezes during which another member came or went, so that the group was waiting for the frozen one to join. */
  amidRebalance: number
  /** How long the group kept each frozen member, in ms. */
  readonly evictions: Array<number>
  /** Frozen members that stayed in the group for too long. */
  kept: number
}

const embedded = Effect.gen(function*() {
  const broker = yield* Broker.make({
    nodes: 3,
    transactionVersion,
    groups: { consumerSessionTimeout: timeoutMs, consumerHeartbeatInterval: 1_000 }
  })
  return { bootstrap: broker.bootstrap, defects: broker.defects }
})

const given = process.env["KAFKA_BOOTSTRAP"]

const started = Effect.map(
  Effect.acquireRelease(
    Effect.promise(() =>
      startCluster({
        transactionVersion,
        properties: {
          "group.consumer.session.timeout.ms": String(timeoutMs),
          "group.consumer.heartbeat.interval.ms": "1000"
        }
      })
    ),
    (cluster) => Effect.promise(() => cluster.stop())
  ),
  ({ bootstrap }) => ({ bootstrap, defects: Effect.succeed<ReadonlyArray<unknown>>([]) })
)

const real = given === undefined || given === ""
  ? started
  : Effect.succeed({ bootstrap: given, defects: Effect.succeed<ReadonlyArray<unknown>>([]) })

const workers = (command: ReadonlyArray<string>, env: Readonly<Record<string, string>>, logs: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const all = Array.from(
        { length: Number(values.workers) },
        (_, index) => new Worker({ index, command, env, log: join(logs, `worker-${index}.log`) })
      )
      for (const worker of all) worker.start()
      return all
    }),
    // Stopping twice is harmless: this one is for the ways out that are not the end.
    (all) => Effect.promise(() => Promise.all(all.map((worker) => worker.stop(1_000))))
  )

/** The client ids of a group's members; each kind of group has a request of its own. */
const membersOf = (probe: Probe.Probe, groupId: string) =>
  Effect.gen(function*() {
    if (values.protocol === "classic") return (yield* probe.members(groupId)).members.map(({ clientId }) => clientId)
    const { request } = yield* probe.coordinator("group", groupId)
    const body = { groupIds: [groupId], includeAuthorizedOperations: false }
    const { groups } = yield* request(Apis.ConsumerGroupDescribe, 1, body)
    return groups.flatMap(({ members }) => members.map(({ clientId }) => clientId))
  })

/** Freezes a worker for a while, and until the group has let go of its member. */
const freeze = async (
  worker: Worker,
  atLeastMs: number,
  members: () => Promise<ReadonlySet<string>>,
  clientId: string,
  tally: Tally
): Promise<void> => {
  const since = Date.now()
  const evicted = async () => {
    // One that was just started may not have joined yet.
    if (!(await members()).has(clientId)) return
    while ((await members()).has(clientId)) {
      if (Date.now() - since > longestStay) {
        tally.kept++
        return
      }
      await sleep(100)
    }
    tally.evictions.push(Date.now() - since)
  }
  if (await worker.freeze(Promise.all([sleep(atLeastMs), evicted()]))) tally.freezes++
}

/** Faults until the time is over; never all workers at once. */
const torment = async (
  all: ReadonlyArray<Worker>,
  chance: Random,
  until: number,
  members: () => Promise<ReadonlySet<string>>,
  tally: Tally
): Promise<void> => {
  const frozen = new Map<number, Promise<void>>()
  while (Date.now() < until) {
    await sleep(chance.between(1_500, 4_000))
    const awake = all.map((_, index) => index).filter((index) => !frozen.has(index))
    const victim = awake[chance.between(0, awake.length - 1)]
    const kind = chance.between(0, 2)
    const forMs = timeoutMs + chance.between(1_500, 3_500)
    if (victim === undefined) continue
    if (kind === 0) {
      if (await all[victim]?.kill()) tally.kills++
      continue
    }
    const worker = all[victim]
    if (worker === undefined || awake.length < 2 || Date.now() + timeoutMs > until) continue
    frozen.set(victim, freeze(worker, forMs, members, `worker-${victim}`, tally).finally(() => frozen.delete(victim)))
    if (kind === 2) {
      const other = awake.filter((index) => index !== victim)[chance.between(0, awake.length - 2)]
      await sleep(chance.between(100, 1_500))
      if (other !== undefined && await all[other]?.kill()) {
        tally.kills++
        tally.amidRebalance++
      }
    }
  }
  await Promise.all(frozen.values())
}

const main = Effect.gen(function*() {
  const built = yield* Effect.promise(() => prepare(toolchains.python))
  const { bootstrap, defects } = yield* values.kafka ? real : embedded
  const probe = yield* Probe.make(bootstrap.split(","))
  const name = (part: string) => `librdkafka-${part}-${process.pid}-${seed}`
  const spec: Ledger.Spec = {
    input: name("in"),
    outputs: [name("out")],
    groupId: name("group"),
    id: (record) => text.decode(record.value ?? new Uint8Array(0))
  }
  yield* probe.createTopic(name("in"), partitions)
  yield* probe.createTopic(name("out"), partitions)
  const logs = mkdtempSync(join(tmpdir(), "librdkafka-chaos-"))
  console.log(
    `${values.kafka ? "Apache Kafka" : "embedded broker"}, transaction.version ${transactionVersion}: ` +
      `${values.workers} librdkafka workers, ${values.protocol} group, ${values.records} records over ${seconds} s, ` +
      `seed ${seed}, logs in ${logs}`
  )
  const command = [join(built, "venv", "bin", "python"), source("python", "worker.py")]
  const all = yield* workers(command, {
    KAFKA_BOOTSTRAP: bootstrap,
    IN_TOPIC: name("in"),
    OUT_TOPIC: name("out"),
    GROUP_ID: name("group"),
    GROUP_PROTOCOL: values.protocol,
    TXN_ID_PREFIX: name("txn"),
    TXN_TIMEOUT_MS: String(timeoutMs),
    SESSION_TIMEOUT_MS: String(timeoutMs)
  }, logs)
  const chance = random(seed)
  const tally: Tally = { kills: 0, freezes: 0, amidRebalance: 0, evictions: [], kept: 0 }
  const members = () => Effect.runPromise(Effect.map(membersOf(probe, spec.groupId), (ids) => new Set(ids)))
  const loading = yield* Effect.forkChild(load(probe, {
    topic: name("in"),
    partitions,
    records: Number(values.records),
    keys: 64,
    seconds,
    random: chance.fork(0)
  }))
  yield* Effect.promise(() => torment(all, chance.fork(1), Date.now() + seconds * 1_000, members, tally))
  const aborted = yield* Fiber.join(loading)
  const from = Date.now()
  const settled = yield* Ledger.settled(probe, spec, { within: Number(values.settle) * 1_000 })
  const settleMs = Date.now() - from
  const codes = yield* Effect.promise(() => Promise.all(all.map((worker) => worker.stop(15_000))))
  const report = yield* Ledger.audit(probe, spec)
  const wrong = yield* defects

  console.log(
    `faults: ${tally.kills} kills, ${tally.freezes} freezes (${tally.amidRebalance} amid a rebalance); ` +
      `${aborted} aborted records in the input`
  )
  console.log(
    `frozen members: ${tally.evictions.length} evicted after ${Math.min(...tally.evictions)} to ` +
      `${Math.max(...tally.evictions)} ms, ${tally.kept} not within ${longestStay} ms`
  )
  for (const [index, { exits, starts }] of all.entries()) {
    console.log(
      `worker ${index}: ${starts} starts, ${exits.killed} killed, ${exits.fenced} ended by a fatal error, ` +
        `other exits [${exits.others.join(", ")}], SIGTERM -> ${codes[index] ?? "killed"}`
    )
  }
  console.log(settled ? `settled after ${settleMs} ms` : `not settled within ${values.settle} s`)
  console.log(Ledger.format(report))
  for (const defect of wrong) console.log("thrown inside the broker:", defect)
  const unplanned = all.flatMap(({ exits }) => exits.others).length
  if (report.verdict === "Undecided" || tally.kills === 0 || tally.evictions.length === 0) {
    console.log("UNDECIDED: nothing was copied, or no member was frozen")
    return 2
  }
  return report.verdict === "Exact" && settled && tally.kept === 0 && wrong.length === 0 && unplanned === 0 ? 0 : 1
})

const absent = missing(toolchains.python)
if (absent !== undefined) {
  console.log(`skipped: ${absent}`)
  process.exitCode = 2
} else process.exitCode = await Effect.runPromise(Effect.scoped(main))
