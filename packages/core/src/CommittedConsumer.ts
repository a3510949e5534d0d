/**
 * Reads only what was committed, as a member of a consumer group, and hands it out in batches whose offsets only a
 * transaction can commit.
 */
import * as Arr from "effect/Array"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Batch } from "./Batch.ts"
import { Driver } from "./Driver.ts"
import * as BatchDecoder from "./internal/batchDecoder.ts"
import * as ConsumerRuntime from "./internal/consumerRuntime.ts"
import { toConsumeError } from "./internal/failures.ts"
import { brokerTime, positiveInteger, refuse } from "./internal/settings.ts"
import type { CorruptRecord, DecodeError, KafkaError, OffsetOutOfRange } from "./KafkaError.ts"
import { Misconfigured } from "./KafkaError.ts"
import type * as Topic from "./Topic.ts"
import { SessionKey, TransactionalSession } from "./TransactionalSession.ts"
import type { ReplicaClash } from "./TransactionError.ts"

/** What reading may meet. */
export type ConsumeError = KafkaError | CorruptRecord | DecodeError | OffsetOutOfRange | ReplicaClash

export interface Options {
  readonly groupId: string
  /** Without a heartbeat for this long the group gives our partitions away. Default 10 seconds. */
  readonly sessionTimeout?: Duration.Input | undefined
  /** How long a rebalance waits for us to finish. Default 60 seconds. */
  readonly rebalanceTimeout?: Duration.Input | undefined
  /** Default: a third of the session timeout, at most 3 seconds. */
  readonly heartbeatInterval?: Duration.Input | undefined
  /** Where a partition begins that the group has no offset for. Default "earliest": nothing is skipped. */
  readonly startFrom?: "earliest" | "latest" | "fail" | undefined
  /** Most bytes fetched of a partition at once: the size of a batch. Default 1 MiB. */
  readonly maxBytesPerPartition?: number | undefined
  /** Most records of a partition in a batch. Default: as many as a fetch brings. */
  readonly maxRecords?: number | undefined
  /** How long a fetch waits for records. Default 500 milliseconds. */
  readonly maxWait?: Duration.Input | undefined
}

type Resolved = Omit<ConsumerRuntime.RuntimeOptions, "topics">

const millis = (input: Duration.Input | undefined, otherwise: number): number =>
  input === undefined ? otherwise : Duration.toMillis(Duration.fromInputUnsafe(input))

const resolve = Effect.fnUntraced(function*(options: Options): Effect.fn.Return<Resolved, Misconfigured> {
  const sessionTimeoutMs = millis(options.sessionTimeout, 10_000)
  const rebalanceTimeoutMs = millis(options.rebalanceTimeout, 60_000)
  const heartbeatIntervalMs = millis(options.heartbeatInterval, Math.min(3_000, Math.floor(sessionTimeoutMs / 3)))
  const maxWaitMs = millis(options.maxWait, 500)
  if (options.groupId.length === 0) yield* refuse("groupId", "is empty; a committed consumer is a member of a group")
  yield* brokerTime("sessionTimeout", sessionTimeoutMs, 1)
  yield* brokerTime("rebalanceTimeout", rebalanceTimeoutMs, 1)
  yield* brokerTime("heartbeatInterval", heartbeatIntervalMs, 1)
  if (heartbeatIntervalMs * 2 > sessionTimeoutMs) {
    yield* refuse(
      "heartbeatInterval",
      `${heartbeatIntervalMs} ms leaves room for less than two heartbeats in sessionTimeout ${sessionTimeoutMs} ms`
    )
  }
  if (rebalanceTimeoutMs < sessionTimeoutMs) {
    yield* refuse(
      "rebalanceTimeout",
      `${rebalanceTimeoutMs} ms is below sessionTimeout ${sessionTimeoutMs} ms: a rebalance would end before a silent member is noticed`
    )
  }
  if (!(maxWaitMs >= 0) || maxWaitMs * 2 > sessionTimeoutMs) {
    yield* refuse("maxWait", `${maxWaitMs} ms must be at most half of sessionTimeout ${sessionTimeoutMs} ms`)
  }
  return {
    groupId: options.groupId,
    maxRecords: yield* positiveInteger("maxRecords", options.maxRecords ?? Number.MAX_SAFE_INTEGER),
    startFrom: options.startFrom ?? "earliest",
    sessionTimeoutMs,
    rebalanceTimeoutMs,
    heartbeatIntervalMs,
    maxBytesPerPartition: yield* positiveInteger("maxBytesPerPartition", options.maxBytesPerPartition ?? 1_048_576),
    maxWaitMs
  }
})

interface Shape {
  readonly groupId: string
  readonly batches: <const T extends ReadonlyArray<Topic.Any>>(
    topics: T
  ) => Stream.Stream<Batch<Topic.RecordOf<T[number]>>, ConsumeError>
}

/** The committed consumer of one group. */
export class CommittedConsumer extends Context.Service<CommittedConsumer, Shape>()(
  "@exactly-once/core/CommittedConsumer"
) {}

export const make = Effect.fnUntraced(function*(options: Options) {
  const driver = yield* Driver
  const resolved = yield* resolve(options)
  let running = false

  const start = Effect.fnUntraced(function*(topics: ReadonlyArray<Topic.Any>) {
    if (topics.length === 0) {
      return yield* new Misconfigured({ setting: "topics", description: "no topic to read was given" })
    }
    if (running) {
      return yield* new Misconfigured({
        setting: "batches",
        description:
          `group ${resolved.groupId} is being read already; give batches all topics at once, or provide a second consumer`
      })
    }
    running = true
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        running = false
      })
    )
    for (const topic of topics) {
      yield* driver.admin.partitions(topic.name).pipe(Effect.mapError((error) =>
        error.code === 3
          ? new Misconfigured({
            setting: "topics",
            description: `topic ${topic.name} does not exist; create it before the pipeline starts`
          })
          : toConsumeError(error)
      ))
    }
    const session = Option.getOrUndefined(yield* Effect.serviceOption(TransactionalSession))?.[SessionKey]
    if (session !== undefined) yield* session.check(resolved)
    return yield* ConsumerRuntime.make(
      driver,
      { ...resolved, topics: topics.map((topic) => topic.name) },
      session?.hooks
    ).pipe(Effect.mapError(toConsumeError))
  })

  const stream: Shape["batches"] = <const T extends ReadonlyArray<Topic.Any>>(topics: T) =>
    Stream.unwrap(Effect.map(start(topics), (runtime) => {
      const decode = BatchDecoder.make<Topic.RecordOf<T[number]>>(topics)
      const pull: Effect.Effect<Arr.NonEmptyReadonlyArray<Batch<Topic.RecordOf<T[number]>>>, ConsumeError> = runtime
        .poll.pipe(
          Effect.mapError((error) => error._tag === "ReplicaClash" ? error : toConsumeError(error)),
          Effect.flatMap((fetched) => decode(runtime, fetched)),
          Effect.flatMap((decoded) => Arr.isReadonlyArrayNonEmpty(decoded) ? Effect.succeed(decoded) : pull)
        )
      return Stream.fromPull(Effect.succeed(pull))
    }))

  return CommittedConsumer.of({ groupId: resolved.groupId, batches: stream })
})

/** Fails with `Misconfigured` when the settings contradict each other. Joins the group when `batches` is run. */
export const layer = (options: Options): Layer.Layer<CommittedConsumer, Misconfigured, Driver> =>
  Layer.effect(CommittedConsumer, make(options))

/** `layer` with settings read from the environment, or any other `Config`. */
export const layerConfig = (
  options: Config.Wrap<Options>
): Layer.Layer<CommittedConsumer, Misconfigured | Config.ConfigError, Driver> =>
  Layer.effect(CommittedConsumer, Effect.flatMap(Config.unwrap(options), make))

/**
 * The committed records of one topic or several as batches; records of several topics are told apart by `topic`.
 * A batch holds records of one partition, or of several where the driver's transactions span them. The next batch of
 * a partition comes when the one before was committed or given back. Joins the group when run and leaves it when the
 * stream ends; one run at a time.
 */
export const batches: {
  <Name extends string, K, V>(
    topic: Topic.Topic<Name, K, V>
  ): Stream.Stream<Batch<Topic.InRecord<Name, K, V>>, ConsumeError, CommittedConsumer>
  <const T extends ReadonlyArray<Topic.Any>>(
    topics: T
  ): Stream.Stream<Batch<Topic.RecordOf<T[number]>>, ConsumeError, CommittedConsumer>
} = (topics: Topic.Any | ReadonlyArray<Topic.Any>): Stream.Stream<Batch<never>, ConsumeError, CommittedConsumer> =>
  Stream.unwrap(CommittedConsumer.useSync((consumer) =>
    // The records' type follows from the overload that was called.
    consumer.batches(Array.isArray(topics) ? topics : [topics]) as Stream.Stream<Batch<never>, ConsumeError>
  ))
