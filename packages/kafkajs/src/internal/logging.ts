/**
 * kafkajs's log lines as Effect logs, at their own level, with the fields as annotations.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { KafkaJsLogger } from "./kafkajsInternals.ts"

export type ClientLogLevel = "nothing" | "error" | "warn" | "info" | "debug"

const levels = ["nothing", "error", "warn", "info", "debug"] as const

/** `context`: the services of the layer that owns the connections, its loggers among them. */
export const makeLogger = (level: ClientLogLevel, context: Context.Context<never>): KafkaJsLogger => {
  const run = Effect.runForkWith(context)
  const highest = levels.indexOf(level)
  const write = (
    at: ClientLogLevel,
    namespace: string,
    log: (...message: ReadonlyArray<unknown>) => Effect.Effect<void>
  ) =>
    levels.indexOf(at) > highest
      ? () => {}
      : (message: string, extra?: object) => {
        run(Effect.annotateLogs(log(message), { client: "kafkajs", namespace, ...extra }))
      }
  const named = (namespace: string): KafkaJsLogger => ({
    namespace: named,
    debug: write("debug", namespace, Effect.logDebug),
    info: write("info", namespace, Effect.logInfo),
    warn: write("warn", namespace, Effect.logWarning),
    error: write("error", namespace, Effect.logError)
  })
  return named("kafkajs")
}
