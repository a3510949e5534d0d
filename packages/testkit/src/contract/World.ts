/**
 * What a case of the contract works with: topics, a group and ids that nobody else has, workers under test that reach
 * the cluster through proxies of their own, and an independent probe.
 */
import {
  type Batch,
  CommittedConsumer,
  type Driver,
  type Outcome,
  Topic,
  Transaction,
  transactionally,
  TransactionalSession
} from "@exactly-once/core"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import assert from "node:assert/strict"
import { randomUUID } from "node:crypto"
import * as Ledger from "../Ledger.ts"
import * as Probe from "../Probe.ts"
import * as Proxy from "../Proxy.ts"
import { EventLog, within } from "./EventLog.ts"

/** A driver and a cluster to hold it against. */
export interface Target {
  readonly name: string
  /** The driver over these bootstrap addresses. Built anew for every worker. */
  readonly driver: (bootstrap: ReadonlyArray<string>) => Layer.Layer<Driver.Driver, unknown>
  /** What the driver says about itself; the contract checks that it does. */
  readonly capabilities: Driver.Capabilities
  readonly broker: {
    /** Read when a case runs. */
    readonly bootstrap: () => ReadonlyArray<string>
    readonly transactionVersion: 1 | 2
    /** What silent members have. 2.5 seconds unless told; the cluster's `group.min.session.timeout.ms` must allow it. */
    readonly sessionTimeoutMs?: number
    /** The cluster's `transaction.max.timeout.ms`, above which a session is refused. Kafka's default: 15 minutes. */
    readonly maxTransactionTimeoutMs?: number
  }
}

export type InRecord = Topic.InRecord<string, string, string>
export type InBatch = Batch.Batch<InRecord>
export type Body = (batch: InBatch) => Effect.Effect<unknown, unknown, Transaction.Transaction>

export interface WorkerOptions {
  /** `a` unless told. */
  readonly replica?: string
  /** A proxy of its own unless told. */
  readonly proxy?: Proxy.Proxy["Service"]
  readonly transactionTimeoutMs?: number
  readonly sessionTimeoutMs?: number
  readonly maxBytesPerPartition?: number
  /** Copies each record unless told. */
  readonly body?: Body
  /** Puts itself between the driver and the core. */
  readonly wrap?: (driver: Layer.Layer<Driver.Driver, unknown>) => Layer.Layer<Driver.Driver, unknown>
}

export interface Worker {
  readonly proxy: Proxy.Proxy["Service"]
  readonly outcomes: EventLog<Outcome.Outcome>
  /** The values of each batch whose body began. */
  readonly bodies: EventLog<ReadonlyArray<string>>
  /** What came out of the stream. */
  readonly results: EventLog<unknown>
  /** Stops as a program does that is told to: the stream is interrupted, the group is left. */
  readonly stop: Effect.Effect<void>
  /** Awaits the stream's failure. */
  readonly failure: Effect.Effect<unknown>
  /** Awaits the stream's end, whatever it is and however long it takes. */
  readonly exit: Effect.Effect<Exit.Exit<void, unknown>>
  /** The stream's end so far. */
  readonly ended: Effect.Effect<Exit.Exit<void, unknown> | undefined>
}

export interface World {
  readonly target: Target
  readonly probe: Probe.Probe
  readonly input: string
  readonly output: string
  readonly groupId: string
  readonly prefix: string
  readonly partitions: number
  readonly spec: Ledger.Spec
  /** Puts `count` records more into each partition of the input, or into one; their ids count on. */
  readonly fill: (count: number, partition?: number) => Effect.Effect<void, unknown>
  readonly proxy: Effect.Effect<Proxy.Proxy["Service"], Proxy.ProxyError, Scope.Scope>
  readonly worker: (options?: WorkerOptions) => Effect.Effect<Worker, Proxy.ProxyError, Scope.Scope>
  /** Writes a batch's records to the output, keys and values as they are. */
  readonly copy: Body
  /** The group's committed offset of an input partition, once no pending one stands before it. */
  readonly committed: (partition: number) => Effect.Effect<bigint, unknown>
  /** Every output partition is decided to its end, and what is visible of them, in the order of their logs. */
  readonly visible: Effect.Effect<ReadonlyArray<Probe.RawRecord & { readonly partition: number }>, unknown>
  /** The pipeline comes to rest, and every record is in the output exactly once. */
  readonly exact: Effect.Effect<Ledger.Report, unknown>
}

const utf8 = new TextEncoder()
const text = new TextDecoder()

export const record = (key: string, value: string): Probe.NewRecord => ({
  key: utf8.encode(key),
  value: utf8.encode(value)
})
export const valueOf = (read: Probe.RawRecord): string => text.decode(read.value ?? new Uint8Array(0))
/** The id of a record of `fill`. */
export const idOf = (partition: number, index: number): string => `p${partition}-${index}`

/** The layers of a worker under test, for cases that wire them in their own way. */
export const layers = (
  world: Pick<World, "target" | "prefix" | "groupId">,
  bootstrap: ReadonlyArray<string>,
  options: WorkerOptions = {},
  onOutcome?: (outcome: Outcome.Outcome) => void
) => {
  const driver = Layer.fresh(world.target.driver(bootstrap))
  return Layer.mergeAll(
    TransactionalSession.layer({
      transactionalIdPrefix: world.prefix,
      replica: options.replica ?? "a",
      transactionTimeout: options.transactionTimeoutMs ?? 5_000,
      recoveryTimeout: "15 seconds",
      onOutcome: (outcome) => Effect.sync(() => onOutcome?.(outcome))
    }),
    CommittedConsumer.layer({
      groupId: world.groupId,
      sessionTimeout: options.sessionTimeoutMs ?? world.target.broker.sessionTimeoutMs ?? 2_500,
      rebalanceTimeout: 30_000,
      heartbeatInterval: 300,
      maxWait: 100,
      maxBytesPerPartition: options.maxBytesPerPartition ?? 1_048_576
    })
  ).pipe(Layer.provide(options.wrap === undefined ? driver : options.wrap(driver)))
}

const startWorker = (world: Omit<World, "worker">, options: WorkerOptions) =>
  Effect.gen(function*() {
    const proxy = options.proxy ?? (yield* world.proxy)
    const outcomes = new EventLog<Outcome.Outcome>()
    const bodies = new EventLog<ReadonlyArray<string>>()
    const results = new EventLog<unknown>()
    const body = options.body ?? world.copy
    const fiber = yield* CommittedConsumer.batches(Topic.string(world.input)).pipe(
      transactionally((batch: InBatch) => {
        bodies.push(batch.records.map(({ value }) => value))
        return body(batch)
      }),
      Stream.runForEach((result) => Effect.sync(() => results.push(result))),
      Effect.provide(layers(world, proxy.bootstrap, options, (outcome) => outcomes.push(outcome))),
      // What goes wrong here was arranged; the case says what must come of it.
      Effect.provideService(References.MinimumLogLevel, "None"),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          const why = `The worker's stream ended: ${
            Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "without a failure"
          }`
          for (const log of [outcomes, bodies, results]) log.close(why)
        })
      ),
      Effect.forkScoped
    )
    return {
      proxy,
      outcomes,
      bodies,
      results,
      stop: within("the worker stops", Fiber.interrupt(fiber)),
      failure: within("the worker's stream fails", Fiber.await(fiber)).pipe(
        Effect.flatMap((exit) =>
          Exit.isSuccess(exit)
            ? Effect.die(new Error("the stream ended, and was to fail"))
            : Effect.succeed(Cause.squash(exit.cause))
        )
      ),
      exit: Fiber.await(fiber),
      ended: Effect.sync(() => fiber.pollUnsafe())
    } satisfies Worker
  })

export const make = (target: Target, partitions = 2): Effect.Effect<World, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const bootstrap = target.broker.bootstrap()
    const probe = yield* Probe.make(bootstrap)
    const suffix = randomUUID().slice(0, 8)
    const [input, output, groupId, prefix] = [`in-${suffix}`, `out-${suffix}`, `group-${suffix}`, `app-${suffix}`]
    yield* probe.createTopic(input, partitions)
    yield* probe.createTopic(output, partitions)
    const next = Array.from({ length: partitions }, () => 0)
    const spec: Ledger.Spec = { input, outputs: [output], groupId, id: valueOf }
    const parts: Omit<World, "worker"> = {
      target,
      probe,
      input,
      output,
      groupId,
      prefix,
      partitions,
      spec,
      fill: (count, only) =>
        Effect.gen(function*() {
          for (let partition = 0; partition < partitions; partition++) {
            if (only !== undefined && only !== partition) continue
            const from = next[partition] ?? 0
            next[partition] = from + count
            const records = Array.from(
              { length: count },
              (_, index) => record(`key-${partition}`, idOf(partition, from + index))
            )
            yield* probe.produce(input, partition, records)
          }
        }),
      proxy: Proxy.make({ bootstrap }),
      copy: (batch) => Transaction.emit(Topic.string(output), batch.records.map(({ key, value }) => ({ key, value }))),
      committed: (partition) =>
        probe.committed(groupId, input, partition, { stable: true }).pipe(
          Effect.repeat({ until: ({ code }) => code === 0, schedule: Schedule.spaced("10 millis") }),
          Effect.map(({ offset }) => offset),
          (wait) => within("the committed offset is stable", wait)
        ),
      visible: Effect.gen(function*() {
        const records: Array<Probe.RawRecord & { readonly partition: number }> = []
        for (let partition = 0; partition < partitions; partition++) {
          // EndTxn is answered before its markers are written.
          const open = yield* probe.openTransactions(output, partition).pipe(
            Effect.repeat({ until: (list) => list.length === 0, schedule: Schedule.spaced("10 millis") }),
            (wait) => within("the output's transactions are decided", wait)
          )
          assert.deepEqual(open, [])
          const { committed } = yield* probe.fetch(output, partition, 0n)
          for (const batch of committed) for (const one of batch.records) records.push({ ...one, partition })
        }
        return records
      }),
      exact: Effect.gen(function*() {
        const settled = yield* Ledger.settled(probe, spec, { within: 20_000 })
        const report = yield* Ledger.audit(probe, spec)
        assert.deepEqual(Ledger.violations(report), [], "each record exactly once")
        assert.equal(report.verdict, "Exact")
        assert.ok(settled, "the pipeline came to rest")
        return report
      })
    }
    return { ...parts, worker: (options = {}) => startWorker(parts, options) }
  })
