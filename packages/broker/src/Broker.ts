/**
 * Kafka in the process, as an Effect service.
 *
 * `Broker.layer()` starts one on a free port and stops it with its scope; a client of any make connects to `bootstrap`. What a real cluster
 * does not let a test do is done through the service: deadlines advance without waiting, faults are injected, leaders and coordinators move,
 * the broker restarts, and its logs can be looked into.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { ClusterSnapshot } from "./cluster/Cluster.ts"
import type { TimeScope } from "./cluster/Options.ts"
import type { FaultRule } from "./fault/Faults.ts"
import type { CommittedOffset } from "./group/GroupCoordinator.ts"
import * as Introspection from "./introspection.ts"
import { Runtime, type RuntimeOptions } from "./Runtime.ts"
import * as Simulated from "./simulated.ts"
import type { Channel, ChannelHandlers } from "./wire/InProcess.ts"

/** Every option may be left out; see `RuntimeOptions` for their meaning and defaults. */
export type BrokerOptions = Partial<RuntimeOptions>

/** The broker could not listen: the port is taken, the host is not this machine's, or the certificate is none. */
export class BrokerStartError extends Schema.TaggedError<BrokerStartError>()("BrokerStartError", {
  cause: Schema.Defect()
}) {
  override get message() {
    return `The broker could not start: ${String(this.cause)}`
  }
}

/** The topic or partition that a call names does not exist. */
export class UnknownPartition extends Schema.TaggedError<UnknownPartition>()("UnknownPartition", {
  topic: Schema.String,
  partition: Schema.Int
}) {
  override get message() {
    return `There is no partition ${this.topic}-${this.partition}`
  }
}

/** A fault in force. */
export interface InjectedFault {
  /** How many requests it acted on so far. */
  readonly hits: Effect.Effect<number>
  /** Waits until it has acted on so many requests in all; 1 when left out. */
  readonly awaitHits: (count?: number) => Effect.Effect<void>
  readonly remove: Effect.Effect<void>
}

export interface BrokerShape {
  /** `host:port` of every node, joined by commas. */
  readonly bootstrap: string
  /** The same as a list; the first is node 1. */
  readonly addresses: ReadonlyArray<string>
  /** A connection without a socket; bytes in, bytes out. */
  readonly connect: (handlers: ChannelHandlers, node?: number) => Channel
  /**
   * Moves deadlines nearer by `duration` and acts on those reached: timeouts of transactions, session timeouts of group members, or the
   * expiry of ids, producers and committed offsets. Long polls and rebalance timeouts keep to real time.
   */
  readonly advance: (duration: Duration.Input, scope: TimeScope) => Effect.Effect<void>
  /** Adds a fault rule behind those in force. It stays until it is removed. */
  readonly inject: (rule: FaultRule) => Effect.Effect<InjectedFault>
  /** The same, removed with the scope. */
  readonly injectScoped: (rule: FaultRule) => Effect.Effect<InjectedFault, never, Scope.Scope>
  readonly clearFaults: Effect.Effect<void>
  /** Creates a topic; nothing happens if there is one of this name. */
  readonly createTopic: (
    name: string,
    partitions?: number,
    config?: Readonly<Record<string, string>>
  ) => Effect.Effect<void>
  /** To `node`, or to the next one: the old leader answers 6 from then on. */
  readonly moveLeader: (topic: string, partition: number, node?: number) => Effect.Effect<void, UnknownPartition>
  /** To `node`, or to the next one: the old coordinator answers 16, parked requests included. */
  readonly moveGroupCoordinator: (groupId: string, node?: number) => Effect.Effect<void>
  readonly moveTransactionCoordinator: (transactionalId: string, node?: number) => Effect.Effect<void>
  /** Aborts an id's open transaction and fences its producer, as its timeout would. False when none is open. */
  readonly fence: (transactionalId: string) => Effect.Effect<boolean>
  /** How long transactions stay in their Prepare states from now on; "Infinity" until `releasePrepared`. */
  readonly holdPrepared: (duration: Duration.Input) => Effect.Effect<void>
  /** Writes the markers of every transaction in a Prepare state now, and holds none from now on. */
  readonly releasePrepared: Effect.Effect<void>
  /** Cuts every connection, keeps the state, and listens again on the same ports after `down`. */
  readonly restart: (down?: Duration.Input) => Effect.Effect<void>
  /** Stops one node of several: the others take over what it led and coordinated. */
  readonly stopNode: (node: number) => Effect.Effect<void>
  /** Starts a stopped node on its old port; it leads nothing until something is moved to it. */
  readonly startNode: (node: number) => Effect.Effect<void>
  /** Cuts connections: all of them, or those to one node. */
  readonly disconnect: (node?: number) => Effect.Effect<void>
  /** Loses a partition's data from `offset` on, as a leader does that never replicated it. */
  readonly truncate: (topic: string, partition: number, offset: bigint) => Effect.Effect<void, UnknownPartition>
  /** The whole state as plain data, for the option `snapshot` or for `restore`. */
  readonly snapshot: Effect.Effect<ClusterSnapshot>
  /** Cuts every connection and goes on from an earlier state. */
  readonly restore: (snapshot: ClusterSnapshot) => Effect.Effect<void>
  readonly topics: Effect.Effect<ReadonlyArray<{ readonly name: string; readonly partitions: number }>>
  readonly partition: (
    topic: string,
    partition: number
  ) => Effect.Effect<Introspection.PartitionState, UnknownPartition>
  readonly batches: (
    topic: string,
    partition: number
  ) => Effect.Effect<ReadonlyArray<Introspection.LogBatch>, UnknownPartition>
  /** The data records of a partition; `read_committed`, the default, leaves out what is aborted or not decided. */
  readonly records: (
    topic: string,
    partition: number,
    isolation?: "read_committed" | "read_uncommitted"
  ) => Effect.Effect<ReadonlyArray<Introspection.LogRecord>, UnknownPartition>
  readonly transactions: Effect.Effect<ReadonlyArray<Introspection.TransactionView>>
  /** A group's committed offsets by topic and partition. */
  readonly committed: (groupId: string) => Effect.Effect<ReadonlyMap<string, ReadonlyMap<number, CommittedOffset>>>
  readonly groupState: (groupId: string) => Effect.Effect<string>
  /** How many connections are open. */
  readonly connections: Effect.Effect<number>
  /** What the broker's own code threw: a mistake of it, never of a client. Empty, or worth a report. */
  readonly defects: Effect.Effect<ReadonlyArray<unknown>>
}

const serviceOf = (runtime: Runtime): BrokerShape => {
  const { cluster } = runtime
  const partition = (topic: string, index: number) =>
    Effect.suspend(() => {
      const found = cluster.topics.partition(topic, index)
      return found === undefined
        ? Effect.fail(new UnknownPartition({ topic, partition: index }))
        : Effect.succeed(found)
    })
  const inject = (rule: FaultRule): Effect.Effect<InjectedFault> =>
    Effect.sync(() => {
      const injected = runtime.faults.add(rule)
      return {
        hits: Effect.sync(() => injected.hits),
        awaitHits: (count = 1) => Effect.callback<void>((resume) => injected.onHits(count, () => resume(Effect.void))),
        remove: Effect.sync(() => injected.remove())
      }
    })
  return {
    get bootstrap() {
      return runtime.addresses.join(",")
    },
    get addresses() {
      return runtime.addresses
    },
    connect: (handlers, node) => runtime.connect(handlers, node),
    advance: (duration, scope) => Effect.sync(() => cluster.advance(Duration.toMillis(duration), scope)),
    inject,
    injectScoped: (rule) => Effect.acquireRelease(inject(rule), (injected) => injected.remove),
    clearFaults: Effect.sync(() => runtime.faults.clear()),
    createTopic: (name, partitions, config = {}) =>
      Effect.sync(() => {
        if (cluster.topics.get(name) !== undefined) return
        cluster.createTopic(name, partitions ?? cluster.options.defaultPartitions, Object.entries(config))
      }),
    moveLeader: (topic, index, node) =>
      Effect.andThen(partition(topic, index), Effect.sync(() => runtime.moveLeader(topic, index, node))),
    moveGroupCoordinator: (groupId, node) => Effect.sync(() => runtime.moveGroupCoordinator(groupId, node)),
    moveTransactionCoordinator: (id, node) => Effect.sync(() => runtime.moveTransactionCoordinator(id, node)),
    fence: (transactionalId) => Effect.sync(() => cluster.fence(transactionalId)),
    holdPrepared: (duration) =>
      Effect.sync(() => {
        cluster.prepareDelay = Duration.toMillis(duration)
      }),
    releasePrepared: Effect.sync(() => {
      cluster.prepareDelay = 0
      cluster.releasePrepared()
    }),
    restart: (down = 0) => Effect.promise(() => runtime.restart(Duration.toMillis(down))),
    stopNode: (node) => Effect.promise(() => runtime.stopNode(node)),
    startNode: (node) => Effect.promise(() => runtime.startNode(node)),
    disconnect: (node) => Effect.sync(() => runtime.disconnect(node)),
    truncate: (topic, index, offset) =>
      Effect.map(partition(topic, index), (found) => {
        found.log.truncate(Number(offset))
        found.leaderEpoch++
        found.changed()
      }),
    snapshot: Effect.sync(() => cluster.snapshot()),
    restore: (snapshot) =>
      Effect.sync(() => {
        runtime.disconnect()
        cluster.restore(snapshot)
      }),
    topics: Effect.sync(() =>
      Array.from(cluster.topics.all(), ({ name, partitions }) => ({ name, partitions: partitions.length }))
    ),
    partition: (topic, index) => Effect.map(partition(topic, index), Introspection.partitionState),
    batches: (topic, index) => Effect.map(partition(topic, index), Introspection.batchesOf),
    records: (topic, index, isolation = "read_committed") =>
      Effect.map(partition(topic, index), (it) => Introspection.logRecords(it, isolation === "read_committed")),
    transactions: Effect.sync(() => Introspection.transactionsOf(cluster)),
    committed: (groupId) => Effect.sync(() => cluster.groups.committed(groupId)),
    groupState: (groupId) => Effect.sync(() => cluster.groups.state(groupId)),
    connections: Effect.sync(() => runtime.connected),
    defects: Effect.sync(() => [...runtime.defects])
  }
}

/** @category services @since 0.1.0 */
export class Broker extends Context.Service<Broker, BrokerShape>()("@exactly-once/broker/Broker") {
  /** Starts a broker; it stops when the scope closes. */
  static readonly make = (options: BrokerOptions = {}): Effect.Effect<BrokerShape, BrokerStartError, Scope.Scope> =>
    Effect.map(
      Effect.acquireRelease(
        Effect.tryPromise({
          try: async () => {
            const runtime = new Runtime(options)
            await runtime.start()
            return runtime
          },
          catch: (cause) => new BrokerStartError({ cause })
        }),
        (runtime) => Effect.promise(() => runtime.stop())
      ),
      serviceOf
    )

  static readonly layer = (options: BrokerOptions = {}): Layer.Layer<Broker, BrokerStartError> =>
    Layer.effect(this, this.make(options))

  /**
   * A broker without sockets, on the clock of the calling fiber and with chance from `seed`: under `TestClock` a run of broker and clients
   * in one process is the same every time. Clients come in by `connect`.
   */
  static readonly makeSimulated = (
    options: Omit<BrokerOptions, "listen" | "environment"> & { readonly seed?: number } = {}
  ): Effect.Effect<BrokerShape, BrokerStartError, Scope.Scope> =>
    Effect.flatMap(
      Simulated.environment(options.seed ?? 1),
      (environment) => this.make({ ...options, listen: false, environment })
    )

  static readonly layerSimulated = (
    options: Omit<BrokerOptions, "listen" | "environment"> & { readonly seed?: number } = {}
  ): Layer.Layer<Broker, BrokerStartError> => Layer.effect(this, this.makeSimulated(options))
}
