/** R10, R14, R24, and what the driver says about itself: settings and wiring. */
import {
  CommittedConsumer,
  Driver,
  Topic,
  Transaction,
  transactionally,
  TransactionalSession,
  withTransaction
} from "@exactly-once/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as References from "effect/References"
import * as Stream from "effect/Stream"
import assert from "node:assert/strict"
import type { Case } from "./Case.ts"
import { within } from "./EventLog.ts"
import { field } from "./wire.ts"
import { type InBatch, layers, type World } from "./World.ts"

const session = (world: World, options: Partial<TransactionalSession.Options>) =>
  TransactionalSession.layer({ transactionalIdPrefix: world.prefix, replica: "a", ...options })

const consumer = (world: World, options: Partial<CommittedConsumer.Options> = {}) =>
  CommittedConsumer.layer({ groupId: world.groupId, ...options })

const driver = (world: World, bootstrap = world.target.broker.bootstrap()) =>
  Layer.fresh(world.target.driver(bootstrap))

/** The failure of a pipeline over these layers. */
const refusal = <E>(
  world: World,
  wired: Layer.Layer<CommittedConsumer.CommittedConsumer | TransactionalSession.TransactionalSession, E>,
  input = world.input
): Effect.Effect<unknown> =>
  within(
    "the wrong wiring is refused",
    CommittedConsumer.batches(Topic.string(input)).pipe(
      transactionally(world.copy),
      Stream.runDrain,
      Effect.provide(wired),
      Effect.flip,
      Effect.provideService(References.MinimumLogLevel, "None"),
      Effect.orDie
    ),
    40_000
  )

const misconfigured = (error: unknown, setting: string): void => {
  assert.equal(field(error, "_tag"), "Misconfigured", String(error))
  assert.equal(field(error, "setting"), setting)
}

export const wiring: ReadonlyArray<Case> = [
  {
    rule: "Port",
    name: "the driver's capabilities are those the contract was told",
    run: (world) =>
      Effect.gen(function*() {
        const { capabilities } = yield* Driver.Driver
        assert.deepEqual(capabilities, world.target.capabilities)
      }).pipe(Effect.provide(driver(world)))
  },
  {
    rule: "Port",
    name: "a record without a partition goes where the Java client sends it",
    partitions: 12,
    run: (world) =>
      Effect.gen(function*() {
        const topic = Topic.string(world.output)
        const proxy = yield* world.proxy
        const keys = ["", "a", "key-1", "flight-0042", "Überlingen", "k".repeat(300)]
        const a = yield* world.worker({
          proxy,
          body: () => Transaction.emit(topic, keys.map((key) => ({ key, value: key })))
        })
        yield* world.fill(1, 0)
        yield* a.outcomes.next("the transaction ends")
        const expected = new Map(keys.map((key) => [key, javaPartition(key, 12)]))
        for (const written of yield* world.visible) {
          const key = world.spec.id(written)
          assert.equal(written.partition, expected.get(key), `the partition of ${key}`)
          expected.delete(key)
        }
        assert.equal(expected.size, 0)
      })
  },
  {
    rule: "R10",
    name: "concurrent emits of one body lose nothing and keep their order",
    run: (world) =>
      Effect.gen(function*() {
        const topic = Topic.string(world.output)
        const filling = "x".repeat(40_000)
        yield* world.worker({
          transactionTimeoutMs: 15_000,
          body: (batch) =>
            Effect.forEach(
              batch.records,
              ({ key, value }) =>
                Transaction.emit(topic, [{ key, value, headers: [["filling", new TextEncoder().encode(filling)]] }]),
              { concurrency: "unbounded", discard: true }
            )
        })
        yield* world.fill(60)
        yield* world.exact
      })
  },
  {
    rule: "R14",
    name: "a body budget that leaves no room in the transaction timeout is refused",
    run: (world) =>
      Effect.gen(function*() {
        const tight = session(world, { transactionTimeout: 4_000, bodyTimeout: 3_000, commitMargin: 1_000 })
        misconfigured(
          yield* refusal(world, Layer.mergeAll(tight, consumer(world)).pipe(Layer.provide(driver(world)))),
          "bodyTimeout"
        )
      })
  },
  {
    rule: "R14",
    name: "a body budget that outlasts a rebalance is refused",
    run: (world) =>
      Effect.gen(function*() {
        const long = session(world, { transactionTimeout: 60_000 })
        const short = consumer(world, { sessionTimeout: 6_000, rebalanceTimeout: 20_000 })
        misconfigured(
          yield* refusal(world, Layer.mergeAll(long, short).pipe(Layer.provide(driver(world)))),
          "rebalanceTimeout"
        )
      })
  },
  {
    rule: "R14",
    name: "a transaction timeout above the broker's maximum is refused by name",
    run: (world) =>
      Effect.gen(function*() {
        const maximum = world.target.broker.maxTransactionTimeoutMs ?? 900_000
        const long = session(world, { transactionTimeout: maximum + 60_000 })
        const patient = consumer(world, { rebalanceTimeout: maximum + 60_000 })
        misconfigured(
          yield* refusal(world, Layer.mergeAll(long, patient).pipe(Layer.provide(driver(world)))),
          "transactionTimeout"
        )
      })
  },
  {
    rule: "R24",
    name: "a topic that does not exist is named before anything is read, and not created",
    run: (world) =>
      Effect.gen(function*() {
        const missing = `${world.input}-missing`
        const error = yield* refusal(world, layers(world, world.target.broker.bootstrap()), missing)
        misconfigured(error, "topics")
        assert.match(String(field(error, "description")), new RegExp(missing))
        assert.equal((yield* Effect.flip(world.probe.partitions(missing))).code, 3)
      })
  },
  {
    rule: "R24",
    name: "brokers that cannot be reached are a typed failure",
    run: (world) =>
      Effect.gen(function*() {
        // A port that was free a moment ago: the proxy's own, after its scope has closed.
        const closed = yield* Effect.scoped(Effect.map(world.proxy, ({ bootstrap }) => bootstrap))
        const wired = Layer.mergeAll(session(world, { recoveryTimeout: "2 seconds" }), consumer(world)).pipe(
          Layer.provide(driver(world, closed))
        )
        const error = yield* refusal(world, wired)
        // A driver that connects when its layer is built says so in its own words.
        if (field(error, "_tag") === "DriverError") assert.equal(field(error, "failure"), "Unavailable")
        else assert.equal(field(error, "_tag"), "KafkaUnavailable")
      })
  },
  {
    rule: "R24",
    name: "a batch of a consumer that was started without the session is refused",
    run: (world) =>
      Effect.gen(function*() {
        const connected = driver(world)
        const batches = yield* Queue.bounded<InBatch>(1)
        yield* CommittedConsumer.batches(Topic.string(world.input)).pipe(
          Stream.runForEach((batch) => Queue.offer(batches, batch)),
          Effect.provide(consumer(world).pipe(Layer.provide(connected))),
          Effect.provideService(References.MinimumLogLevel, "None"),
          Effect.forkScoped
        )
        yield* world.fill(1)
        const batch = yield* within("a batch is delivered", Queue.take(batches))
        const error = yield* withTransaction(Transaction.consumed(batch)).pipe(
          Effect.provide(session(world, {}).pipe(Layer.provide(connected))),
          Effect.flip,
          Effect.provideService(References.MinimumLogLevel, "None"),
          (refused) => within("the foreign batch is refused", refused)
        )
        assert.ok(["Misconfigured", "TransactionMisuse"].includes(String(field(error, "_tag"))), String(error))
      })
  }
]

/** Kafka's murmur2 with its seed, written from the algorithm's definition and apart from every driver's. */
const javaPartition = (key: string, partitions: number): number => {
  const data = new TextEncoder().encode(key)
  const view = new DataView(data.buffer, data.byteOffset, data.length)
  const mix = 0x5bd1e995
  let hash = 0x9747b28c ^ data.length
  const words = data.length >> 2
  for (let i = 0; i < words; i++) {
    let word = Math.imul(view.getInt32(i * 4, true), mix)
    word ^= word >>> 24
    hash = Math.imul(hash, mix) ^ Math.imul(word, mix)
  }
  const rest = data.subarray(words * 4)
  if (rest.length > 2) hash ^= (rest[2] ?? 0) << 16
  if (rest.length > 1) hash ^= (rest[1] ?? 0) << 8
  if (rest.length > 0) hash = Math.imul(hash ^ (rest[0] ?? 0), mix)
  hash = Math.imul(hash ^ (hash >>> 13), mix)
  hash ^= hash >>> 15
  return (hash & 0x7fffffff) % partitions
}
