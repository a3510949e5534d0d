/** H9, H10, H13: whose offsets count, and who may commit them. */
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { committedValues, record, stableOffset } from "../support/kafka.ts"
import { join } from "../support/member.ts"
import {
  beside,
  type Cluster,
  copying,
  driverOf,
  idOfInput,
  plainConsumer,
  plainOffset,
  plainProducer,
  promised,
  sent,
  until,
  within,
  type World,
  world
} from "./support.ts"

/** An owner whose transaction is complete but for its end: the copy, and the offset behind the record. */
const predecessor = (w: World, id: string, groupId: string, input: string, output: string) =>
  Effect.gen(function*() {
    yield* w.probe.produce(input, 0, [record("k", "x")])
    const transaction = yield* w.probe.transaction(id, 30_000)
    yield* transaction.produce(output, 0, [record("k", "x")])
    yield* transaction.sendOffset(groupId, input, 0, 1n)
    return transaction
  })

/** Commits a plain copy with the offset behind it. */
const plainCopy = (
  producer: Effect.Success<ReturnType<typeof plainProducer>>,
  w: World,
  value: string
) =>
  promised(async () => {
    const transaction = await producer.transaction()
    await transaction.send({ topic: w.plainOut, messages: [{ key: "k", value }] })
    await transaction.sendOffsets(plainOffset(w.plainGroup, w.plainIn, 1))
    await transaction.commit()
  })

const takeoverOrder = (cluster: Cluster) =>
  it.live("H9: a new owner fences its predecessor before it reads where to begin", () =>
    Effect.gen(function*() {
      const w = yield* world(cluster)
      const { output, plainOut, probe, proxy } = w
      const services = yield* Effect.context()

      // Offsets first, the epoch at the first transaction: the predecessor's commit fits between the two.
      const first = yield* predecessor(w, w.name("plain"), w.plainGroup, w.plainIn, plainOut)
      const producer = yield* plainProducer(proxy.bootstrap, w.name("plain"))
      const done = yield* Deferred.make<void>()
      const whole = first.end(true).pipe(
        Effect.andThen(plainCopy(producer, w, "x")),
        Effect.andThen(Deferred.succeed(done, undefined))
      )
      yield* plainConsumer(
        proxy.bootstrap,
        w.plainIn,
        { groupId: w.plainGroup, autoCommit: false },
        () => Effect.runPromiseWith(services)(Effect.asVoid(whole))
      )
      yield* within("the plain owner copies the record", Deferred.await(done))
      assert.deepStrictEqual(yield* committedValues(probe, plainOut), ["x", "x"])

      // The other way round: by the time a record is handed out, the predecessor's commit is refused.
      const second = yield* predecessor(w, idOfInput(w), w.group, w.input, output)
      const refused: Array<unknown> = []
      const worker = copying(w, {
        inside: () =>
          second.end(true).pipe(
            Effect.catch((error) => Effect.sync(() => refused.push(error.code))),
            Effect.asVoid
          )
      })
      const fiber = yield* Effect.forkChild(worker.run)
      yield* until("the copy commits", Effect.sync(() => worker.outcomes.some(({ _tag }) => _tag === "Committed")))
      yield* Fiber.interrupt(fiber)
      assert.lengthOf(refused, 1)
      assert.include([47, 90], refused[0])
      assert.deepStrictEqual(yield* committedValues(probe, output), ["x"])
      assert.strictEqual((yield* stableOffset(probe, w.group, w.input)).offset, 1n)
    }))

const commitDuringTakeover = (cluster: Cluster) =>
  it.live("H9: a commit that lands while a new owner takes over counts: it begins behind it", () =>
    Effect.gen(function*() {
      const w = yield* world(cluster)
      const { input, output, probe, proxy } = w
      const first = yield* predecessor(w, idOfInput(w), w.group, input, output)
      const init = yield* proxy.inject({
        api: "InitProducerId",
        where: (body) => Reflect.get(Object(body), "transactionalId") === idOfInput(w),
        when: "before",
        do: "hold"
      })
      const worker = copying(w)
      const fiber = yield* Effect.forkChild(worker.run)
      yield* within("the new owner takes over", init.fired)
      yield* first.end(true)
      yield* init.release
      yield* probe.produce(input, 0, [record("k", "y")])
      yield* until(
        "the next record is copied",
        Effect.sync(() => worker.outcomes.some(({ _tag }) => _tag === "Committed"))
      )
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* committedValues(probe, output), ["x", "y"])
    }))

const staleBatch = (cluster: Cluster) =>
  it.live("H10: a batch that its owner lost and got back is stale, though generation and epoch are current", () =>
    Effect.gen(function*() {
      const w = yield* world(cluster)
      const { input, output, plainOut, probe, proxy } = w
      yield* probe.produce(w.plainIn, 0, [record("k", "x")])

      // A queue between reading and writing, and the partition goes away and comes back meanwhile.
      const queue: Array<string> = []
      const older = yield* plainConsumer(
        proxy.bootstrap,
        w.plainIn,
        { groupId: w.plainGroup, clientId: "z-older", autoCommit: false },
        async (value) => {
          queue.push(value)
        }
      )
      yield* until("the record is queued", Effect.sync(() => queue.length === 1))
      const between = yield* plainProducer(proxy.bootstrap, w.name("plain"))
      let taken = false
      // kafkajs gives a single partition to the member whose id sorts first
      const newer = yield* plainConsumer(
        proxy.bootstrap,
        w.plainIn,
        { groupId: w.plainGroup, clientId: "a-newer", autoCommit: false },
        async (value) => {
          await Effect.runPromise(plainCopy(between, w, value))
          taken = true
        }
      )
      yield* until("another member copies the record", Effect.sync(() => taken))
      const joins = older.assignments.length
      yield* promised(() => newer.consumer.disconnect())
      yield* until(
        "the partition is back",
        Effect.sync(() => older.assignments.length > joins && older.assignments.at(-1)?.length === 1)
      )
      const again = yield* plainProducer(proxy.bootstrap, w.name("plain"))
      for (const value of queue) yield* plainCopy(again, w, value)
      assert.deepStrictEqual(yield* committedValues(probe, plainOut), ["x", "x"])

      // The same with batches in a queue of their own.
      yield* probe.produce(input, 0, [record("k", "x")])
      const queued = yield* Deferred.make<void>()
      const gate = yield* Deferred.make<void>()
      const mine = copying(w, {
        replica: "z-older",
        before: () => Effect.andThen(Deferred.succeed(queued, undefined), Deferred.await(gate))
      })
      const fiber = yield* Effect.forkChild(mine.run)
      yield* within("the batch is queued", Deferred.await(queued))
      const theirs = copying(w, { replica: "a-newer" })
      const other = yield* Effect.forkChild(theirs.run)
      yield* until(
        "another member copies the record",
        Effect.sync(() => theirs.outcomes.some(({ _tag }) => _tag === "Committed"))
      )
      const from = yield* proxy.mark
      yield* Fiber.interrupt(other)
      const back = yield* within(
        "the partition's offset is read again",
        proxy.observed(
          (seen) => seen.phase === "delivered" && seen.api === "OffsetFetch" && seen.clientId === "z-older",
          from
        )
      )
      yield* within(
        "the partition is fetched again",
        proxy.observed((seen) => seen.api === "Fetch" && seen.clientId === "z-older", back.index)
      )
      yield* Deferred.succeed(gate, undefined)
      yield* probe.produce(input, 0, [record("k", "y")])
      yield* until(
        "the next record is copied",
        Effect.sync(() => mine.outcomes.some(({ _tag }) => _tag === "Committed"))
      )
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* committedValues(probe, output), ["x", "y"])
      assert.strictEqual((yield* stableOffset(probe, w.group, input)).offset, 2n)
    }))

const besideTheTransaction = (cluster: Cluster) =>
  it.live("H13: an offset is committed by its transaction only", () =>
    Effect.gen(function*() {
      const w = yield* world(cluster)
      const { input, output, plainOut, probe, proxy } = w
      yield* probe.produce(w.plainIn, 0, [record("k", "x")])

      // The transaction aborts, and its offset is committed all the same: the record is never read again.
      const producer = yield* plainProducer(proxy.bootstrap, w.name("plain"))
      let aborted = false
      const member = yield* plainConsumer(proxy.bootstrap, w.plainIn, { groupId: w.plainGroup }, async (value) => {
        const transaction = await producer.transaction()
        await transaction.send({ topic: plainOut, messages: [{ key: "k", value }] })
        await transaction.sendOffsets(plainOffset(w.plainGroup, w.plainIn, 1))
        await transaction.abort()
        aborted = true
      })
      yield* until("the plain transaction aborts", Effect.sync(() => aborted))
      yield* promised(() => member.consumer.disconnect())
      assert.isAbove(yield* sent(w, "OffsetCommit", "plain"), 0)
      assert.strictEqual((yield* stableOffset(probe, w.plainGroup, w.plainIn)).offset, 1n)
      assert.deepStrictEqual(yield* committedValues(probe, plainOut), [])

      yield* probe.produce(input, 0, [record("k", "x")])
      const failing = copying(w, { inside: () => Effect.fail(new Error("the body fails")) })
      yield* Effect.flip(failing.run)
      assert.strictEqual((yield* stableOffset(probe, w.group, input)).offset, -1n)
      const working = copying(w)
      const fiber = yield* Effect.forkChild(working.run)
      yield* until("the copy commits", Effect.sync(() => working.outcomes.some(({ _tag }) => _tag === "Committed")))
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* committedValues(probe, output), ["x"])
      assert.strictEqual((yield* stableOffset(probe, w.group, input)).offset, 1n)
      assert.isAbove(yield* sent(w, "TxnOffsetCommit", "a"), 0)
      assert.strictEqual(yield* sent(w, "OffsetCommit", "a"), 0)
    }))

const deliveredIn = (cluster: Cluster) =>
  it.live("H10: a batch carries the generation that it was delivered in", () =>
    Effect.gen(function*() {
      const { driver, name, probe } = yield* beside(cluster, { in: 1 })
      yield* probe.produce(name("in"), 0, [record("k", "x")])
      const group = { groupId: name("group"), topics: [name("in")], member: { replica: "a", incarnation: 1n } }
      const member = yield* join(driver, group)
      const [batch] = yield* member.consumer.poll
      const generation = batch?.delivery.generation ?? 0
      const other = yield* join(yield* driverOf(cluster), { ...group, member: { replica: "b", incarnation: 1n } })
      yield* other.told(/assigned/)
      yield* member.told(/revoked 0/)
      const [again] = yield* member.consumer.poll
      assert.strictEqual(batch?.delivery.generation, generation)
      assert.isAbove(again?.delivery.generation ?? 0, generation)
    }))

export const owning = (cluster: Cluster) => {
  takeoverOrder(cluster)
  commitDuringTakeover(cluster)
  staleBatch(cluster)
  deliveredIn(cluster)
  besideTheTransaction(cluster)
}
