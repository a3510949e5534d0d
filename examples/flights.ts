/**
 * Exactly-once on real data: 20,000 flights through two workers, of which one is killed with -9 while its outputs are
 * written and not committed. Then a fresh read_committed consumer counts.
 *
 *   npm start                                  starts a Kafka of its own
 *   KAFKA_BOOTSTRAP=localhost:9092 npm start   uses one that is there
 */
import { NodeRuntime } from "@effect/platform-node"
import { IdempotentProducer } from "@exactly-once/core"
import { Ledger, Probe } from "@exactly-once/testkit"
import { Array as Arr, Config, Console, Data, Effect, Layer, Option, Schedule } from "effect"
import { type ChildProcess, fork } from "node:child_process"
import { randomUUID } from "node:crypto"
import { startCluster } from "../scripts/lib/kafkaCluster.ts"
import { driverFor } from "./driver.ts"
import { readFlights } from "./flights/data.ts"
import { topics } from "./flights/topics.ts"

class Differs extends Data.TaggedError("Differs")<{ readonly message: string }> {}

const partitions = 4
const recordsPerSend = 250
/** Seconds after which a run that stands still is given up. */
const patience = 60

const cluster = Effect.gen(function*() {
  const given = yield* Config.option(Config.NonEmptyString("KAFKA_BOOTSTRAP"))
  if (Option.isSome(given)) return given.value
  yield* Console.log("Starting a Kafka broker (KAFKA_BOOTSTRAP names one that is there) ...")
  const started = yield* Effect.acquireRelease(
    Effect.tryPromise({
      try: () => startCluster({ name: `flights-${process.pid}` }),
      catch: (cause) => new Differs({ message: cause instanceof Error ? cause.message : String(cause) })
    }),
    (running) => Effect.promise(() => running.stop())
  )
  return started.bootstrap
})

/** A worker process; killed when the scope closes, should it still run. */
const startWorker = (index: number, env: NodeJS.ProcessEnv) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      fork(new URL("./flights/worker.ts", import.meta.url), [String(index)], { stdio: "inherit", env })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

const next = (child: ChildProcess, event: "message" | "exit") =>
  Effect.callback<void>((resume) => {
    const done = () => resume(Effect.void)
    child.once(event, done)
    return Effect.sync(() => child.off(event, done))
  }).pipe(Effect.timeoutOrElse({
    duration: `${patience} seconds`,
    orElse: () =>
      Effect.fail(new Differs({ message: `no ${event} of worker process ${child.pid} within ${patience} s` }))
  }))

const percent = (part: number, whole: number) => `${Math.round(100 * part / whole)} %`.padStart(5)

const main = Effect.gen(function*() {
  const bootstrap = yield* cluster
  const run = randomUUID().slice(0, 8)
  const environment = { ...process.env, KAFKA_BOOTSTRAP: bootstrap, FLIGHTS_RUN: run }
  const { flights: input, groupId, late, punctual } = topics(run)
  const probe = yield* Probe.make(bootstrap.split(","))

  for (const topic of [input, late, punctual]) yield* probe.createTopic(topic.name, partitions)
  const flights = readFlights()
  // A fetch returns whole record batches, so small ones make small transactions, and many.
  yield* Effect.provide(
    Effect.forEach(Arr.chunksOf(flights, recordsPerSend), (some) => IdempotentProducer.send(input, some), {
      discard: true
    }),
    IdempotentProducer.layer().pipe(Layer.provide(driverFor(bootstrap)))
  )
  yield* Console.log(`${flights.length} flights loaded into ${input.name}, ${partitions} partitions`)

  const processed = Effect.map(
    Effect.forEach(
      Array.from({ length: partitions }, (_, partition) => partition),
      (partition) => probe.committed(groupId, input.name, partition)
    ),
    (offsets) => offsets.reduce((sum, { offset }) => sum + Number(offset > 0n ? offset : 0n), 0)
  )
  const reach = (share: number) =>
    processed.pipe(
      Effect.repeat({ until: (done) => done >= share * flights.length, schedule: Schedule.spaced("50 millis") }),
      Effect.timeoutOrElse({
        duration: `${patience} seconds`,
        orElse: () => Effect.fail(new Differs({ message: `no progress to ${percent(share, 1)} within ${patience} s` }))
      })
    )
  const say = (text: string) =>
    Effect.flatMap(processed, (done) => Console.log(`  ${percent(done, flights.length)}  ${text}`))

  const first = yield* startWorker(1, environment)
  yield* say("worker 1 starts")
  yield* reach(0.2)
  const second = yield* startWorker(2, environment)
  yield* say("worker 2 joins: the group shares the partitions out anew")
  yield* next(second, "message")
  yield* reach(0.5)
  // Its outputs are written and not committed: what a consumer at read_uncommitted would count twice.
  yield* next(first, "message")
  first.kill("SIGKILL")
  yield* next(first, "exit")
  yield* say("worker 1 was killed with -9 in the middle of a transaction; worker 2 takes over")
  yield* reach(0.9)
  yield* say("worker 2 has all partitions")
  yield* reach(1)
  yield* say("all flights are committed")
  second.kill("SIGTERM")
  yield* next(second, "exit")

  const spec: Ledger.Spec = {
    input: input.name,
    outputs: [late.name, punctual.name],
    groupId,
    id: ({ value }) => String(JSON.parse(value === null ? "{}" : new TextDecoder().decode(value)).id)
  }
  yield* Ledger.settled(probe, spec, { within: 30_000 })
  const report = yield* Ledger.audit(probe, spec)
  yield* Console.log([
    "",
    "Counted by a fresh read_committed consumer:",
    `  records in             ${report.expected}`,
    `  records out            ${report.visible}`,
    `  twice                  ${report.duplicated.count}`,
    `  lost                   ${report.lost.count}`,
    `  out of order           ${report.reordered.count}`,
    `  open transactions      ${report.open.count}`,
    `  aborted, not seen      ${report.aborted}   (read_uncommitted would have counted them)`,
    ""
  ].join("\n"))
  if (report.verdict !== "Exact" || report.visible !== flights.length) {
    return yield* new Differs({ message: Ledger.format(report) })
  }
  if (second.exitCode !== 0) {
    return yield* new Differs({ message: `worker 2 ended with ${second.exitCode} after SIGTERM` })
  }
  yield* Console.log("Exactly once.")
})

NodeRuntime.runMain(Effect.scoped(main))
