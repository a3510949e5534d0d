/** `npm run kafka -- start|stop|status`: a real Apache Kafka on this machine. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect, Option, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { type Cluster, runningClusters, startCluster } from "./lib/kafkaCluster.ts"
import { home } from "./lib/kafkaJars.ts"
import { exclusively } from "./lib/processes.ts"

class KafkaCommandFailed extends Schema.TaggedError<KafkaCommandFailed>()("KafkaCommandFailed", {
  message: Schema.String
}) {}

const failed = (cause: unknown) =>
  new KafkaCommandFailed({ message: cause instanceof Error ? cause.message : String(cause) })

const port = Flag.Int("port").pipe(
  Flag.filter((n) => n > 0 && n < 65_536, () => "a port from 1 to 65535"),
  Flag.withDescription("Port of the first broker; the others follow. A free one unless given"),
  Flag.optional
)
const name = Flag.String("name").pipe(
  Flag.withDescription("Several clusters can run side by side, each under its name"),
  Flag.optional
)
const brokers = Flag.Literals("brokers", ["1", "3"]).pipe(Flag.withDefault("1" as const))
const transactionVersion = Flag.Literals("transaction-version", ["1", "2"]).pipe(Flag.withDefault("2" as const))
const profile = Flag.Literals("profile", ["test", "bench"]).pipe(
  Flag.withDescription("test: small and with short sessions; bench: Kafka's defaults"),
  Flag.withDefault("test" as const)
)

const chosen = (options: { readonly name: Option.Option<string>; readonly port: Option.Option<number> }) =>
  Option.orElse(options.name, () => Option.map(options.port, (number) => `port-${number}`))

const describe = (cluster: Cluster) =>
  `transaction.version ${cluster.transactionVersion}, pids ${cluster.pids.join(", ")}, ${cluster.directory}`

const external = Effect.sync(() => Option.fromUndefinedOr(process.env["KAFKA_BOOTSTRAP"] || undefined))

const start = Command.make(
  "start",
  { brokers, name, port, profile, transactionVersion },
  Effect.fn(function*(options) {
    const there = yield* external
    if (Option.isSome(there)) {
      yield* Console.error("KAFKA_BOOTSTRAP is set: nothing to start")
      return yield* Console.log(`KAFKA_BOOTSTRAP=${there.value}`)
    }
    const clusterName = Option.getOrElse(chosen(options), () => "default")
    const wanted = {
      brokers: options.brokers === "3" ? 3 : 1,
      transactionVersion: options.transactionVersion === "1" ? 1 : 2
    } as const
    const cluster = yield* Effect.tryPromise({
      try: () =>
        exclusively(`${home}/${clusterName}.lock`, async () => {
          const up = runningClusters().get(clusterName)
          if (up === undefined) {
            const at = Option.match(options.port, { onNone: () => ({}), onSome: (number) => ({ port: number }) })
            return startCluster({ ...wanted, ...at, name: clusterName, profile: options.profile })
          }
          if (up.pids.length === wanted.brokers && up.transactionVersion === wanted.transactionVersion) return up
          throw new Error(
            `${clusterName} runs already, differently (${describe(up)}): stop it first, or choose a --name`
          )
        }),
      catch: failed
    })
    yield* Console.error(`Apache Kafka answers: ${describe(cluster)}`)
    yield* Console.log(`KAFKA_BOOTSTRAP=${cluster.bootstrap}`)
  })
).pipe(Command.withDescription("Start Apache Kafka and wait until it answers"))

/** The cluster that is meant: the one named, else `default`, else the only one. */
const select = (options: { readonly name: Option.Option<string>; readonly port: Option.Option<number> }) =>
  Effect.gen(function*() {
    const clusters = runningClusters()
    const wanted = chosen(options)
    if (Option.isSome(wanted)) return Option.fromUndefinedOr(clusters.get(wanted.value))
    const usual = clusters.get("default")
    if (usual !== undefined || clusters.size < 2) return Option.fromUndefinedOr(usual ?? [...clusters.values()][0])
    return yield* new KafkaCommandFailed({ message: `which one? --name ${[...clusters.keys()].join(" | ")}` })
  })

const stop = Command.make(
  "stop",
  { name, port },
  Effect.fn(function*(options) {
    const cluster = yield* select(options)
    if (Option.isNone(cluster)) return yield* Console.log("not running")
    const was = describe(cluster.value)
    yield* Effect.tryPromise({ try: () => cluster.value.stop(), catch: failed })
    yield* Console.log(`stopped: ${was}`)
  })
).pipe(Command.withDescription("Stop what start has started; the data stays"))

const status = Command.make(
  "status",
  { name, port },
  Effect.fn(function*(options) {
    const wanted = chosen(options)
    const clusters = [...runningClusters()].filter(([key]) => Option.isNone(wanted) || key === wanted.value)
    for (const [key, cluster] of clusters) {
      yield* Console.log(`${key}: running, ${describe(cluster)}\nKAFKA_BOOTSTRAP=${cluster.bootstrap}`)
    }
    if (clusters.length > 0) return
    yield* Console.log("not running")
    process.exitCode = 1
  })
).pipe(Command.withDescription("Say what runs; exit 1 when nothing does"))

const kafka = Command.make("kafka").pipe(
  Command.withDescription("A real Apache Kafka 4.3.1 on this machine's JDK"),
  Command.withSubcommands([start, stop, status])
)

Command.run(kafka, { version: "4.3.1" }).pipe(
  Effect.catchTag(
    "KafkaCommandFailed",
    (error) => Effect.andThen(Console.error(error.message), Effect.sync(() => process.exitCode = 1))
  ),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
