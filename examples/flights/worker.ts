/**
 * One worker process of the flights example. Tells its parent when a transaction's outputs are sent and not committed,
 * and gives it a moment to kill it there.
 */
import { Effect, References } from "effect"
import { runSupervised } from "../supervised.ts"
import { pipeline } from "./pipeline.ts"

const sent = Effect.andThen(
  Effect.sync(() => {
    process.send?.("sent")
  }),
  Effect.sleep("25 millis")
)

runSupervised(
  pipeline(`worker-${process.argv[2] ?? "0"}`, sent).pipe(Effect.provideService(References.MinimumLogLevel, "Error"))
)
