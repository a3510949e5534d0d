/**
 * The driver over whatever transport it is given.
 */
import { Driver } from "@exactly-once/core"
import { Apis, Codecs } from "@exactly-once/protocol"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { makeAdmin } from "./admin.ts"
import { makeConsumer } from "./consumer/consumer.ts"
import { makeCluster } from "./network/Cluster.ts"
import { makeEnvironment } from "./network/environment.ts"
import { type Failure, toDriverError } from "./network/failure.ts"
import type { Authenticate } from "./network/open.ts"
import { type ClientOptions, defaultConnectionTimeout, parseBootstrap } from "./options.ts"
import { makeIdempotentProducer } from "./producer/idempotentProducer.ts"
import {
  compressionTypes,
  makeTransactionalProducer,
  type ProducerEnvironment
} from "./producer/transactionalProducer.ts"
import type { Transport } from "./Transport.ts"

/** Requests on the wire of one connection at once. Answers come in order, so more would only queue up at the broker. */
const maxInFlight = 64

const maxFrameBytes = 104_857_600

const names: ReadonlyArray<Driver.Compression> = ["none", "gzip", "snappy", "lz4", "zstd"]

/** The compressions that a registry has. */
const compressionsOf = (codecs: Codecs.Codecs): ReadonlyArray<Driver.Compression> =>
  names.filter((name) => {
    if (name === "none") return true
    try {
      codecs.compression(compressionTypes[name])
      return true
    } catch {
      return false
    }
  })

export const makeDriver = (
  transport: Transport["Service"],
  options: ClientOptions,
  authenticate?: Authenticate
): Effect.Effect<Driver.Driver["Service"], Driver.DriverError, Scope.Scope> =>
  Effect.gen(function*() {
    const codecs = options.codecs ?? Codecs.plain
    const compression = compressionsOf(codecs)
    const cluster = yield* makeCluster({
      transport,
      environment: yield* makeEnvironment,
      bootstrap: yield* parseBootstrap(options.bootstrap),
      clientId: options.clientId ?? "exactly-once",
      connectionTimeout: options.connectionTimeout ?? defaultConnectionTimeout,
      requestTimeout: options.requestTimeout ?? 30_000,
      maxInFlight,
      maxFrameBytes,
      authenticate
    })
    // Anybody may ask for versions. A question about no topic shows whether this client is let in.
    yield* cluster.any("main").pipe(
      Effect.flatMap((to) =>
        Effect.mapError(
          cluster.ask(to, Apis.Metadata, { topics: [], allowAutoTopicCreation: false }),
          (failure): Failure =>
            failure.code !== undefined ? failure : {
              ...failure,
              cause: new Error("the broker ended the connection. Does the listener expect sasl or ssl options?", {
                cause: failure.cause
              })
            }
        )
      ),
      Effect.mapError((failure) => toDriverError("connect", failure, "read"))
    )

    let producers = 0
    const producerConnections = Math.max(1, options.producerConnections ?? 4)
    const producerEnvironment = (): ProducerEnvironment => ({
      cluster,
      pool: `producer-${producers++ % producerConnections}`,
      codecs,
      limits: {
        maxBatchBytes: options.maxBatchBytes ?? 900_000,
        maxRecordBytes: options.maxRecordBytes ?? 1_000_000,
        maxRequestBytes: options.maxRequestBytes ?? 8_388_608,
        maxQueuedBytes: options.maxQueuedBytes ?? 33_554_432
      }
    })
    const checkCodec = (operation: string, name: Driver.Compression): Effect.Effect<void, Driver.DriverError> =>
      compression.includes(name) ? Effect.void : Effect.fail(
        new Driver.DriverError({
          operation,
          failure: "Misconfigured",
          setting: "compression",
          description: `compression "${name}" has no codec: pass one as the \`codecs\` option, or use ${
            compression.join(", ")
          }`
        })
      )

    let consumers = 0
    return Driver.Driver.of({
      capabilities: {
        name: "client",
        fencing: "group",
        openTransactions: 1,
        ownEpochInit: true,
        stableFetch: true,
        holdsRevocation: true,
        transactionsV2: true,
        compression
      },
      transactionalProducer: (producer) =>
        Effect.andThen(
          checkCodec("transactionalProducer", producer.compression),
          Effect.suspend(() => makeTransactionalProducer(producerEnvironment(), producer))
        ),
      idempotentProducer: (producer) =>
        Effect.andThen(
          checkCodec("idempotentProducer", producer.compression),
          Effect.suspend(() => makeIdempotentProducer(producerEnvironment(), producer))
        ),
      consumer: (consumer) =>
        Effect.suspend(() =>
          makeConsumer({
            cluster,
            name: `consumer-${consumers++}`,
            codecs,
            maxFetchBytes: options.maxFetchBytes ?? 16_777_216,
            maxBufferedBytes: options.maxBufferedBytes ?? 67_108_864,
            maxUnreleased: options.partitionsConsumedConcurrently ?? 16,
            reconnectTimeout: options.reconnectTimeout ?? 60_000
          }, consumer)
        ),
      admin: makeAdmin(cluster)
    })
  })
