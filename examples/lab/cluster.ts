/**
 * The lab's Kafka: embedded in this process, or a real one. The embedded one can have its clocks advanced; on a real one
 * the time that a session needs to expire is waited for.
 */
import { Broker } from "@exactly-once/broker"
import { Config, Effect, Option, type Scope } from "effect"
import { startCluster } from "../../scripts/lib/kafkaCluster.ts"

export interface LabCluster {
  readonly bootstrap: ReadonlyArray<string>
  readonly name: string
  /** The coordinator counts as gone every member that is silent now. */
  readonly expireSessions: Effect.Effect<void>
}

/** Longer than the workers' sessions. */
const session = "8 seconds"

const embedded: Effect.Effect<LabCluster, unknown, Scope.Scope> = Effect.gen(function*() {
  const broker = yield* Broker.make()
  return {
    bootstrap: broker.addresses,
    name: "the embedded broker",
    expireSessions: broker.advance(session, "sessions")
  }
})

const waiting = (bootstrap: string, name: string): LabCluster => ({
  bootstrap: bootstrap.split(","),
  name,
  expireSessions: Effect.sleep(session)
})

const started: Effect.Effect<LabCluster, unknown, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.promise(() => startCluster({ name: `lab-${process.pid}` })),
    (running) => Effect.promise(() => running.stop())
  ),
  ({ bootstrap }) => waiting(bootstrap, "Apache Kafka 4.3.1")
)

/** `KAFKA_BOOTSTRAP`, else a real broker when asked for, else the embedded one. */
export const cluster = (real: boolean): Effect.Effect<LabCluster, unknown, Scope.Scope> =>
  Effect.flatMap(
    Config.option(Config.NonEmptyString("KAFKA_BOOTSTRAP")),
    (given) => Option.isSome(given) ? Effect.succeed(waiting(given.value, given.value)) : real ? started : embedded
  )
