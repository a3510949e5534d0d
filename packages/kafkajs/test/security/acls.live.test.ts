import { assert, it } from "@effect/vitest"
import {
  CommittedConsumer,
  IdempotentProducer,
  KafkaError,
  Topic,
  Transaction,
  transactionally,
  withTransaction
} from "@exactly-once/core"
import { Effect, Fiber, Layer, Stream } from "effect"
import { afterAll, beforeAll } from "vitest"
import { describeLive } from "../../../../scripts/vitest/live.ts"
import { bytes, committedValues } from "../support/kafka.ts"
import { type Right, rights, type Use } from "./rights.ts"
import { allow, type Guarded, revoke, scene, startGuarded } from "./support.ts"

type Scene = Effect.Success<ReturnType<typeof scene>>

const records = [{ key: "k", value: "v" }]

const programs: Readonly<Record<Use, (scene: Scene) => Effect.Effect<unknown, unknown>>> = {
  IdempotentProducer: ({ name, producer }) =>
    IdempotentProducer.send(Topic.string(name("out")), records).pipe(Effect.provide(producer)),
  TransactionalSession: ({ session }) => Effect.scoped(Layer.build(session)),
  withTransaction: ({ name, session }) =>
    withTransaction(Transaction.emit(Topic.string(name("out")), records)).pipe(Effect.provide(session)),
  CommittedConsumer: ({ consumer, name }) =>
    CommittedConsumer.batches(Topic.string(name("in"))).pipe(Stream.take(1), Stream.runDrain, Effect.provide(consumer)),
  transactionally: ({ consumer, name, session }) =>
    CommittedConsumer.batches(Topic.string(name("in"))).pipe(
      transactionally((batch) =>
        Transaction.emit(Topic.string(name("out")), batch.records.map(({ key, value }) => ({ key, value })))
      ),
      Stream.take(1),
      Stream.runDrain,
      Effect.provide(Layer.mergeAll(session, consumer))
    )
}

/** What is in the output topic afterwards. */
const written: Readonly<Record<Use, ReadonlyArray<string>>> = {
  IdempotentProducer: ["v"],
  TransactionalSession: [],
  withTransaction: ["v"],
  CommittedConsumer: [],
  transactionally: ["v"]
}

const uses = Object.keys(programs) as ReadonlyArray<Use> // a record's keys are its type's

const named = ({ name: resourceName, ...right }: Right, { name }: Scene): Right => ({
  ...right,
  name: resourceName.replace("<prefix>", name("app")).replace(/<(.*)>/, (_, part: string) => name(part))
})

/** How a refusal names a resource. */
const words = { Topic: "topic", Group: "group", TransactionalId: "transactional.id" }

describeLive("rights that each layer takes", () => {
  let guarded: Guarded
  beforeAll(async () => {
    guarded = await startGuarded()
  })
  afterAll(() => guarded?.stop())

  const prepared = Effect.gen(function*() {
    const made = yield* scene(guarded.cluster)
    yield* made.probe.produce(made.name("in"), 0, [{ key: bytes("k"), value: bytes("v") }])
    return made
  })

  for (const use of uses) {
    const needed: ReadonlyArray<Right> = rights[use]

    it.live(`${use} works with exactly its rights`, () =>
      Effect.gen(function*() {
        const made = yield* prepared
        yield* allow(guarded.cluster, "alice", needed.map((right) => named(right, made)))
        yield* Effect.timeout(programs[use](made), "15 seconds")
        assert.deepStrictEqual(yield* committedValues(made.probe, made.name("out")), written[use])
      }))

    it.live.each(needed)(
      `${use} is unauthorized without $operation on $resource $name, and says so`,
      (missing) =>
        Effect.gen(function*() {
          const made = yield* prepared
          yield* allow(
            guarded.cluster,
            "alice",
            needed.filter((right) => right !== missing).map((right) => named(right, made))
          )
          const error = yield* Effect.flip(Effect.timeout(programs[use](made), "15 seconds"))
          assert.instanceOf(error, KafkaError.Unauthorized)
          for (const part of [words[missing.resource], named(missing, made).name, missing.operation]) {
            assert.include(String(error), part)
          }
          assert.deepStrictEqual(yield* committedValues(made.probe, made.name("out")), [])
          assert.strictEqual((yield* made.probe.committed(made.name("group"), made.name("in"), 0)).offset, -1n)
        })
    )
  }

  it.live.each(rights.transactionally)(
    "a pipeline that loses $operation on $resource $name ends unauthorized, and its successor loses nothing",
    (taken) =>
      Effect.gen(function*() {
        const made = yield* prepared
        const { consumer, name, probe, session } = made
        yield* allow(guarded.cluster, "alice", rights.transactionally.map((right) => named(right, made)))
        const copy = (count: number) =>
          CommittedConsumer.batches(Topic.string(name("in"))).pipe(
            transactionally((batch) =>
              Transaction.emit(Topic.string(name("out")), batch.records.map(({ key, value }) => ({ key, value })))
            ),
            Stream.take(count),
            Stream.runDrain,
            Effect.provide(Layer.fresh(Layer.mergeAll(session, consumer)))
          )
        const running = yield* Effect.forkChild(Effect.flip(copy(1_000)))
        const committed = Effect.map(probe.committed(name("group"), name("in"), 0), ({ offset }) => offset)
        while ((yield* committed) !== 1n) yield* Effect.sleep(20)
        yield* revoke(guarded.cluster, "alice", named(taken, made))
        yield* probe.produce(name("in"), 0, [{ key: bytes("k"), value: bytes("w") }])
        const error = yield* Effect.timeout(Fiber.join(running), "15 seconds")
        assert.instanceOf(error, KafkaError.Unauthorized)
        for (const part of [words[taken.resource], named(taken, made).name, taken.operation]) {
          assert.include(String(error), part)
        }
        assert.strictEqual(yield* committed, 1n)
        yield* allow(guarded.cluster, "alice", [named(taken, made)])
        yield* Effect.timeout(copy(1), "15 seconds")
        assert.deepStrictEqual(yield* committedValues(probe, name("out")), ["v", "w"])
      })
  )
})
