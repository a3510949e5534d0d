/** How the probe takes error codes: a few are waited out, all others fail. */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { RawError } from "../RawConnection.ts"

/** A coordinator that is loading, elsewhere, or ending the last transaction. */
export const busy: ReadonlySet<number> = new Set([14, 15, 16, 51])
/** A leader that is being elected, or has moved. */
export const moving: ReadonlySet<number> = new Set([3, 5, 6])

export const refused = (operation: string, code: number) =>
  new RawError({ operation, description: `error code ${code}`, code })

export const check = (operation: string, code: number): Effect.Effect<void, RawError> =>
  code === 0 ? Effect.void : Effect.fail(refused(operation, code))

export const patiently = <A>(
  codes: ReadonlySet<number>,
  effect: Effect.Effect<A, RawError>
): Effect.Effect<A, RawError> =>
  Effect.retry(effect, {
    schedule: Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "20 seconds" })),
    while: (error) => error.code !== undefined && codes.has(error.code)
  })
