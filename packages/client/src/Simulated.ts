/**
 * The client over a transport that is given to it: without sockets, without native codecs, on the clock and the chance of
 * the fiber that builds it. With an embedded broker on the same clock a whole run is one process in virtual time.
 */
import { Driver, type KafkaError } from "@exactly-once/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { makeDriver } from "./driver.ts"
import type { ClientOptions } from "./options.ts"
import { Transport } from "./Transport.ts"

export type { ClientOptions as Options } from "./options.ts"
export * from "./Transport.ts"

/** The `Driver` service over `Transport`. Without `codecs` it neither compresses nor reads what is compressed. */
export const layer = (options: ClientOptions): Layer.Layer<Driver.Driver, KafkaError.KafkaError, Transport> =>
  Layer.effect(
    Driver.Driver,
    Effect.flatMap(Transport, (transport) => Effect.mapError(makeDriver(transport, options), Driver.toKafkaError))
  )
