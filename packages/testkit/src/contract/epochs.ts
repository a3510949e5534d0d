/** R9, R12, R17, R20, R23: producer epochs, and requests that come too late. */
import { IdempotentProducer, Topic } from "@exactly-once/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import assert from "node:assert/strict"
import type { Observation } from "../Proxy.ts"
import type { Case } from "./Case.ts"
import { within } from "./EventLog.ts"
import { steady } from "./outcomes.ts"
import { gated } from "./ownership.ts"
import { awaitSeen, committing, field, saw, seenSince, transactional, under } from "./wire.ts"
import { idOf, type Target, type World } from "./World.ts"

const speaksV2 = ({ broker, capabilities }: Target) => capabilities.transactionsV2 && broker.transactionVersion === 2

const onlyV1 = (target: Target) =>
  speaksV2(target) ? "with transactions version 2 every end of a transaction brings a new epoch" : undefined

/** Whether an id got a new epoch between a fault and the first request of its next transaction. */
const newEpochAfter = (journal: ReadonlyArray<Observation>, fault: Observation): boolean => {
  const id = field(fault.request(), "transactionalId")
  const later = journal.filter((observation) =>
    observation.phase === "received" && observation.index > fault.index &&
    typeof id === "string" && under(id)(observation.request())
  )
  const init = later.findIndex(({ api }) => api === "InitProducerId")
  const next = later.findIndex((observation) =>
    saw("received", transactional)(observation) && !(observation.api === "EndTxn")
  )
  return init >= 0 && (next < 0 || init < next)
}

const outputIsFree = (world: World) =>
  Effect.gen(function*() {
    for (let partition = 0; partition < world.partitions; partition++) {
      assert.deepEqual(yield* world.probe.openTransactions(world.output, partition), [])
    }
  })

export const epochs: ReadonlyArray<Case> = [
  {
    rule: "R9",
    name: "fenced from outside in mid-transaction: a hiccup for the rightful owner, never a duplicate",
    inapplicable: ({ capabilities }) =>
      capabilities.ownEpochInit ? "a fenced session of this driver stops: the newer owner wins" : undefined,
    run: (world) =>
      Effect.gen(function*() {
        const gate = yield* gated(world, idOf(0, 1))
        const a = yield* steady(world, { body: gate.body })
        yield* world.fill(2, 0)
        yield* gate.reached
        yield* world.probe.transaction(a.transactionalId, 10_000)
        yield* gate.open
        const ended = yield* a.outcomes.next("the fenced transaction ends", undefined, 1)
        assert.equal(ended._tag, "Aborted")
        yield* world.fill(2)
        yield* world.exact
        assert.equal(yield* a.ended, undefined)
      })
  },
  {
    rule: "R9",
    name: "a session fenced by a newer owner of its id stops, and never takes the id back",
    inapplicable: ({ capabilities }) =>
      capabilities.ownEpochInit
        ? undefined
        : "the driver cannot init with its own epoch; it confirms its assignment instead",
    run: (world) =>
      Effect.gen(function*() {
        const gate = yield* gated(world, idOf(0, 1))
        const a = yield* steady(world, { body: gate.body })
        yield* world.fill(2, 0)
        yield* gate.reached
        const mark = yield* a.proxy.mark
        yield* world.probe.transaction(a.transactionalId, 10_000)
        yield* gate.open
        assert.equal(field(yield* a.failure, "_tag"), "ProducerFenced")
        const fencing = (body: unknown) => under(a.transactionalId)(body) && field(body, "producerId") === -1n
        assert.deepEqual(yield* seenSince(a.proxy, saw("received", ["InitProducerId"], fencing), mark), [])
      })
  },
  {
    rule: "R9",
    name: "a thawed zombie does not fence the member that has its partition now",
    run: (world) =>
      Effect.gen(function*() {
        const gate = yield* gated(world, idOf(0, 1))
        const a = yield* steady(world, { body: gate.body, transactionTimeoutMs: 15_000 })
        yield* world.fill(1, 0)
        yield* gate.reached
        const { thaw } = yield* a.proxy.freeze()
        const b = yield* world.worker({ replica: "b" })
        yield* b.outcomes.next("the new owner commits the batch", ({ _tag }) => _tag === "Committed")
        yield* thaw
        yield* gate.open
        for (let i = 0; i < 10; i++) yield* world.fill(2, 0)
        yield* a.outcomes.next("the zombie's transaction ends", undefined, 1)
        yield* world.exact
        assert.deepEqual(b.outcomes.all.filter(({ _tag }) => _tag !== "Committed" && _tag !== "Empty"), [])
      })
  },
  {
    rule: "R12",
    name: "a coordinator that is still ending the last transaction is asked again soon, and nothing aborts",
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* steady(world)
        const api = speaksV2(world.target) ? "Produce" as const : "AddPartitionsToTxn" as const
        for (const nth of [1, 2, 3]) yield* a.proxy.inject({ api, nth, when: "before", do: { error: 51 } })
        yield* world.fill(1, 0)
        const ended = yield* a.outcomes.next("the transaction ends", undefined, 1)
        assert.equal(ended._tag, "Committed")
        assert.ok(ended.elapsedMs < 1_000, `three refusals cost ${ended.elapsedMs} ms`)
        yield* world.exact
      })
  },
  {
    rule: "R12",
    name: "many small transactions in a row do not wait for each other's markers with a client's long back-off",
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* steady(world, { maxBytesPerPartition: 1 })
        for (let i = 0; i < 40; i++) yield* world.fill(1, 0)
        yield* world.exact
        const own = a.outcomes.all.slice(1)
        assert.deepEqual(own.filter(({ _tag }) => _tag !== "Committed"), [])
        const longest = Math.max(...own.map(({ elapsedMs }) => elapsedMs))
        assert.ok(longest < 2_000, `the longest took ${longest} ms`)
      })
  },
  {
    rule: "R17",
    name: "a send without an answer is aborted, and never sent again in its transaction",
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* steady(world)
        const rule = yield* a.proxy.inject({ api: "Produce", when: "after", do: "cut" })
        yield* world.fill(3, 0)
        yield* within("the answer is lost", rule.fired)
        const fault = yield* awaitSeen("the fault", a.proxy, saw("faulted", ["Produce"]))
        const next = yield* awaitSeen(
          "the id's next step",
          a.proxy,
          saw("received", ["Produce", "EndTxn", "InitProducerId"], under(a.transactionalId)),
          fault.index
        )
        assert.notEqual(next.api, "Produce")
        yield* world.exact
      })
  },
  {
    rule: "R17",
    name: "an idempotent send without an answer says that it is unknown, and the next one is not mistaken for it",
    run: (world) =>
      Effect.gen(function*() {
        const proxy = yield* world.proxy
        const topic = Topic.string(world.output)
        yield* Effect.gen(function*() {
          const send = (value: string) => IdempotentProducer.send(topic, [{ key: "k", value, partition: 0 }])
          yield* send("first")
          yield* proxy.inject({ api: "Produce", when: "after", do: "cut" })
          const lost = yield* Effect.exit(within("the lost send ends", send("lost")))
          yield* send("third")
          const { committed } = yield* world.probe.fetch(world.output, 0, 0n)
          const values = committed.flatMap(({ records }) => records).map(world.spec.id)
          assert.equal(values.filter((value) => value === "first").length, 1)
          assert.equal(values.filter((value) => value === "third").length, 1)
          // A driver that may repeat the same sequences gets its answer; one that may not says that it cannot know.
          assert.equal(values.filter((value) => value === "lost").length, 1)
          if (lost._tag === "Failure") assert.match(String(lost.cause), /DeliveryUnknown/)
        }).pipe(Effect.provide(
          IdempotentProducer.layer({ deliveryTimeout: "15 seconds" }).pipe(
            Layer.provide(world.target.driver(proxy.bootstrap))
          )
        ))
      })
  },
  {
    rule: "R20",
    name: "the transaction protocol is the one that the cluster has finalized",
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* steady(world)
        const ends = yield* seenSince(a.proxy, saw("received", ["EndTxn"]))
        const adds = yield* seenSince(a.proxy, saw("received", ["AddPartitionsToTxn", "AddOffsetsToTxn"]))
        assert.ok(ends.length > 0)
        if (speaksV2(world.target)) {
          assert.ok(ends.every(({ version }) => version >= 5))
          assert.equal(adds.length, 0)
        } else {
          assert.ok(ends.every(({ version }) => version <= 4))
          assert.ok(adds.length > 0)
        }
      })
  },
  {
    rule: "R20",
    name: "a cluster whose software is new and whose finalized version is 1 is spoken to in version 1",
    inapplicable: (target) => speaksV2(target) ? undefined : "the driver or the cluster knows version 1 only",
    run: (world) =>
      Effect.gen(function*() {
        const proxy = yield* world.proxy
        const downgrade = (body: unknown) => {
          const features = field(body, "finalizedFeatures")
          return {
            ...Object(body),
            finalizedFeatures: Array.isArray(features)
              ? features.map((feature) =>
                field(feature, "name") === "transaction.version"
                  ? { ...Object(feature), maxVersionLevel: 1, minVersionLevel: 1 }
                  : feature
              )
              : []
          }
        }
        yield* proxy.inject({ api: "ApiVersions", nth: "every", when: "after", do: { rewrite: downgrade } })
        yield* steady(world, { proxy })
        const ends = yield* seenSince(proxy, saw("received", ["EndTxn"]))
        assert.ok(ends.length > 0 && ends.every(({ version }) => version <= 4))
      })
  },
  {
    rule: "R23",
    name: "a Produce that arrives late does not land in the next transaction",
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* steady(world, { transactionTimeoutMs: 3_000 })
        const rule = yield* a.proxy.inject({ api: "Produce", when: "before", do: "hold", blocks: false })
        yield* world.fill(3, 0)
        yield* within("the Produce is held", rule.fired)
        const fault = yield* awaitSeen("the fault", a.proxy, saw("faulted", ["Produce"]))
        yield* world.exact
        if (onlyV1(world.target) === undefined) {
          assert.ok(newEpochAfter(yield* a.proxy.journal(), fault), "a new epoch before the next transaction")
        }
        // The next transaction of the id is open on the same partition when the late copy arrives.
        const end = yield* a.proxy.inject({ api: "EndTxn", when: "before", do: "hold", blocks: false })
        yield* world.fill(1, 0)
        yield* within("the next transaction is about to end", end.fired)
        yield* rule.release
        const late = yield* awaitSeen(
          "the late Produce is answered",
          a.proxy,
          (observation) => observation.exchange === fault.exchange && observation.phase === "answered"
        )
        const [topic] = Array.isArray(field(late.response(), "responses"))
          ? field(late.response(), "responses") as Array<unknown>
          : []
        const [partition] = field(topic, "partitionResponses") as Array<unknown>
        assert.notEqual(field(partition, "errorCode"), 0, "the broker refuses it")
        yield* end.release
        yield* world.exact
        yield* outputIsFree(world)
      })
  },
  {
    rule: "R23",
    name: "an EndTxn that arrives late does not end the next transaction",
    run: (world) =>
      Effect.gen(function*() {
        const a = yield* steady(world, { transactionTimeoutMs: 3_000 })
        const rule = yield* a.proxy.inject({
          api: "EndTxn",
          where: committing,
          when: "before",
          do: "hold",
          blocks: false
        })
        yield* world.fill(3, 0)
        yield* within("the EndTxn is held", rule.fired)
        const fault = yield* awaitSeen("the fault", a.proxy, saw("faulted", ["EndTxn"]))
        yield* world.exact
        if (onlyV1(world.target) === undefined) {
          assert.ok(newEpochAfter(yield* a.proxy.journal(), fault), "a new epoch before the next transaction")
        }
        const gate = yield* a.proxy.inject({ api: "EndTxn", when: "before", do: "hold", blocks: false })
        yield* world.fill(1, 0)
        yield* within("the next transaction is about to end", gate.fired)
        yield* rule.release
        const late = yield* awaitSeen(
          "the late EndTxn is answered",
          a.proxy,
          (observation) => observation.exchange === fault.exchange && observation.phase === "answered"
        )
        assert.notEqual(field(late.response(), "errorCode"), 0, "the broker refuses it")
        yield* gate.release
        yield* world.exact
        yield* outputIsFree(world)
      })
  }
]
