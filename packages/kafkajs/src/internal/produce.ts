/**
 * Produce: one request per leader, with at most one batch per partition, and an answer that is checked against what was
 * asked (kafkajs reports only the first error, and takes a partition that is missing from the answer for written).
 */
import * as Effect from "effect/Effect"
import { answered, type Failure, unanswered } from "./classify.ts"
import type { Exchange } from "./kafkajsInternals.ts"
import { exchangeOf, type PartitionLeader, type Wire } from "./wire.ts"

export interface EncodedBatch {
  readonly topic: string
  readonly partition: number
  readonly bytes: Buffer
}

export interface Appended {
  readonly topic: string
  readonly partition: number
  /** -1 when the broker recognised a repeat whose offset it no longer knows. */
  readonly baseOffset: bigint
}

interface ProduceResponse {
  readonly topics: ReadonlyArray<{
    readonly topicName: string
    readonly partitions: ReadonlyArray<{
      readonly partition: number
      readonly errorCode: number
      readonly baseOffset: string
    }>
  }>
}

const encode = (transactionalId: string | null, timeout: number, batches: ReadonlyArray<EncodedBatch>): Buffer => {
  const byTopic = Map.groupBy(batches, ({ topic }) => topic)
  let size = 2 + (transactionalId === null ? 0 : Buffer.byteLength(transactionalId)) + 2 + 4 + 4
  for (const [topic, ofTopic] of byTopic) {
    size += 2 + Buffer.byteLength(topic) + 4
    for (const { bytes } of ofTopic) size += 4 + 4 + bytes.length
  }
  const out = Buffer.allocUnsafe(size)
  let at = 0
  const string = (value: string) => {
    const length = out.write(value, at + 2, "utf8")
    out.writeInt16BE(length, at)
    at += 2 + length
  }
  if (transactionalId === null) at = out.writeInt16BE(-1, at)
  else string(transactionalId)
  at = out.writeInt16BE(-1, at) // acks: all
  at = out.writeInt32BE(timeout, at)
  at = out.writeInt32BE(byTopic.size, at)
  for (const [topic, ofTopic] of byTopic) {
    string(topic)
    at = out.writeInt32BE(ofTopic.length, at)
    for (const { bytes, partition } of ofTopic) {
      at = out.writeInt32BE(partition, at)
      at = out.writeInt32BE(bytes.length, at)
      at += bytes.copy(out, at)
    }
  }
  return out
}

const exchange = (
  transactionalId: string | null,
  timeout: number,
  batches: ReadonlyArray<EncodedBatch>
): Exchange<ProduceResponse> => {
  const template = exchangeOf<ProduceResponse>("Produce", { acks: -1, timeout, topicData: [] })
  return {
    ...template,
    request: {
      ...template.request,
      encode: () => {
        const bytes = encode(transactionalId, timeout, batches)
        return Promise.resolve({ buf: bytes, buffer: bytes })
      }
    }
  }
}

/**
 * A broker that does not know the partition which others say it leads (3) has not heard of it yet, or does not lead it any
 * more (6). Whether the topic is gone, the next metadata tells.
 */
export const staleLeader = (code: number): number => code === 3 ? 6 : code

const check = (
  response: ProduceResponse,
  batches: ReadonlyArray<EncodedBatch>
): Effect.Effect<ReadonlyArray<Appended>, Failure> => {
  const appended: Array<Appended> = []
  for (const { partition, topic } of batches) {
    const answer = response.topics.find(({ topicName }) => topicName === topic)?.partitions
      .find((candidate) => candidate.partition === partition)
    if (answer === undefined) {
      return Effect.fail({
        ...unanswered("Produce", true, new Error(`the answer does not name ${topic}-${partition}`)),
        topic,
        partition
      })
    }
    if (answer.errorCode !== 0) {
      return Effect.fail(answered("Produce", staleLeader(answer.errorCode), { topic, partition }))
    }
    appended.push({ topic, partition, baseOffset: BigInt(answer.baseOffset) })
  }
  return Effect.succeed(appended)
}

const leaderOf = (partitions: ReadonlyArray<PartitionLeader>, topic: string, partition: number) => {
  const leader = partitions.find((candidate) => candidate.partition === partition)?.leader
  return leader === undefined
    ? Effect.fail(answered("Metadata", 3, { topic, partition }))
    : leader < 0
    ? Effect.fail(answered("Metadata", 5, { topic, partition }))
    : Effect.succeed(leader)
}

/** Sends the batches, one per partition at most, to their leaders at once; succeeds when every one is acknowledged. */
export const produce = (
  wire: Wire,
  transactionalId: string | null,
  timeout: number,
  batches: ReadonlyArray<EncodedBatch>
): Effect.Effect<ReadonlyArray<Appended>, Failure> =>
  Effect.gen(function*() {
    const byLeader = new Map<number, Array<EncodedBatch>>()
    for (const batch of batches) {
      const leader = yield* leaderOf(yield* wire.topic(batch.topic), batch.topic, batch.partition)
      const group = byLeader.get(leader)
      if (group === undefined) byLeader.set(leader, [batch])
      else group.push(batch)
    }
    const send = ([leader, group]: readonly [number, ReadonlyArray<EncodedBatch>]) =>
      Effect.flatMap(wire.node(leader), (link) =>
        Effect.flatMap(wire.ask(link, exchange(transactionalId, timeout, group)), (response) =>
          check(response, group)))
    const answers = yield* Effect.forEach(byLeader, send, { concurrency: "unbounded" })
    return answers.flat()
  }).pipe(
    Effect.tapError(() =>
      Effect.sync(() => batches.forEach(({ topic }) => wire.forgetTopic(topic)))
    )
  )
