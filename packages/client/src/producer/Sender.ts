/**
 * Produce under one producer id and epoch: batches out in the order of their sequences, several requests in flight to a
 * broker, what came back unwritten sent again with the sequences it has. Plain callbacks; nothing here costs an effect per
 * record or per batch.
 *
 * A batch whose answer was lost goes out again as it is: the broker knows the last five of a partition by their
 * sequences, and no more than five are ever in flight. When a batch comes back unwritten, those that were in flight
 * behind it come back as out of order; all of them wait until the last has come back, and then go one by one until the
 * broker writes again, so that none overtakes another.
 */
import type { Driver } from "@exactly-once/core"
import { Apis, type ProduceResponse } from "@exactly-once/protocol"
import * as Effect from "effect/Effect"
import type { Cluster } from "../network/Cluster.ts"
import type { Connection } from "../network/Connection.ts"
import { answered, type Failure, Refused, unanswered } from "../network/failure.ts"
import type { TopicInfo } from "../network/metadata.ts"
import { pause } from "../network/retry.ts"
import * as Codes from "./codes.ts"
import { type Refusal, refusalOf, Scratch, sizeBound } from "./outgoing.ts"
import type { Partitioner } from "./partitioner.ts"
import { type Batch, type BuilderPool, PartitionQueue, type Segment, type Stamp } from "./PartitionQueue.ts"

export interface SenderOptions {
  readonly cluster: Cluster
  readonly pool: string
  readonly transactionalId: string | null
  /** The highest Produce version: below 12 a partition is added to the transaction beforehand. */
  readonly maxVersion: number
  readonly stamp: Stamp
  /** The next sequence by partition, kept as long as producer id and epoch are. */
  readonly sequences: Map<string, number>
  readonly builders: BuilderPool
  readonly partitioner: Partitioner
  /** The largest batch, in bytes before compression. */
  readonly maxBatchBytes: number
  readonly maxRecordBytes: number
  readonly maxRequestBytes: number
  readonly requestTimeout: number
  readonly deliveryTimeout: number
  /** Whether a partition may go out before `admit`. */
  readonly implicitAdd: boolean
  /** Records of a call were written, at consecutive offsets from `base` (negative: not known). */
  readonly onWritten: ((segment: Segment, topic: string, partition: number, base: bigint) => void) | undefined
}

const maxInFlight = 5

export class Sender {
  private readonly options: SenderOptions
  private readonly partitions = new Map<string, PartitionQueue>()
  private readonly inFlight = new Map<number, number>()
  private readonly connecting = new Set<number>()
  private readonly watchers = new Set<() => void>()
  private readonly troubled = new Set<string>()
  private troubles = 0
  private flushing = false
  private stopped = false
  private queuedBytes = 0
  private flyingRequests = 0
  /** The first failure that no repeat mends: nothing more goes out. */
  failure: Failure | undefined
  /** The calls whose records that failure is about; what becomes of the others is not known. */
  readonly failedCalls = new Set<object>()
  /** A request went out. */
  touched = false

  constructor(options: SenderOptions) {
    this.options = options
  }

  /** Bytes taken and not written yet. */
  get bytes(): number {
    let growing = 0
    for (const partition of this.partitions.values()) growing += partition.growing
    return this.queuedBytes + growing
  }

  get isQuiet(): boolean {
    return this.flyingRequests === 0
  }

  get isEmpty(): boolean {
    for (const partition of this.partitions.values()) if (!partition.isEmpty) return false
    return true
  }

  /** Takes all of the records or, when one is refused, none. */
  add(topic: TopicInfo, records: ReadonlyArray<Driver.EncodedRecord>, call?: object): Refusal | undefined {
    const { maxBatchBytes } = this.options
    const refusal = refusalOf(topic, records, this.options.maxRecordBytes)
    if (refusal !== undefined) return refusal
    const now = this.options.cluster.options.environment.now()
    const scratch = new Scratch()
    const cached: Array<PartitionQueue | undefined> = []
    for (let index = 0; index < records.length; index++) {
      const record = records[index]
      if (record === undefined) continue
      const bound = sizeBound(record)
      const choice = this.options.partitioner.choose(topic, record, bound) ?? 0
      const partition = cached[choice] ??= this.partition(topic, choice)
      scratch.take(record, now)
      if (partition.growing + bound > maxBatchBytes && partition.sizeWith(scratch) > maxBatchBytes) {
        this.seal(partition)
      }
      partition.append(scratch, call, index)
    }
    return undefined
  }

  private partition(topic: TopicInfo, index: number): PartitionQueue {
    const key = `${topic.name}-${index}`
    const known = this.partitions.get(key)
    if (known !== undefined) return known
    const { builders, implicitAdd } = this.options
    const made = new PartitionQueue(topic.name, topic.id, index, builders, implicitAdd)
    this.partitions.set(key, made)
    return made
  }

  private seal(partition: PartitionQueue): void {
    const { cluster, deliveryTimeout, sequences, stamp } = this.options
    this.queuedBytes += partition.seal(stamp, sequences, cluster.options.environment.now() + deliveryTimeout)
  }

  /** Partitions that have records and that the coordinator was not told of. */
  unadmitted(): ReadonlyArray<PartitionQueue> {
    return [...this.partitions.values()].filter(({ admitted }) => !admitted)
  }

  /** Batches that are full wait to go out. */
  get hasSealed(): boolean {
    return this.queuedBytes > 0
  }

  /** Everything taken goes out; `full` batches alone otherwise. */
  push(what: "all" | "full"): void {
    this.flushing = what === "all"
    this.kick()
  }

  /** Ends with the predicate, or with the failure. */
  until(done: () => boolean): Effect.Effect<void, Failure> {
    return Effect.callback<void, Failure>((resume) => {
      const look = () => {
        if (this.failure !== undefined) resume(Effect.fail(this.failure))
        else if (done()) resume(Effect.void)
        else return
        this.watchers.delete(look)
      }
      this.watchers.add(look)
      look()
      return Effect.sync(() => this.watchers.delete(look))
    })
  }

  /** What waits is dropped; answers still under way are awaited by `quiet` alone. */
  stop(): void {
    this.stopped = true
    for (const partition of this.partitions.values()) partition.clear()
  }

  /** Nothing of this producer is on the wire. */
  readonly quiet: Effect.Effect<void> = Effect.callback<void>((resume) => {
    const look = () => {
      if (this.flyingRequests > 0) return
      this.watchers.delete(look)
      resume(Effect.void)
    }
    this.watchers.add(look)
    look()
    return Effect.sync(() => this.watchers.delete(look))
  })

  private look(): void {
    for (const watcher of Array.from(this.watchers)) watcher()
  }

  private fail(failure: Failure): void {
    if (this.failure !== undefined) return
    this.failure = failure
    for (const partition of this.partitions.values()) partition.clear()
    this.look()
  }

  private kick(): void {
    while (this.failure === undefined && !this.stopped) {
      const requests = new Map<number, { readonly to: Connection; readonly batches: Array<Batch>; bytes: number }>()
      for (const partition of this.partitions.values()) this.collect(partition, requests)
      if (requests.size === 0) return
      for (const [node, { batches, to }] of requests) this.send(node, to, batches)
    }
  }

  private collect(
    partition: PartitionQueue,
    requests: Map<number, { readonly to: Connection; readonly batches: Array<Batch>; bytes: number }>
  ): void {
    if (!partition.admitted || partition.paused) return
    if (partition.recovering && partition.flying > 0) return
    if (partition.ready.length === 0) {
      if (!this.flushing || partition.growing === 0) return
      // Sealed as late as can be: while the broker is busy the batch goes on growing.
      const leader = this.options.cluster.known(partition.topic)?.leaders[partition.index] ?? -1
      if ((this.inFlight.get(leader) ?? 0) >= maxInFlight) return
      this.seal(partition)
    }
    const [batch] = partition.ready
    if (batch === undefined) return
    const node = this.options.cluster.known(partition.topic)?.leaders[partition.index] ?? -1
    if (node < 0) return this.recover(partition, unanswered("Produce", false, new Error("there is no leader")))
    if ((this.inFlight.get(node) ?? 0) >= maxInFlight) return
    const to = this.options.cluster.standing(this.options.pool, node)
    if (to === undefined) return this.connect(node)
    const request = requests.get(node)
    if (request === undefined) requests.set(node, { to, batches: [batch], bytes: batch.bytes.length })
    else if (request.bytes + batch.bytes.length <= this.options.maxRequestBytes) {
      request.batches.push(batch)
      request.bytes += batch.bytes.length
    } else return
    partition.ready.shift()
  }

  private connect(node: number): void {
    if (this.connecting.has(node)) return
    this.connecting.add(node)
    const { cluster, pool } = this.options
    cluster.options.environment.fork(
      Effect.match(cluster.connection(pool, node), {
        onSuccess: () => undefined,
        onFailure: (failure) => {
          for (const partition of this.partitions.values()) {
            const leads = cluster.known(partition.topic)?.leaders[partition.index] === node
            const [oldest] = partition.ready
            if (!leads || oldest === undefined) continue
            const hopeless = failure.cause instanceof Refused ||
              (failure.code !== undefined && !Codes.again.has(failure.code))
            if (hopeless || this.isLate(oldest)) this.fail(failure)
            else this.recover(partition, failure)
          }
        }
      }).pipe(Effect.map(() => {
        this.connecting.delete(node)
        this.kick()
      }))
    )
  }

  private send(node: number, to: Connection, batches: ReadonlyArray<Batch>): void {
    const { cluster, maxVersion, requestTimeout, transactionalId } = this.options
    const byId = (to.version(Apis.Produce, maxVersion) ?? 0) >= 13
    const topics = new Map<string, Array<Batch>>()
    let sizeHint = 256
    for (const batch of batches) {
      const { topic } = batch.partition
      const group = topics.get(topic)
      if (group === undefined) topics.set(topic, [batch])
      else group.push(batch)
      batch.partition.flying++
      sizeHint += batch.bytes.length + 64 + topic.length
    }
    this.touched = true
    this.flyingRequests++
    this.inFlight.set(node, (this.inFlight.get(node) ?? 0) + 1)
    const landed = () => {
      this.flyingRequests--
      this.inFlight.set(node, (this.inFlight.get(node) ?? 1) - 1)
      for (const { partition } of batches) partition.flying--
    }
    to.request(
      Apis.Produce,
      {
        transactionalId,
        acks: -1,
        // The broker's patience ends before ours, so that it is its answer that tells.
        timeoutMs: requestTimeout - Math.min(5_000, requestTimeout >> 2),
        topicData: Array.from(topics, ([name, group]) => ({
          ...(byId ? { topicId: group[0]?.partition.topicId } : { name }),
          partitionData: group.map(({ bytes, partition }) => ({ index: partition.index, records: bytes }))
        }))
      },
      { timeoutMs: requestTimeout, maxVersion, sizeHint },
      (response) => {
        landed()
        this.digest(batches, response, byId)
        this.kick()
        this.look()
      },
      (failure) => {
        landed()
        for (const { partition } of batches) cluster.forgetTopic(partition.topic)
        for (const batch of batches) this.returned(batch, failure)
        this.kick()
        this.look()
      }
    )
  }

  private digest(batches: ReadonlyArray<Batch>, response: ProduceResponse.ProduceResponse, byId: boolean): void {
    for (const batch of batches) {
      const { partition } = batch
      const answer = response.responses
        .find((topic) => byId ? topic.topicId === partition.topicId : topic.name === partition.topic)
        ?.partitionResponses.find(({ index }) => index === partition.index)
      if (answer === undefined) {
        this.returned(batch, unanswered("Produce", true, new Error(`the answer does not name ${partition.key}`)))
      } else if (answer.errorCode === 0 || answer.errorCode === Codes.duplicate) {
        this.written(batch, answer.errorCode === 0 ? answer.baseOffset : -1n)
      } else {
        this.returned(
          batch,
          answered("Produce", answer.errorCode, { topic: partition.topic, partition: partition.index })
        )
      }
    }
  }

  private written(batch: Batch, base: bigint): void {
    const { builders, onWritten } = this.options
    const { partition } = batch
    partition.recovering = false
    this.troubles = 0
    this.queuedBytes -= batch.bytes.length
    builders.give(batch.builder)
    if (onWritten === undefined) return
    let at = base
    for (const segment of batch.segments) {
      onWritten(segment, partition.topic, partition.index, at)
      if (at >= 0n) at += BigInt(segment.indices.length)
    }
  }

  private isLate(batch: Batch): boolean {
    return this.options.cluster.options.environment.now() >= batch.deadline
  }

  /** A batch that was not acknowledged: again, with everything behind it, or the end. */
  private returned(batch: Batch, failure: Failure): void {
    if (this.stopped || this.failure !== undefined) return
    const { partition } = batch
    const { code } = failure
    if (code === undefined ? failure.sent : Codes.doubtful.has(code)) batch.uncertain = true
    const behind = code === Codes.outOfOrder && partition.recovering &&
      (partition.ready[0]?.ordinal ?? Number.POSITIVE_INFINITY) < batch.ordinal
    const repeatable = behind || (code === undefined ? !(failure.cause instanceof Refused) : Codes.again.has(code))
    if (!repeatable || this.isLate(batch)) {
      // Once a copy may have been written, no later refusal makes it unwritten.
      const where = { topic: partition.topic, partition: partition.index }
      for (const { call } of batch.segments) this.failedCalls.add(call)
      return this.fail(
        batch.uncertain ? { ...unanswered("Produce", true, failure.cause ?? failure), ...where } : failure
      )
    }
    partition.requeue(batch)
    partition.recovering = true
    if (!behind) this.recover(partition, failure)
  }

  /** After a pause, and with fresh metadata, the partition goes on. */
  private recover(partition: PartitionQueue, failure: Failure): void {
    if (partition.paused) return
    const { cluster } = this.options
    const { environment } = cluster.options
    partition.paused = true
    const refresh = failure.code !== Codes.concurrentTransactions && !this.troubled.has(partition.topic)
    if (refresh) {
      this.troubled.add(partition.topic)
      this.troubles++
    }
    const millis = pause(failure, refresh ? Math.min(this.troubles - 1, 6) : 0, environment.random())
    environment.fork(
      Effect.sleep(millis).pipe(
        Effect.andThen(
          failure.code === Codes.concurrentTransactions ? Effect.void : cluster.topic(partition.topic, true)
        ),
        Effect.match({
          onSuccess: (info) => this.resume(partition, failure, info ?? undefined),
          onFailure: (unknown) => {
            const [oldest] = partition.ready
            const gone = unknown.code !== undefined && !Codes.again.has(unknown.code) ||
              unknown.code === Codes.unknownTopic
            if (gone || (oldest !== undefined && this.isLate(oldest))) this.fail(unknown)
            else this.resume(partition, failure, undefined)
          }
        })
      )
    )
  }

  private resume(partition: PartitionQueue, failure: Failure, info: TopicInfo | undefined): void {
    this.troubled.delete(partition.topic)
    partition.paused = false
    const [oldest] = partition.ready
    if (info !== undefined && info.id !== partition.topicId) {
      this.fail(answered("Produce", Codes.unknownTopicId, { topic: partition.topic, partition: partition.index }))
    } else if (oldest !== undefined && this.isLate(oldest)) this.fail(failure)
    this.kick()
    this.look()
  }
}
