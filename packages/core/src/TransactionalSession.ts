/**
 * The session under which a replica's transactions run: its transactional ids, their epochs, its budgets of time.
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Compression, Driver } from "./Driver.ts"
import * as Budgets from "./internal/budgets.ts"
import { toKafkaError } from "./internal/failures.ts"
import * as SessionRuntime from "./internal/sessionRuntime.ts"
import * as Settings from "./internal/settings.ts"
import { type KafkaError, Misconfigured } from "./KafkaError.ts"
import type { Outcome } from "./Outcome.ts"

export interface Options {
  /** Names the application: every transactional.id begins with it, and ACLs are given for it. Unique per application. */
  readonly transactionalIdPrefix: string
  /** Names this process among its like: stable over restarts, different for each live one (R16). */
  readonly replica: string
  /** transaction.timeout.ms: when the coordinator aborts. Default 10 seconds; the broker allows up to 15 minutes. */
  readonly transactionTimeout?: Duration.Input | undefined
  /** What a body may take before the session aborts it. Default 70 % of the transaction timeout. */
  readonly bodyTimeout?: Duration.Input | undefined
  /** What flush, offsets and commit may take after the body. Default 25 % of the transaction timeout. */
  readonly commitMargin?: Duration.Input | undefined
  readonly compression?: Compression | undefined
  /** Transactions under way at once, over different partitions. Default 16. */
  readonly parallelism?: number | undefined
  /** Independent sequences of transactions, over disjoint partitions, where the driver fences by group. Default 1. */
  readonly lanes?: number | undefined
  /** How long work is tried again while brokers are away, before it fails. Default 2 minutes. */
  readonly recoveryTimeout?: Duration.Input | undefined
  /** Told the end of every transaction, the truth where an `Exit` cannot say it. */
  readonly onOutcome?: ((outcome: Outcome) => Effect.Effect<void>) | undefined
}

/** Not exported by the package's index. */
export const SessionKey: unique symbol = Symbol.for("@exactly-once/core/TransactionalSession/runtime")

interface Shape {
  readonly replica: string
  /** Raised at every start of a process under this replica name, by the coordinator. */
  readonly incarnation: bigint
  readonly [SessionKey]: SessionRuntime.SessionRuntime
}

export class TransactionalSession extends Context.Service<TransactionalSession, Shape>()(
  "@exactly-once/core/TransactionalSession"
) {}

const named = (setting: string, value: string): Effect.Effect<string, Misconfigured> =>
  value.length > 0
    ? Effect.succeed(value)
    : Settings.refuse(setting, "is empty; it names the owner of the transactions")

export const make = Effect.fnUntraced(function*(options: Options) {
  const driver = yield* Driver
  const budgets = yield* Budgets.resolve({
    transactionTimeout: options.transactionTimeout,
    bodyTimeout: options.bodyTimeout,
    commitMargin: options.commitMargin
  })
  const compression = yield* Settings.compression(driver, options.compression)
  const runtime = yield* SessionRuntime.make(driver, {
    transactionalIdPrefix: yield* named("transactionalIdPrefix", options.transactionalIdPrefix),
    replica: yield* named("replica", options.replica),
    budgets,
    compression,
    parallelism: yield* Settings.positiveInteger("parallelism", options.parallelism ?? 16),
    lanes: yield* Settings.positiveInteger("lanes", options.lanes ?? 1),
    recoveryTimeoutMs: Duration.toMillis(Duration.fromInputUnsafe(options.recoveryTimeout ?? "2 minutes")),
    onOutcome: options.onOutcome
  }).pipe(Effect.mapError((error) =>
    error.code === 50
      ? new Misconfigured({
        setting: "transactionTimeout",
        description:
          `${budgets.transactionTimeoutMs} ms is more than the broker's transaction.max.timeout.ms allows (error 50)`
      })
      : toKafkaError(error)
  ))
  return TransactionalSession.of({
    replica: options.replica,
    incarnation: runtime.incarnation,
    [SessionKey]: runtime
  })
})

/**
 * Starts the session: the coordinator raises the epoch of the replica's own transactional.id, which fences a predecessor
 * under the same name and proves that the settings, the rights and the cluster are in order before a record is read.
 */
export const layer = (
  options: Options
): Layer.Layer<TransactionalSession, KafkaError, Driver> => Layer.effect(TransactionalSession, make(options))

/** `layer` with settings read from the environment, or any other `Config`; `onOutcome` is given as it is. */
export const layerConfig = (
  options: Config.Wrap<Omit<Options, "onOutcome">>,
  onOutcome?: Options["onOutcome"]
): Layer.Layer<TransactionalSession, KafkaError | Config.ConfigError, Driver> =>
  Layer.effect(
    TransactionalSession,
    Effect.flatMap(Config.unwrap(options), (resolved) => make({ ...resolved, onOutcome }))
  )
