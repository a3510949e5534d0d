/**
 * What the hazards are shown with: kafkajs as it comes, the three pieces over this driver, and a proxy that both go through.
 */
import {
  type Batch,
  CommittedConsumer,
  type Outcome,
  Topic,
  Transaction,
  transactionally,
  TransactionalSession
} from "@exactly-once/core"
import { KafkaJs } from "@exactly-once/kafkajs"
import { Probe, Proxy, TestKafka } from "@exactly-once/testkit"
import { Effect, Layer, References, Stream } from "effect"
import { type Consumer, type ConsumerConfig, Kafka, logLevel, type Producer } from "kafkajs"
import { randomUUID } from "node:crypto"

/** A cluster to show a hazard on. */
export interface Cluster {
  /** Read inside a test only. */
  readonly bootstrap: () => ReadonlyArray<string>
}

/** Fails the test, naming what did not happen. */
export const within = <A, E, R>(what: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.timeoutOrElse(effect, {
    duration: "15 seconds",
    orElse: () => Effect.die(new Error(`this did not happen within 15 seconds: ${what}`))
  })

/** Asks until it is so. */
export const until = <E, R>(what: string, condition: Effect.Effect<boolean, E, R>) =>
  within(what, Effect.repeat(condition, { until: (holds) => holds, schedule: TestKafka.often }))

/** The coordinator has aborted what stood under this id, to the last marker. */
export const aborted = (probe: Probe.Probe, id: string) =>
  until(
    `the transaction of ${id} is aborted`,
    Effect.map(
      probe.transactions(["CompleteAbort"]),
      (found) => found.some(({ transactionalId }) => transactionalId === id)
    )
  )

export const promised = <A>(run: () => PromiseLike<A>) => Effect.promise(async () => run())

/** The error that a promise is rejected with; that it is fulfilled fails the test. */
export const rejection = (run: () => Promise<unknown>) =>
  Effect.flip(Effect.tryPromise({
    try: run,
    catch: (cause) => cause instanceof Error ? cause : new Error(String(cause))
  }))

/** Topics `in` and `out` of one partition each, a group, an application: names that nobody else has. */
export const world = (cluster: Cluster) =>
  Effect.gen(function*() {
    const id = randomUUID().slice(0, 8)
    const name = (part: string) => `${part}-${id}`
    const bootstrap = cluster.bootstrap()
    const probe = yield* Probe.make(bootstrap)
    const proxy = yield* Proxy.make({ bootstrap })
    const topics = { plainIn: name("plain-in"), plainOut: name("plain-out"), input: name("in"), output: name("out") }
    for (const topic of Object.values(topics)) yield* probe.createTopic(topic, 1)
    return { ...topics, name, probe, proxy, group: name("group"), plainGroup: name("plain-group"), prefix: name("app") }
  })

export type World = Effect.Success<ReturnType<typeof world>>

/** A driver of its own, closed with the test's scope. */
export const driverOf = (cluster: Cluster, options: Partial<KafkaJs.Options> = {}) =>
  KafkaJs.make({ bootstrap: cluster.bootstrap(), clientId: "driver", clientLogLevel: "nothing", ...options })

/** Topics of one's own, and a driver that reaches them through the proxy. */
export const beside = (
  cluster: Cluster,
  topics: Readonly<Record<string, number>>,
  options: Partial<KafkaJs.Options> = {}
) =>
  Effect.gen(function*() {
    const id = randomUUID().slice(0, 8)
    const name = (part: string) => `${part}-${id}`
    const bootstrap = cluster.bootstrap()
    const probe = yield* Probe.make(bootstrap)
    const proxy = yield* Proxy.make({ bootstrap })
    for (const [topic, partitions] of Object.entries(topics)) yield* probe.createTopic(name(topic), partitions)
    return { name, probe, proxy, driver: yield* driverOf(cluster, { bootstrap: proxy.bootstrap, ...options }) }
  })

/** kafkajs, as it comes. */
export const plain = (bootstrap: ReadonlyArray<string>, clientId = "plain") =>
  new Kafka({ brokers: [...bootstrap], clientId, logLevel: logLevel.NOTHING, retry: { initialRetryTime: 30 } })

export const connected = <A extends Producer | Consumer>(client: A) =>
  Effect.acquireRelease(
    promised(() => client.connect().then(() => client)),
    (open) => Effect.ignore(Effect.tryPromise(() => open.disconnect()))
  )

export const plainProducer = (
  bootstrap: ReadonlyArray<string>,
  transactionalId: string,
  clientId = "plain",
  transactionTimeout = 10_000
) =>
  connected(
    plain(bootstrap, clientId).producer({
      transactionalId,
      transactionTimeout,
      maxInFlightRequests: 1,
      retry: { retries: 0 }
    })
  )

/** A member of a group that hands each value to `each`. It commits by itself unless told otherwise, as kafkajs does. */
export const plainConsumer = (
  bootstrap: ReadonlyArray<string>,
  topic: string,
  options: ConsumerConfig & { readonly clientId?: string; readonly autoCommit?: boolean },
  each: (value: string) => Promise<void>
) =>
  Effect.gen(function*() {
    const { autoCommit = true, clientId = "plain", ...config } = options
    const consumer = yield* connected(
      plain(bootstrap, clientId).consumer({ maxWaitTimeInMs: 50, heartbeatInterval: 100, ...config })
    )
    const assignments: Array<ReadonlyArray<number>> = []
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      assignments.push(payload.memberAssignment[topic] ?? [])
    })
    yield* promised(() => consumer.subscribe({ topics: [topic], fromBeginning: true }))
    yield* promised(() => consumer.run({ autoCommit, eachMessage: ({ message }) => each(String(message.value)) }))
    return { consumer, assignments }
  })

/** An offset of partition 0, as kafkajs takes it. */
export const plainOffset = (consumerGroupId: string, topic: string, offset: number) => ({
  consumerGroupId,
  topics: [{ topic, partitions: [{ partition: 0, offset: String(offset) }] }]
})

export type TextBatch = Batch.Batch<Topic.InRecord<string, string, string>>

interface Settings {
  readonly replica?: string
  readonly session?: Partial<TransactionalSession.Options>
  readonly consumer?: Partial<CommittedConsumer.Options>
}

/** Session and consumer over this driver, through the proxy. */
export const layers = (
  world: World,
  settings: Settings = {},
  onOutcome: (outcome: Outcome.Outcome) => void = () => {}
) =>
  Layer.mergeAll(
    TransactionalSession.layer({
      transactionalIdPrefix: world.prefix,
      replica: settings.replica ?? "a",
      onOutcome: (outcome) => Effect.sync(() => onOutcome(outcome)),
      ...settings.session
    }),
    CommittedConsumer.layer({
      groupId: world.group,
      heartbeatInterval: "100 millis",
      maxWait: "50 millis",
      ...settings.consumer
    })
  ).pipe(
    Layer.provide(KafkaJs.layer({
      bootstrap: world.proxy.bootstrap,
      clientId: settings.replica ?? "a",
      clientLogLevel: "nothing"
    })),
    Layer.fresh
  )

/** The transactional.id of the input's only partition, which this driver fences by. */
export const idOfInput = (world: World): string => `${world.prefix}-${world.input}-0`

const emitAll = (world: World, batch: TextBatch) =>
  Transaction.emit(Topic.string(world.output), batch.records.map(({ key, value }) => ({ key, value })))

/** A pipeline that copies the input, with something done to the batches first and inside of the body. */
export const copying = (
  world: World,
  settings: Settings & {
    readonly before?: (batch: TextBatch) => Effect.Effect<void>
    readonly inside?: (batch: TextBatch) => Effect.Effect<void, Error>
  } = {}
) => {
  const outcomes: Array<Outcome.Outcome> = []
  const run = CommittedConsumer.batches(Topic.string(world.input)).pipe(
    Stream.tap((batch: TextBatch) => settings.before?.(batch) ?? Effect.void),
    transactionally((batch: TextBatch) =>
      Effect.andThen(emitAll(world, batch), settings.inside?.(batch) ?? Effect.void)
    ),
    Stream.runDrain,
    Effect.provide(layers(world, settings, (outcome) => outcomes.push(outcome))),
    // What goes wrong here was arranged.
    Effect.provideService(References.MinimumLogLevel, "None")
  )
  return { run, outcomes }
}

/** How often a request was sent from a mark on. */
export const sent = (world: World, api: string, clientId: string, from = 0) =>
  Effect.map(
    world.proxy.journal(from),
    (journal) =>
      journal.filter((seen) => seen.phase === "received" && seen.api === api && seen.clientId === clientId).length
  )
