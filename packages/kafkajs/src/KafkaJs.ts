/**
 * The driver on kafkajs 2.2.4, for those who run it already: its connections, TLS, SASL and wire encoding, with sequence
 * numbers, partitions, retries, positions, offsets, group membership and the reading of committed records in our hands.
 *
 * Fencing is by partition: one transactional.id per input partition. Needs brokers of Kafka 2.3 or newer.
 */
import { Driver, type KafkaError } from "@exactly-once/core"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { Socket } from "node:net"
import type { ConnectionOptions } from "node:tls"
import { makeAdmin } from "./internal/admin.ts"
import { parseBootstrap } from "./internal/bootstrap.ts"
import { type Failure, toDriverError, wasHungUp } from "./internal/classify.ts"
import { type Codecs, makeRegistry } from "./internal/compression.ts"
import { makeConsumer } from "./internal/consumer.ts"
import { makeIdempotentProducer } from "./internal/idempotentProducer.ts"
import { apis, type ApiVersions, type SocketFactoryArguments } from "./internal/kafkajsInternals.ts"
import { type ClientLogLevel, makeLogger } from "./internal/logging.ts"
import { selfTest } from "./internal/selfTest.ts"
import { openSocket } from "./internal/socket.ts"
import { makeTransactionalProducer, type ProducerEnvironment } from "./internal/transactionalProducer.ts"
import { exchangeOf, makeWire, type Wire } from "./internal/wire.ts"

/** SASL credentials, as kafkajs takes them, with the secret redacted. */
export type Sasl =
  | {
    readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512"
    readonly username: string
    readonly password: Redacted.Redacted
  }
  | {
    readonly mechanism: "oauthbearer"
    readonly oauthBearerProvider: () => Promise<{ readonly value: string }>
  }
  | {
    readonly mechanism: "aws"
    readonly authorizationIdentity: string
    readonly accessKeyId: string
    readonly secretAccessKey: Redacted.Redacted
    readonly sessionToken?: Redacted.Redacted | undefined
  }

export interface Options {
  /** Brokers to start from, `host:port` each (`[::1]:9092` for IPv6). */
  readonly bootstrap: ReadonlyArray<string>
  /** The name in the brokers' logs and quotas. `exactly-once` when left out. */
  readonly clientId?: string | undefined
  /** TLS: `true`, or the options of `node:tls`' `connect`. Plain text when left out. */
  readonly ssl?: boolean | ConnectionOptions | undefined
  readonly sasl?: Sasl | undefined
  /** Milliseconds to open a connection (3 000). Twice this bounds a broker that accepts and does not answer. */
  readonly connectionTimeout?: number | undefined
  /** Milliseconds for an answer (30 000); then the connection is given up. */
  readonly requestTimeout?: number | undefined
  /** Connections per broker that all producers share (4). Each holds back one producer's request behind another's. */
  readonly producerConnections?: number | undefined
  /** Batches of a consumer that may be out at once (16): how many partitions its user works on side by side. */
  readonly partitionsConsumedConcurrently?: number | undefined
  /** Milliseconds for which a consumer looks for its group again before `poll` fails (60 000). */
  readonly reconnectTimeout?: number | undefined
  /** The largest batch sent, in bytes before compression (900 000): below the topics' max.message.bytes. */
  readonly maxBatchBytes?: number | undefined
  /** The largest record sent, in bytes (1 000 000). */
  readonly maxRecordBytes?: number | undefined
  /** Bytes that a transaction gathers before it sends them without waiting for a flush (4 000 000). */
  readonly maxQueuedBytes?: number | undefined
  /** Bytes of one fetch response (10 485 760). */
  readonly maxFetchBytes?: number | undefined
  /** Bytes that a consumer holds ahead of its user, over all partitions (67 108 864). */
  readonly maxBufferedBytes?: number | undefined
  /** Codecs in place of the bundled ones. */
  readonly codecs?: Codecs | undefined
  /** The lowest level of kafkajs's own log lines that are passed on (`warn`). */
  readonly clientLogLevel?: ClientLogLevel | undefined
  /**
   * For showing what it costs, never for use: a Produce whose answer was lost is sent again under new sequence numbers,
   * so that the broker cannot know it for a copy.
   */
  readonly unsafeResendUnderNewSequences?: boolean | undefined
  /** Opens sockets in place of the default: to go through a proxy. */
  readonly socketFactory?: ((options: SocketFactoryArguments) => Socket) | undefined
}

export type { ClientLogLevel, Codecs, SocketFactoryArguments }

const sasl = (options: Sasl | undefined): object | null => {
  if (options === undefined) return null
  switch (options.mechanism) {
    case "oauthbearer":
      return options
    case "aws":
      return {
        ...options,
        secretAccessKey: Redacted.value(options.secretAccessKey),
        ...(options.sessionToken === undefined ? {} : { sessionToken: Redacted.value(options.sessionToken) })
      }
    default:
      return { ...options, password: Redacted.value(options.password) }
  }
}

const tooOld = (versions: ApiVersions): ReadonlyArray<string> =>
  Object.entries(apis).flatMap(([name, { key, version }]) => {
    const range = versions[key]
    return range !== undefined && range.minVersion <= version && version <= range.maxVersion
      ? []
      : [`${name} v${version} (${range === undefined ? "none" : `${range.minVersion}-${range.maxVersion}`})`]
  })

/** `strange`: somebody listens there, and does not talk to us. */
const asConnectError = (failure: Failure, strange: boolean, mechanism: string | undefined): Driver.DriverError => {
  const error = toDriverError("connect", failure, "read")
  const hint = error.failure === "Unauthorized"
    ? ` (mechanism ${mechanism ?? "none"})`
    : error.failure === "Unavailable" && strange
    ? ". Does the listener expect other sasl or ssl options?"
    : undefined
  return hint === undefined ? error : new Driver.DriverError({
    operation: error.operation,
    failure: error.failure,
    ...(error.code === undefined ? {} : { code: error.code }),
    description: `${error.description}${hint}`,
    cause: error
  })
}

/** Connects, and refuses a cluster that does not speak what this driver needs or does not let it in. */
const check = (wire: Wire, mechanism: string | undefined): Effect.Effect<void, Driver.DriverError> =>
  Effect.gen(function*() {
    const link = yield* Effect.mapError(wire.any, (failure) => asConnectError(failure, wasHungUp(failure), mechanism))
    const missing = tooOld(link.broker.versions ?? {})
    if (missing.length > 0) {
      return yield* new Driver.DriverError({
        operation: "connect",
        failure: "Misconfigured",
        setting: "bootstrap",
        description: `the brokers do not speak ${missing.join(", ")}: this driver needs Kafka 2.3 or newer`
      })
    }
    // Anybody may ask for versions. A question about no topic shows whether this client is let in.
    yield* Effect.mapError(
      wire.ask(link, exchangeOf("ListOffsets", { isolationLevel: 1, topics: [] })),
      (failure) => asConnectError(failure, true, mechanism)
    )
  })

/**
 * A driver whose connections live in the scope. Fails with `Unavailable` when no broker answers in time, `Unauthorized`
 * when the credentials are refused, `Misconfigured` for a broker too old or another kafkajs than 2.2.4.
 */
export const make = (options: Options): Effect.Effect<Driver.Driver["Service"], Driver.DriverError, Scope.Scope> =>
  Effect.gen(function*() {
    yield* selfTest
    const requestTimeout = options.requestTimeout ?? 30_000
    const codecs = makeRegistry(options.codecs ?? {})
    const wireOptions = {
      bootstrap: yield* parseBootstrap(options.bootstrap),
      clientId: options.clientId ?? "exactly-once",
      ssl: options.ssl === true ? {} : options.ssl === false ? null : options.ssl ?? null,
      sasl: sasl(options.sasl),
      connectionTimeout: options.connectionTimeout ?? 3_000,
      requestTimeout,
      socketFactory: options.socketFactory ?? openSocket,
      logger: makeLogger(options.clientLogLevel ?? "warn", yield* Effect.context<never>())
    }
    const side = makeWire(wireOptions)
    yield* Effect.addFinalizer(() => side.close)
    yield* check(side, options.sasl?.mechanism)

    // A wire connects on first use, so that slots nobody needs cost nothing.
    const slots = Array.from({ length: Math.max(1, options.producerConnections ?? 4) }, () => makeWire(wireOptions))
    yield* Effect.addFinalizer(() => Effect.forEach(slots, (wire) => wire.close, { discard: true }))
    let turn = 0
    const producerEnvironment = (): ProducerEnvironment => ({
      wire: slots[turn++ % slots.length] ?? side,
      codecs,
      limits: {
        maxBatchBytes: options.maxBatchBytes ?? 900_000,
        maxRecordBytes: options.maxRecordBytes ?? 1_000_000
      },
      requestTimeout,
      maxQueuedBytes: options.maxQueuedBytes ?? 4_000_000,
      unsafeResend: options.unsafeResendUnderNewSequences ?? false
    })

    return Driver.Driver.of({
      capabilities: {
        name: "kafkajs",
        fencing: "partition",
        openTransactions: 1,
        ownEpochInit: false,
        stableFetch: false,
        holdsRevocation: true,
        transactionsV2: false,
        compression: codecs.names
      },
      transactionalProducer: (producer) => makeTransactionalProducer(producerEnvironment(), producer),
      idempotentProducer: (producer) => makeIdempotentProducer(producerEnvironment(), producer),
      consumer: (consumer) =>
        makeConsumer({
          wire: makeWire(wireOptions),
          side,
          codecs,
          maxFetchBytes: options.maxFetchBytes ?? 10_485_760,
          maxBufferedBytes: options.maxBufferedBytes ?? 67_108_864,
          maxUnreleased: options.partitionsConsumedConcurrently ?? 16,
          reconnectTimeout: options.reconnectTimeout ?? 60_000
        }, consumer),
      admin: makeAdmin(side, requestTimeout)
    })
  })

/** The `Driver` service over kafkajs, failing with the errors that programs handle. */
export const layer = (options: Options): Layer.Layer<Driver.Driver, KafkaError.KafkaError> =>
  Layer.effect(Driver.Driver, Effect.mapError(make(options), Driver.toKafkaError))

/** The same with options from `Config`. */
export const layerConfig = (
  options: Config.Wrap<Options>
): Layer.Layer<Driver.Driver, KafkaError.KafkaError | Config.ConfigError> =>
  Layer.effect(
    Driver.Driver,
    Effect.flatMap(Config.unwrap(options), (unwrapped) => Effect.mapError(make(unwrapped), Driver.toKafkaError))
  )
