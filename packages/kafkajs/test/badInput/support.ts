import { CommittedConsumer, Topic, Transaction, transactionally, TransactionalSession } from "@exactly-once/core"
import { KafkaJs } from "@exactly-once/kafkajs"
import { Probe } from "@exactly-once/testkit"
import { Effect, Layer, Stream } from "effect"
import { randomUUID } from "node:crypto"
import { liveBootstrap } from "../../../../scripts/vitest/live.ts"
import { bytes } from "../support/kafka.ts"

export interface Overrides {
  readonly session?: Partial<TransactionalSession.Options>
  readonly consumer?: Partial<CommittedConsumer.Options>
  readonly driver?: Partial<KafkaJs.Options>
}

/** Repeats until it holds; the test's own time-out ends it otherwise. */
export const until = <E>(holds: Effect.Effect<boolean, E>): Effect.Effect<void, E> =>
  Effect.flatMap(holds, (yes) => yes ? Effect.void : Effect.andThen(Effect.sleep(50), until(holds)))

/** A probe, names nobody else uses, and the layers of a pipeline as its user writes them. */
export const world = (topics: Readonly<Record<string, number>>) =>
  Effect.gen(function*() {
    const id = randomUUID().slice(0, 8)
    const probe = yield* Probe.make(liveBootstrap())
    const name = (part: string) => `${part}-${id}`
    for (const [topic, partitions] of Object.entries(topics)) yield* probe.createTopic(name(topic), partitions)

    const driver = (options: Partial<KafkaJs.Options> = {}) =>
      Layer.fresh(KafkaJs.layer({ bootstrap: liveBootstrap(), clientLogLevel: "nothing", ...options }))

    const session = (options: Partial<TransactionalSession.Options> = {}) =>
      TransactionalSession.layer({ transactionalIdPrefix: name("app"), replica: "app-0", ...options })

    const consumer = (options: Partial<CommittedConsumer.Options> = {}) =>
      CommittedConsumer.layer({
        groupId: name("group"),
        sessionTimeout: "6 seconds",
        heartbeatInterval: "500 millis",
        maxWait: "100 millis",
        ...options
      })

    /** Fresh ones for each program: layers are memoised over the whole test otherwise. */
    const layers = (overrides: Overrides = {}) =>
      Layer.fresh(
        Layer.mergeAll(session(overrides.session), consumer(overrides.consumer)).pipe(
          Layer.provide(driver(overrides.driver))
        )
      )

    const Input = Topic.string(name("in"))
    const Output = Topic.string(name("out"))

    /** Copies values; ends after `count` records. */
    const copy = (count: number, overrides: Overrides = {}) =>
      CommittedConsumer.batches(Input).pipe(
        transactionally((batch) =>
          Effect.as(
            Transaction.emit(Output, batch.records.map(({ headers, key, value }) => ({ key, value, headers }))),
            batch.records.length
          )
        ),
        Stream.scan(() => 0, (sum, copied) => sum + copied),
        Stream.takeUntil((sum) => sum >= count),
        Stream.runDrain,
        Effect.provide(layers(overrides)),
        Effect.timeout("30 seconds")
      )

    const put = (topic: string, values: ReadonlyArray<string | Uint8Array>, partition = 0) =>
      probe.produce(
        name(topic),
        partition,
        values.map((value) => ({ key: bytes("k"), value: typeof value === "string" ? bytes(value) : value }))
      )

    const committed = (partition = 0, topic = "in") =>
      Effect.map(probe.committed(name("group"), name(topic), partition, { stable: true }), ({ offset }) => offset)

    /** Moves the group's offset from outside, as an operator does. */
    const setOffset = (offset: bigint) =>
      Effect.gen(function*() {
        const transaction = yield* probe.transaction(name("operator"), 10_000)
        yield* transaction.sendOffset(name("group"), name("in"), 0, offset)
        yield* transaction.end(true)
      })

    return { setOffset, probe, name, driver, session, consumer, layers, Input, Output, copy, put, committed }
  })
