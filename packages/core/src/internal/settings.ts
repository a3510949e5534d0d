/**
 * Checks of settings that more than one layer has.
 */
import * as Effect from "effect/Effect"
import type { Compression, Driver } from "../Driver.ts"
import { Misconfigured } from "../KafkaError.ts"

export const refuse = (setting: string, description: string): Effect.Effect<never, Misconfigured> =>
  Effect.fail(new Misconfigured({ setting, description }))

export const positiveInteger = (setting: string, value: number): Effect.Effect<number, Misconfigured> =>
  Number.isInteger(value) && value > 0
    ? Effect.succeed(value)
    : refuse(setting, `${value} is not a positive whole number`)

/** Times that Kafka takes are signed 32-bit integers. */
const longestMs = 2_147_483_647

/** A time that is sent to a broker, in milliseconds. */
export const brokerTime = (setting: string, ms: number, atLeastMs: number): Effect.Effect<number, Misconfigured> =>
  ms >= atLeastMs && ms <= longestMs
    ? Effect.succeed(ms)
    : refuse(setting, `${ms} ms is not a time from ${atLeastMs} ms to 2,147,483,647 ms`)

/** The codec that is asked for, when the driver has it. */
export const compression = (
  { capabilities }: Driver["Service"],
  wanted: Compression = "none"
): Effect.Effect<Compression, Misconfigured> =>
  capabilities.compression.includes(wanted) ? Effect.succeed(wanted) : refuse(
    "compression",
    `the driver ${capabilities.name} has no codec for ${wanted}; it has ${capabilities.compression.join(", ")}`
  )
