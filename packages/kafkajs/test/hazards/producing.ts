/** H5, H6, H15: producers after an error, a commit in doubt, an id that is taken over. */
import { assert, it } from "@effect/vitest"
import { Topic, Transaction, withTransaction } from "@exactly-once/core"
import { KafkaJs } from "@exactly-once/kafkajs"
import { Apis, type ProduceRequest } from "@exactly-once/protocol"
import { Effect, Fiber, References } from "effect"
import { committedValues, failure, producerOf, record, stableOffset } from "../support/kafka.ts"
import {
  aborted,
  type Cluster,
  layers,
  plainOffset,
  plainProducer,
  promised,
  rejection,
  until,
  within,
  type World,
  world
} from "./support.ts"

/**
 * A client's next write is taken for lost and its client told so (7, REQUEST_TIMED_OUT), and the write after it is held:
 * what was taken for lost arrives in between.
 */
const delayWrite = ({ probe, proxy }: World, clientId: string) =>
  Effect.gen(function*() {
    const from = yield* proxy.mark
    yield* proxy.inject({ api: "Produce", clientId, nth: 1, when: "before", do: { error: 7 } })
    const next = yield* proxy.inject({ api: "Produce", clientId, nth: 2, when: "before", do: "hold" })
    return {
      /** It arrives when the next transaction is about to write. Answers the code that it gets. */
      arrives: Effect.gen(function*() {
        const delayed = yield* proxy.observed(({ api, phase }) => phase === "faulted" && api === "Produce", from)
        yield* next.fired
        // The only broker there is.
        const broker = yield* probe.coordinator("transaction", clientId)
        // The proxy decodes a request by its own key and version: this is what a Produce gives.
        const request = delayed.request() as ProduceRequest.ProduceRequestInput
        const { responses } = yield* broker.request(Apis.Produce, delayed.version, request)
        return responses[0]?.partitionResponses[0]?.errorCode
      }).pipe((arrival) => within("the delayed write arrives", arrival)),
      goOn: next.release
    }
  })

const lateWrite = (cluster: Cluster) =>
  it.live("H5: a write of an aborted transaction that arrives late gets into no later one", () =>
    Effect.gen(function*() {
      const w = yield* world(cluster)
      const { output, plainOut, probe, proxy } = w

      // Reused after an error, with the epoch of before: the late write commits, and takes the place of the right one.
      const client = yield* plainProducer(proxy.bootstrap, w.name("plain"))
      const reused = yield* delayWrite(w, "plain")
      const first = yield* promised(() => client.transaction())
      yield* rejection(() => first.send({ topic: plainOut, messages: [{ value: "aborted" }] }))
      yield* promised(() => first.abort())
      // its markers are written after the answer, and this client is not to retry
      yield* aborted(probe, w.name("plain"))
      const second = yield* promised(() => client.transaction())
      const sending = yield* Effect.forkChild(
        promised(() => second.send({ topic: plainOut, messages: [{ value: "right" }] }))
      )
      assert.strictEqual(yield* reused.arrives, 0)
      yield* reused.goOn
      yield* Fiber.join(sending)
      yield* promised(() => second.commit())
      assert.deepStrictEqual(yield* committedValues(probe, plainOut), ["aborted"])

      const driver = yield* KafkaJs.make({ bootstrap: proxy.bootstrap, clientId: "ours", clientLogLevel: "nothing" })
      const producer = yield* producerOf(driver, w.name("ours"))
      const before = yield* producer.init("Takeover")
      const renewed = yield* delayWrite(w, "ours")
      const broken = yield* producer.begin
      yield* broken.send(output, [record("k", "aborted")])
      yield* failure(broken.flush)
      yield* broken.abort
      // there is no next transaction without a new epoch
      assert.strictEqual(yield* failure(producer.begin), "Fatal")
      const after = yield* producer.init("Own")
      assert.isTrue(after.epoch > before.epoch || after.producerId !== before.producerId)
      const next = yield* producer.begin
      yield* next.send(output, [record("k", "right")])
      const committing = yield* Effect.forkChild(next.commit)
      assert.strictEqual(yield* renewed.arrives, 47)
      yield* renewed.goOn
      yield* Fiber.join(committing)
      assert.deepStrictEqual(yield* committedValues(probe, output), ["right"])
    }))

const offsetIsNoProof = (cluster: Cluster) =>
  it.live("H6: an offset that was reached is not taken for the proof of one's own commit", () =>
    Effect.gen(function*() {
      const w = yield* world(cluster)
      const { output, plainOut, probe, proxy } = w
      const notApplied = { api: "EndTxn", when: "before", do: "cut" } as const

      // By the offset alone: a marker that another owner of the id has written says that the lost commit took effect.
      const marker = plainOffset(w.plainGroup, w.plainIn, 1)
      const client = yield* plainProducer(proxy.bootstrap, w.name("plain"))
      const mine = yield* promised(() => client.transaction())
      yield* promised(() => mine.send({ topic: plainOut, messages: [{ value: "mine" }] }))
      yield* promised(() => mine.sendOffsets(marker))
      yield* proxy.inject({ ...notApplied, clientId: "plain" })
      yield* rejection(() => mine.commit())
      const other = yield* plainProducer(proxy.bootstrap, w.name("plain"), "other")
      const theirs = yield* promised(() => other.transaction())
      yield* promised(() => theirs.send({ topic: plainOut, messages: [{ value: "theirs" }] }))
      yield* promised(() => theirs.sendOffsets(marker))
      yield* promised(() => theirs.commit())
      const reached = yield* stableOffset(probe, w.plainGroup, w.plainIn)
      assert.strictEqual(reached.offset, 1n)
      assert.deepStrictEqual(yield* committedValues(probe, plainOut), ["theirs"])

      // The same, and the token read back is not ours: the transaction is known to have aborted, and is done again.
      const lost = yield* proxy.inject({ ...notApplied, clientId: "ours" })
      const outcomes: Array<string> = []
      /** What our last request of this kind named. */
      const requested = (api: string, name: string) =>
        Effect.map(proxy.journal(), (journal) => {
          const last = journal.findLast((seen) =>
            seen.phase === "received" && seen.api === api && seen.clientId === "ours"
          )
          const named: unknown = Reflect.get(Object(last?.request()), name)
          assert(typeof named === "string", `${api} names no ${name}`)
          return named
        })
      const transact = withTransaction(
        Transaction.emit(Topic.string(output), [{ key: "k", value: "mine" }])
      )
      const fiber = yield* Effect.gen(function*() {
        // the session's own start is over, so that what is held is the new epoch that the doubt asks for
        const recovery = yield* proxy.inject({ api: "InitProducerId", clientId: "ours", when: "before", do: "hold" })
        const attempt = yield* Effect.forkChild(Effect.result(transact))
        yield* within("the commit is lost", lost.fired)
        yield* within("the session asks for a new epoch", recovery.fired)
        const group = yield* requested("TxnOffsetCommit", "groupId")
        const id = yield* requested("InitProducerId", "transactionalId")
        const rival = yield* probe.transaction(id, 10_000)
        yield* rival.produce(output, 0, [record("k", "theirs")])
        yield* rival.sendOffset(group, output, 0, 0n)
        yield* rival.end(true)
        yield* recovery.release
        const result = yield* Fiber.join(attempt)
        assert.strictEqual(result._tag, "Failure")
        yield* transact
      }).pipe(
        Effect.provide(layers(w, { replica: "ours" }, ({ _tag }) => outcomes.push(_tag))),
        Effect.provideService(References.MinimumLogLevel, "None"),
        Effect.forkChild
      )
      yield* within("the transaction is done again", Fiber.join(fiber))
      assert.deepStrictEqual(outcomes, ["Aborted", "Committed"])
      assert.strictEqual(
        (yield* stableOffset(probe, yield* requested("TxnOffsetCommit", "groupId"), output)).offset,
        0n
      )
      assert.deepStrictEqual(yield* committedValues(probe, output), ["theirs", "mine"])
    }))

const takenOver = (cluster: Cluster) =>
  it.live("H15: not applicable to kafkajs, whose InitProducerId names no producer: a restart takes its id over", () =>
    Effect.gen(function*() {
      const w = yield* world(cluster)
      const { output, probe, proxy } = w
      const driverOf = (clientId: string) =>
        KafkaJs.make({ bootstrap: proxy.bootstrap, clientId, clientLogLevel: "nothing" })
      const older = yield* producerOf(yield* driverOf("older"), w.name("ours"))
      yield* older.init("Takeover")
      const stale = yield* older.begin
      yield* stale.send(output, [record("k", "older")])
      yield* stale.flush
      const newer = yield* producerOf(yield* driverOf("newer"), w.name("ours"))
      yield* newer.init("Takeover")
      assert.strictEqual(yield* failure(stale.commit), "Fenced")
      const next = yield* newer.begin
      yield* next.send(output, [record("k", "newer")])
      yield* next.commit
      yield* until("the restart commits", Effect.map(committedValues(probe, output), ({ length }) => length === 1))
      assert.deepStrictEqual(yield* committedValues(probe, output), ["newer"])
      const inits = (yield* proxy.journal()).filter(({ api, phase }) =>
        api === "InitProducerId" && phase === "received"
      )
      assert.isAbove(inits.length, 1)
      // version 1 has no fields for a producer id and an epoch: there is nothing that could be filled in wrongly
      assert.isTrue(inits.every(({ version }) => version === 1))
    }))

export const producing = (cluster: Cluster) => {
  lateWrite(cluster)
  offsetIsNoProof(cluster)
  takenOver(cluster)
}
