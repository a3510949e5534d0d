/**
 * One row of the lab: four shares of the flights, each with a fault of its own. The faults are placed by the requests on
 * the wire, so that they strike at the same place in every row and every run.
 */
import { IdempotentProducer } from "@exactly-once/core"
import { KafkaJs } from "@exactly-once/kafkajs"
import { Probe, Proxy } from "@exactly-once/testkit"
import { Array as Arr, Data, Effect, Layer, Schedule, type Scope } from "effect"
import { randomUUID } from "node:crypto"
import { readFlights } from "../flights/data.ts"
import { topics } from "../flights/topics.ts"
import type { LabCluster } from "./cluster.ts"
import { count, type Counts } from "./count.ts"
import { collect, type Evidence } from "./evidence.ts"
import { startWorker } from "./process.ts"
import type { Row } from "./rows.ts"

/** The lab itself failed: nothing can be said about the row. */
class Undecided extends Data.TaggedError("Undecided")<{ readonly message: string }> {}

export const faults = ["lost answer", "crash", "zombie", "abort"] as const
export type Fault = typeof faults[number]

export interface Outcome extends Counts {
  readonly evidence: Evidence
}

export interface RowResult {
  readonly row: Row
  readonly faults: Readonly<Record<Fault, Outcome>>
  readonly total: Counts
}

const partitions = 2
const share = 600
const perSend = 50

const patiently = <A, E>(what: string, effect: Effect.Effect<A, E>) =>
  Effect.timeoutOrElse(effect, {
    duration: "30 seconds",
    orElse: () => Effect.fail(new Undecided({ message: `waited 30 s in vain for ${what}` }))
  })

export const runRow = (row: Row, lab: LabCluster) =>
  Effect.scoped(Effect.gen(function*() {
    const probe = yield* Probe.make(lab.bootstrap)
    const proxy = yield* Proxy.make({ bootstrap: lab.bootstrap })
    const run = randomUUID().slice(0, 8)
    const { flights, groupId, late, punctual } = topics(run)
    const outputs = [late.name, punctual.name]
    for (const topic of [flights.name, ...outputs]) yield* probe.createTopic(topic, partitions)
    const data = readFlights()
    const environment = { KAFKA_BOOTSTRAP: proxy.bootstrap.join(","), FLIGHTS_RUN: run }

    const load = (from: number) =>
      Effect.forEach(
        Arr.chunksOf(data.slice(from, from + share), perSend),
        (some) => IdempotentProducer.send(flights, some),
        { discard: true }
      ).pipe(Effect.provide(
        IdempotentProducer.layer().pipe(Layer.provide(KafkaJs.layer({ bootstrap: lab.bootstrap, clientId: "loader" })))
      ))

    const atEnd = Effect.gen(function*() {
      for (let partition = 0; partition < partitions; partition++) {
        const end = yield* probe.offset(flights.name, partition, "end")
        if ((yield* probe.committed(groupId, flights.name, partition)).offset < end) return false
      }
      return true
    })
    const decided = Effect.gen(function*() {
      for (const topic of outputs) {
        for (let partition = 0; partition < partitions; partition++) {
          const stable = yield* probe.offset(topic, partition, "lastStable")
          if (stable < (yield* probe.offset(topic, partition, "end"))) return false
        }
      }
      return true
    })
    const until = <E>(what: string, condition: Effect.Effect<boolean, E>) =>
      patiently(what, Effect.repeat(condition, { until: (done) => done, schedule: Schedule.spaced("25 millis") }))
    const consumed = until("the group to reach the end of its input", atEnd)
    const drained = Effect.andThen(consumed, until("the last transaction to end", decided))

    const worker = (name: string, more: Readonly<Record<string, string>> = {}) =>
      startWorker(row, name, { ...environment, ...more })
    const inject = (rule: Proxy.Rule) =>
      Effect.map(proxy.inject(rule), (injection) => ({
        ...injection,
        fired: patiently(`${rule.api} of ${String(rule.clientId)}`, injection.fired)
      }))

    const play: Readonly<Record<Fault, Effect.Effect<void, unknown, Scope.Scope>>> = {
      // The broker has the batch, its answer does not arrive.
      "lost answer": Effect.gen(function*() {
        const lost = yield* inject({ api: "Produce", clientId: "worker-1", nth: 2, when: "after", do: "cut" })
        const one = yield* worker("worker-1")
        yield* lost.fired
        yield* drained
        yield* one.stop
      }),
      // Killed with -9 between its two writes.
      crash: Effect.gen(function*() {
        const between = yield* inject({ api: row.weakest, clientId: "worker-1", nth: 2, when: "before", do: "drop" })
        const one = yield* worker("worker-1")
        yield* between.fired
        yield* one.kill
        yield* lab.expireSessions
        const again = yield* worker("worker-1")
        yield* drained
        yield* again.stop
      }),
      // Frozen between its two writes until another has its partitions and has done its work; then it wakes up.
      zombie: Effect.gen(function*() {
        const between = yield* inject({ api: row.weakest, clientId: "worker-1", nth: 2, when: "before", do: "hold" })
        const one = yield* worker("worker-1")
        yield* between.fired
        yield* one.freeze
        yield* lab.expireSessions
        const two = yield* worker("worker-2")
        // Its own transaction may be open still: that is what it will try to commit.
        yield* consumed
        const from = yield* proxy.mark
        yield* between.release
        yield* one.thaw
        // It has come to an end of its own with that transaction when the group hears of it again.
        yield* patiently(
          "the zombie to come back to its group",
          proxy.observed(({ api, clientId, phase }) =>
            clientId === "worker-1" && phase === "answered" && (api === "JoinGroup" || api === "LeaveGroup"), from)
        )
        yield* drained
        yield* Effect.all([one.stop, two.stop], { concurrency: 2, discard: true })
      }),
      // The body fails once, when its outputs are written.
      abort: Effect.gen(function*() {
        const one = yield* worker("worker-1", { LAB_FAIL_ID: String(3 * share + Math.floor(share / 2)) })
        yield* drained
        yield* one.stop
      })
    }

    const results: Array<readonly [Fault, Outcome]> = []
    for (const [index, fault] of faults.entries()) {
      yield* load(index * share)
      const evidence = yield* collect(probe, proxy, outputs)
      yield* Effect.scoped(play[fault])
      yield* drained
      const counts = yield* count(probe, outputs, row.reader, index * share, (index + 1) * share)
      results.push([fault, { ...counts, evidence: yield* evidence }])
    }
    const total = yield* count(probe, outputs, row.reader, 0, faults.length * share)
    // Every fault was played above.
    return { row, faults: Object.fromEntries(results) as RowResult["faults"], total }
  }))
