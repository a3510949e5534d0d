/** Topics, their input and their state, from the outside. */
import { Apis, BatchBuilder, Murmur2, ReadCommitted, RecordBatch } from "@exactly-once/protocol"
import { setTimeout as sleep } from "node:timers/promises"
import { emptyValue, now, Tally, writeKey, writeValue } from "./records.ts"
import { check, type Cluster } from "./Wire.ts"

const ALREADY_EXISTS = 36
const READ_COMMITTED = 1
const LATEST = -1n
const RECORDS_PER_BATCH = 1000

export const createTopic = async (cluster: Cluster, topic: string, partitions: number): Promise<void> => {
  const { topics } = await cluster.any().request(Apis.CreateTopics, 5, {
    topics: [{ name: topic, numPartitions: partitions, replicationFactor: -1, assignments: [], configs: [] }],
    timeoutMs: 30_000
  })
  const code = topics[0]?.errorCode ?? 0
  if (code !== ALREADY_EXISTS) check(code, `create ${topic}`)
  // A leader that metadata names may not know yet that it leads; offsets are asked of it itself.
  for (const deadline = Date.now() + 30_000;;) {
    const found = await ends(cluster, topic).catch((error: unknown) => String(error))
    if (Array.isArray(found) && found.length === partitions) return
    if (Array.isArray(found) && found.length > 0) {
      throw new Error(`${topic} has ${found.length} partitions, not ${partitions}`)
    }
    if (Date.now() > deadline) throw new Error(`${topic} has no leaders after 30 s: ${String(found)}`)
    await sleep(20)
  }
}

export const deleteTopic = async (cluster: Cluster, topic: string): Promise<void> => {
  cluster.forget(topic)
  await cluster.any().request(Apis.DeleteTopics, 4, { topicNames: [topic], timeoutMs: 30_000 })
}

/** The end of each partition: the last stable offset, or with `unstable` the high watermark. */
const ends = async (cluster: Cluster, topic: string, unstable = false): Promise<Array<bigint>> => {
  const leaders = await cluster.partitions(topic)
  return Promise.all(leaders.map(async (leader, partition) => {
    const { topics } = await cluster.at(leader).request(Apis.ListOffsets, 5, {
      replicaId: -1,
      isolationLevel: unstable ? 0 : READ_COMMITTED,
      topics: [{ name: topic, partitions: [{ partitionIndex: partition, timestamp: LATEST }] }]
    })
    const found = topics[0]?.partitions[0]
    check(found?.errorCode ?? -1, `offsets of ${topic}-${partition}`)
    return found?.offset ?? 0n
  }))
}

const sum = (offsets: ReadonlyArray<bigint>): number => offsets.reduce((total, offset) => total + Number(offset), 0)

export const stableEnd = async (cluster: Cluster, topic: string): Promise<number> => sum(await ends(cluster, topic))

/** Builds batches by partition and sends those that are full; `flush` sends the rest. One request at a time. */
export class Feeder {
  private readonly builders: Array<BatchBuilder> = []
  private readonly key = new Uint8Array(16)
  private readonly value = emptyValue()
  private readonly cluster: Cluster
  private readonly topic: string
  private readonly leaders: ReadonlyArray<string>

  constructor(cluster: Cluster, topic: string, leaders: ReadonlyArray<string>) {
    this.cluster = cluster
    this.topic = topic
    this.leaders = leaders
    for (const _ of leaders) this.builders.push(new BatchBuilder(RECORDS_PER_BATCH * 130))
  }

  /** The partition, when its batch is full now. */
  append(sequence: number): number | undefined {
    writeKey(this.key, sequence)
    writeValue(this.value, sequence, now())
    const partition = Murmur2.partitionForKey(this.key, this.builders.length)
    const builder = this.builders[partition]
    builder?.append({ key: this.key, value: this.value, timestamp: Date.now() })
    return builder !== undefined && builder.count >= RECORDS_PER_BATCH ? partition : undefined
  }

  async send(partition: number): Promise<void> {
    const builder = this.builders[partition]
    const leader = this.leaders[partition]
    if (builder === undefined || leader === undefined || builder.count === 0) return
    const { responses } = await this.cluster.at(leader).request(Apis.Produce, 8, {
      acks: -1,
      timeoutMs: 30_000,
      topicData: [{ name: this.topic, partitionData: [{ index: partition, records: builder.finish() }] }]
    })
    check(responses[0]?.partitionResponses[0]?.errorCode ?? -1, `produce to ${this.topic}-${partition}`)
    builder.reset()
  }

  async flush(): Promise<void> {
    await Promise.all(this.builders.map((_, partition) => this.send(partition)))
  }
}

/** Makes the topic and fills it with `count` records, unless it is there and full. */
export const ensureInput = async (cluster: Cluster, partitions: number, count: number): Promise<string> => {
  const topic = `bench-input-${partitions}-${count}`
  await createTopic(cluster, topic, partitions)
  const present = sum(await ends(cluster, topic))
  if (present === count) return topic
  if (present > 0) throw new Error(`${topic} holds ${present} records, not ${count}: delete it`)
  const feeder = new Feeder(cluster, topic, await cluster.partitions(topic))
  for (let sequence = 0; sequence < count; sequence++) {
    const full = feeder.append(sequence)
    if (full !== undefined) await feeder.send(full)
  }
  await feeder.flush()
  return topic
}

/** One read_committed fetch of one partition: what is visible, and where to go on. */
export const fetchCommitted = async (
  cluster: Cluster,
  at: { readonly topic: string; readonly partition: number; readonly offset: bigint; readonly maxWaitMs: number }
): Promise<{ readonly batches: ReadonlyArray<RecordBatch>; readonly next: bigint }> => {
  const leader = (await cluster.partitions(at.topic))[at.partition]
  if (leader === undefined) throw new Error(`${at.topic} has no partition ${at.partition}`)
  const { responses } = await cluster.at(leader).request(Apis.Fetch, 11, {
    maxWaitMs: at.maxWaitMs,
    minBytes: 1,
    maxBytes: 8_388_608,
    isolationLevel: READ_COMMITTED,
    topics: [{
      topic: at.topic,
      partitions: [{ partition: at.partition, fetchOffset: at.offset, partitionMaxBytes: 8_388_608 }]
    }]
  })
  const found = responses[0]?.partitions[0]
  check(found?.errorCode ?? -1, `fetch ${at.topic}-${at.partition}`)
  const { batches } = RecordBatch.split(found?.records ?? new Uint8Array(0))
  return {
    batches: ReadCommitted.visible(batches, found?.abortedTransactions ?? null),
    next: ReadCommitted.nextOffset(batches, at.offset)
  }
}

const UNSTABLE_OFFSET_COMMIT = 88

/** Repeats until the answer is final, or the time is over: a commit is answered before its markers are written. */
const untilSettled = async <A>(
  ask: () => Promise<A>,
  isSettled: (answer: A) => boolean,
  patienceMs = 5000
): Promise<A> => {
  for (const deadline = Date.now() + patienceMs;;) {
    const answer = await ask()
    if (isSettled(answer) || Date.now() > deadline) return answer
    await sleep(20)
  }
}

/** The group's committed offsets on a topic, added up. Nothing committed counts as 0. */
const committedSum = async (cluster: Cluster, group: string, topic: string): Promise<number> => {
  const coordinator = await cluster.coordinator(group)
  const partitionIndexes = (await cluster.partitions(topic)).map((_, partition) => partition)
  const found = await untilSettled(async () => {
    const { errorCode, topics } = await coordinator.request(Apis.OffsetFetch, 7, {
      groupId: group,
      topics: [{ name: topic, partitionIndexes }],
      requireStable: true
    })
    check(errorCode, `offsets of ${group}`)
    return topics.flatMap(({ partitions }) => partitions)
  }, (partitions) => partitions.every(({ errorCode }) => errorCode !== UNSTABLE_OFFSET_COMMIT))
  for (const { errorCode, partitionIndex } of found) {
    check(errorCode, `offset of ${group} on ${topic}-${partitionIndex}`)
  }
  return sum(found.map(({ committedOffset }) => committedOffset > 0n ? committedOffset : 0n))
}

export interface Verification {
  readonly count: number
  readonly duplicates: number
  readonly missing: number
  readonly malformed: number
  readonly inversions: number
  /** Offsets above the last stable one: data or markers of transactions that are still open. */
  readonly open: number
  /** The group's committed offsets, added up; undefined where there is no group. */
  readonly committed: number | undefined
}

/** Reads the output as a read_committed consumer does, from its beginning to its last stable offset. */
export const verify = async (
  cluster: Cluster,
  run: {
    readonly topic: string
    readonly expected: number
    readonly input?: { readonly group: string; readonly topic: string }
    /** How long markers may take after the last answer, 5 s. */
    readonly patienceMs?: number
  }
): Promise<Verification> => {
  const { open, stable } = await untilSettled(
    async () => {
      const stable = await ends(cluster, run.topic)
      return { stable, open: sum(await ends(cluster, run.topic, true)) - sum(stable) }
    },
    (answer) => answer.open === 0,
    run.patienceMs
  )
  const tally = new Tally(run.expected)
  await Promise.all(stable.map(async (end, partition) => {
    for (let offset = 0n; offset < end;) {
      const { batches, next } = await fetchCommitted(cluster, { topic: run.topic, partition, offset, maxWaitMs: 500 })
      for (const batch of batches) {
        const cursor = batch.cursor()
        for (let record = cursor.next(); record !== undefined; record = cursor.next()) {
          tally.add(partition, record.value)
        }
      }
      offset = next
    }
  }))
  return {
    count: tally.count,
    duplicates: tally.duplicates,
    missing: tally.missing,
    malformed: tally.malformed,
    inversions: tally.inversions,
    open,
    committed: run.input === undefined ? undefined : await committedSum(cluster, run.input.group, run.input.topic)
  }
}
