/**
 * Opens a connection and finds out what its broker speaks.
 */
import { Apis, type ApiVersionsResponse } from "@exactly-once/protocol"
import * as Effect from "effect/Effect"
import { type Address, type Transport, TransportError } from "../Transport.ts"
import { Connection } from "./Connection.ts"
import type { Environment } from "./environment.ts"
import { answered, type Failure, Refused, unanswered } from "./failure.ts"
import { missing } from "./versions.ts"

/**
 * Introduces this client on a fresh connection, before anything but ApiVersions was said. Answers the milliseconds for which
 * the broker keeps the connection (KIP-368), 0 when it does not end it.
 */
export type Authenticate = (connection: Connection) => Effect.Effect<number, Failure>

export interface OpenOptions {
  readonly transport: Transport["Service"]
  readonly environment: Environment
  readonly clientId: string
  /** Milliseconds to connect; as many again for the exchange of versions. */
  readonly connectionTimeout: number
  readonly maxInFlight: number
  readonly maxFrameBytes: number
  readonly authenticate: Authenticate | undefined
}

export interface Opened {
  readonly connection: Connection
  /** The level of `transaction.version` that the cluster has finalized, and the epoch of that knowledge. */
  readonly features: { readonly epoch: bigint; readonly transactionVersion: number }
}

const unsupportedVersion = 35

/** The part of a session's life after which another connection takes its place. */
const renewAfter = 0.8

/** One request, one answer; an interruption leaves the answer unread. */
export const exchange = <O>(
  ask: (onAnswer: (body: O) => void, onFailure: (failure: Failure) => void) => void
): Effect.Effect<O, Failure> =>
  Effect.callback<O, Failure>((resume) =>
    ask((body) => resume(Effect.succeed(body)), (failure) => resume(Effect.fail(failure)))
  )

const askVersions = (connection: Connection, version: number, timeoutMs: number) =>
  exchange<ApiVersionsResponse.ApiVersionsResponse>((onAnswer, onFailure) =>
    connection.requestIn(
      version,
      Apis.ApiVersions,
      version < 3 ? {} : { clientSoftwareName: "exactly-once", clientSoftwareVersion: "0.1.0" },
      { timeoutMs },
      onAnswer,
      onFailure
    )
  )

const introduce = (options: OpenOptions, connection: Connection): Effect.Effect<Opened["features"], Failure> =>
  Effect.gen(function*() {
    const first = yield* askVersions(connection, Apis.ApiVersions.maxVersion, options.connectionTimeout)
    // A broker that knows less answers in version 0, with the versions it does know.
    const known = first.apiKeys.find(({ apiKey }) => apiKey === Apis.ApiVersions.key)?.maxVersion ?? 0
    const answer = first.errorCode === unsupportedVersion
      ? yield* askVersions(connection, Math.min(known, Apis.ApiVersions.maxVersion), options.connectionTimeout)
      : first
    if (answer.errorCode !== 0) return yield* Effect.fail(answered("ApiVersions", answer.errorCode))
    connection.versions = new Map(
      answer.apiKeys.map(({ apiKey, maxVersion, minVersion }) => [apiKey, { min: minVersion, max: maxVersion }])
    )
    const lacking = missing(connection.versions)
    if (lacking.length > 0) {
      const description = `the broker does not speak ${lacking.join(", ")}: this client needs Kafka 3.1 or newer`
      return yield* Effect.fail(
        unanswered("Connect", false, new Refused("Misconfigured", description, "bootstrap"))
      )
    }
    const level = answer.finalizedFeatures.find(({ name }) => name === "transaction.version")
    return { epoch: answer.finalizedFeaturesEpoch, transactionVersion: level?.maxVersionLevel ?? 0 }
  })

export const open = (
  options: OpenOptions,
  address: Address
): Effect.Effect<Opened, Failure> =>
  Effect.gen(function*() {
    const { clientId, environment, maxFrameBytes, maxInFlight, transport } = options
    const place = `${address.host}:${address.port}`
    // What the broker sends comes later than `open` answers.
    const link: { connection?: Connection } = {}
    const channel = yield* transport.open(address, {
      onData: (bytes) => link.connection?.receive(bytes),
      onClose: (cause) => link.connection?.close(cause ?? new Error(`${place} closed the connection`))
    }).pipe(
      Effect.timeoutOrElse({
        duration: options.connectionTimeout,
        orElse: () =>
          Effect.fail(
            new TransportError({
              reason: "Unreachable",
              cause: new Error(`${place} did not accept a connection within ${options.connectionTimeout} ms`)
            })
          )
      }),
      Effect.mapError((cause) => unanswered("Connect", false, cause))
    )
    const opened = new Connection({ channel, environment, clientId, maxInFlight, maxFrameBytes })
    link.connection = opened
    const features = yield* introduce(options, opened).pipe(
      Effect.tap(() =>
        Effect.map(options.authenticate?.(opened) ?? Effect.succeed(0), (lifetimeMs) => {
          if (lifetimeMs > 0) opened.expiresAt = environment.now() + lifetimeMs * renewAfter
        })
      ),
      // Whatever was said so far changes nothing at the broker.
      Effect.mapError((failure): Failure => ({ ...failure, sent: false })),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          if (exit._tag === "Failure") opened.close(new Error("the connection could not be set up"))
        })
      )
    )
    return { connection: opened, features }
  })
