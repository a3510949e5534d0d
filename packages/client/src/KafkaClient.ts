/**
 * The driver on a Kafka client of our own, made for exactly-once: transactions of version 2 (KIP-890) where the cluster has
 * finalized them, group metadata with the offsets (KIP-447), stable offsets on takeover, an epoch of its own at every later
 * init (KIP-360), and aborted data filtered for every interleaving. Needs brokers of Kafka 3.1 or newer.
 *
 * Fencing is by group: a transactional.id belongs to a replica, and the generation of its member guards its offsets.
 */
import { codecs } from "@exactly-once/codecs"
import { Driver, type KafkaError } from "@exactly-once/core"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { makeDriver } from "./driver.ts"
import { type ClientOptions, defaultConnectionTimeout } from "./options.ts"
import { makeSasl, type Sasl } from "./security/Sasl.ts"
import { openTcp } from "./transport/Tcp.ts"
import { openTls, type TlsOptions } from "./transport/Tls.ts"

export interface Options extends ClientOptions {
  /** TLS: `true`, or the options of `node:tls`' `connect`. Plain text when left out. */
  readonly ssl?: boolean | TlsOptions | undefined
  /** Credentials for a listener with SASL. With PLAIN the password goes to the broker: use it over TLS. */
  readonly sasl?: Sasl | undefined
}

export type { Sasl, TlsOptions }

/**
 * A driver whose connections live in the scope. Fails with `Unavailable` when no broker answers in time, `Unauthorized`
 * for wrong credentials, `Misconfigured` for brokers too old or a certificate that is not trusted.
 */
export const make = (options: Options): Effect.Effect<Driver.Driver["Service"], Driver.DriverError, Scope.Scope> => {
  const { sasl, ssl } = options
  const open = ssl === undefined || ssl === false ? openTcp : openTls(ssl === true ? {} : ssl)
  return makeDriver(
    { open },
    { ...options, codecs: options.codecs ?? codecs },
    sasl === undefined ? undefined : makeSasl(sasl, options.connectionTimeout ?? defaultConnectionTimeout)
  )
}

/** The `Driver` service over this client. */
export const layer = (options: Options): Layer.Layer<Driver.Driver, KafkaError.KafkaError> =>
  Layer.effect(Driver.Driver, Effect.mapError(make(options), Driver.toKafkaError))

/** The same with options from `Config`. */
export const layerConfig = (
  options: Config.Wrap<Options>
): Layer.Layer<Driver.Driver, KafkaError.KafkaError | Config.ConfigError> =>
  Layer.effect(
    Driver.Driver,
    Effect.flatMap(Config.unwrap(options), (found) => Effect.mapError(make(found), Driver.toKafkaError))
  )
