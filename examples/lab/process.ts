/**
 * Worker processes that can be killed, frozen and thawed.
 */
import { Effect, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { Row } from "./rows.ts"

export interface Worker {
  readonly name: string
  readonly kill: Effect.Effect<void>
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  /** SIGTERM, and its end; -9 should it not come. */
  readonly stop: Effect.Effect<void>
}

const ended = (child: ChildProcess): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    const done = () => resume(Effect.void)
    child.once("exit", done)
    return Effect.sync(() => child.off("exit", done))
  })

const signal = (child: ChildProcess, name: NodeJS.Signals) => Effect.sync(() => void child.kill(name))

/** Ends with the scope at the latest. */
export const startWorker = (
  row: Row,
  name: string,
  environment: Readonly<Record<string, string>>
): Effect.Effect<Worker, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const file = row.worker === "core" ? "./worker.ts" : "./plainWorker.ts"
        return spawn(process.execPath, [fileURLToPath(new URL(file, import.meta.url))], {
          stdio: ["ignore", "ignore", process.env["LAB_DEBUG"] === undefined ? "ignore" : "inherit"],
          env: { ...process.env, NODE_NO_WARNINGS: "1", ...environment, LAB_WORKER: name, LAB_MODE: row.mode }
        })
      }),
      (child) => Effect.andThen(signal(child, "SIGKILL"), ended(child))
    ),
    (child) => ({
      name,
      kill: Effect.andThen(signal(child, "SIGKILL"), ended(child)),
      freeze: signal(child, "SIGSTOP"),
      thaw: signal(child, "SIGCONT"),
      stop: Effect.andThen(signal(child, "SIGTERM"), ended(child)).pipe(
        Effect.timeoutOrElse({
          duration: "8 seconds",
          orElse: () => Effect.andThen(signal(child, "SIGKILL"), ended(child))
        })
      )
    })
  )
