/**
 * Writes without a transaction and without duplicates from the producer's own retries: producer id and a sequence per
 * partition (KIP-98). A local guard only: a process that sends twice writes twice.
 */
import type * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { type Compression, Driver, type DriverError, type EncodedRecord } from "./Driver.ts"
import { encode } from "./internal/encode.ts"
import * as Failures from "./internal/failures.ts"
import * as Settings from "./internal/settings.ts"
import { type EncodeError, InvalidRecord, type KafkaError, KafkaUnavailable, Misconfigured } from "./KafkaError.ts"
import type { Offset } from "./Offset.ts"
import type { OutRecord, Topic } from "./Topic.ts"
import type { TopicPartition } from "./TopicPartition.ts"

/**
 * No answer came, so the records may have been written. Sending them again may write them twice: read the topic, or use
 * a transaction, whose outcome is always told.
 */
export class DeliveryUnknown extends Schema.TaggedError<DeliveryUnknown>()("DeliveryUnknown", {
  topic: Schema.String,
  records: Schema.Int,
  description: Schema.String
}) {
  override get message() {
    return `whether ${this.records} records were written to ${this.topic} is unknown: ${this.description}`
  }
}

export type SendError = KafkaError | EncodeError | InvalidRecord | DeliveryUnknown

export interface Options {
  readonly compression?: Compression | undefined
  /** How long a send is tried before it fails. Default 2 minutes. */
  readonly deliveryTimeout?: Duration.Input | undefined
  /** Calls that may wait; the next one suspends. Default 256. */
  readonly bufferedSends?: number | undefined
}

/** Where a record was written. */
export type Written = TopicPartition & { readonly offset: Offset }

interface Shape {
  readonly send: <K, V>(
    topic: Topic<string, K, V>,
    records: ReadonlyArray<OutRecord<K, V>>
  ) => Effect.Effect<ReadonlyArray<Written>, SendError>
}

export class IdempotentProducer extends Context.Service<IdempotentProducer, Shape>()(
  "@exactly-once/core/IdempotentProducer"
) {}

interface Waiting {
  readonly topic: string
  readonly records: ReadonlyArray<EncodedRecord>
  readonly done: Deferred.Deferred<ReadonlyArray<Written>, SendError>
}

/** Calls for one topic that wait side by side go out as one, in their order. */
const byTopic = (calls: ReadonlyArray<Waiting>): ReadonlyArray<ReadonlyArray<Waiting>> => {
  const groups: Array<Array<Waiting>> = []
  for (const call of calls) {
    const last = groups.at(-1)
    if (last !== undefined && last[0]?.topic === call.topic) last.push(call)
    else groups.push([call])
  }
  return groups
}

const toSendError = (topic: string, records: number) => (error: DriverError): SendError => {
  switch (error.failure) {
    case "UnknownOutcome":
      return new DeliveryUnknown({ topic, records, description: error.description })
    case "InvalidRecord":
      return new InvalidRecord({
        topic,
        description: error.description,
        ...(error.code === undefined ? {} : { code: error.code })
      })
    case "Misconfigured":
      return new Misconfigured({ setting: Failures.settingOf(error, topic), description: error.description })
    default:
      return Failures.toKafkaError(error)
  }
}

/** Refused before anything was sent; a broker's refusal, which has a code, may leave other partitions written. */
const isRefusedUnsent = ({ code, failure }: DriverError): boolean => failure === "InvalidRecord" && code === undefined

const closed = new KafkaUnavailable({ operation: "send", description: "the producer is closed; nothing was sent" })

export const make = Effect.fnUntraced(function*(options: Options) {
  const driver = yield* Driver
  const compression = yield* Settings.compression(driver, options.compression)
  const deliveryTimeoutMs = Duration.toMillis(Duration.fromInputUnsafe(options.deliveryTimeout ?? "2 minutes"))
  if (!(deliveryTimeoutMs > 0)) {
    return yield* Settings.refuse("deliveryTimeout", `${deliveryTimeoutMs} ms leaves a send no time`)
  }
  const bufferedSends = yield* Settings.positiveInteger("bufferedSends", options.bufferedSends ?? 256)
  const handle = yield* Effect.mapError(
    driver.idempotentProducer({ compression, deliveryTimeoutMs }),
    Failures.toKafkaError
  )
  const queue = yield* Queue.bounded<Waiting, Cause.Done>(bufferedSends)

  const deliver: (calls: ReadonlyArray<Waiting>) => Effect.Effect<void> = Effect.fnUntraced(function*(calls) {
    const [first] = calls
    if (first === undefined) return
    const { topic } = first
    const records = calls.length === 1 ? first.records : calls.flatMap((call) => call.records)
    const sent = yield* Effect.exit(handle.send(topic, records))
    const failure = Option.getOrUndefined(Exit.findErrorOption(sent))
    if (calls.length > 1 && failure !== undefined && isRefusedUnsent(failure)) {
      // One call's record must not fail its neighbours'.
      return yield* Effect.forEach(calls, (call) => deliver([call]), { discard: true })
    }
    let from = 0
    for (const call of calls) {
      const to = from + call.records.length
      const own = Exit.map(sent, (written) => written.slice(from, to))
      yield* Deferred.done(call.done, Exit.mapError(own, toSendError(topic, call.records.length)))
      from = to
    }
  })

  // One sender: calls keep their order per partition, whatever fibers they come from.
  const sender = yield* Effect.forkScoped(
    Effect.forever(
      Effect.flatMap(Queue.takeAll(queue), (calls) => Effect.forEach(byTopic(calls), deliver, { discard: true }))
    )
  )
  // What waits is sent before the connection goes: whoever waits for it would wait for ever.
  yield* Effect.addFinalizer(() => Effect.andThen(Queue.end(queue), Fiber.await(sender)))

  return IdempotentProducer.of({
    send: (topic, records) =>
      Effect.suspend((): Effect.Effect<ReadonlyArray<Written>, SendError> => {
        if (records.length === 0) return Effect.succeed([])
        const encoded = encode(topic, records)
        if (Result.isFailure(encoded)) return Effect.fail(encoded.failure)
        return Effect.gen(function*() {
          const done = yield* Deferred.make<ReadonlyArray<Written>, SendError>()
          const taken = yield* Queue.offer(queue, { topic: topic.name, records: encoded.success, done })
          return taken ? yield* Deferred.await(done) : yield* closed
        })
      })
  })
})

/** Connects when built; when it closes, what was handed over is sent first, within `deliveryTimeout`. */
export const layer = (options: Options = {}): Layer.Layer<IdempotentProducer, KafkaError, Driver> =>
  Layer.effect(IdempotentProducer, make(options))

/** `layer` with settings read from the environment, or any other `Config`. */
export const layerConfig = (
  options: Config.Wrap<Options>
): Layer.Layer<IdempotentProducer, KafkaError | Config.ConfigError, Driver> =>
  Layer.effect(IdempotentProducer, Effect.flatMap(Config.unwrap(options), make))

/**
 * Appends the records in their order and answers where each was written. Calls that run side by side keep their own
 * order per partition; when much waits, the call suspends.
 */
export const send = <K, V>(
  topic: Topic<string, K, V>,
  records: ReadonlyArray<OutRecord<NoInfer<K>, NoInfer<V>>>
): Effect.Effect<ReadonlyArray<Written>, SendError, IdempotentProducer> =>
  IdempotentProducer.use((producer) => producer.send(topic, records))
