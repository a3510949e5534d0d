/**
 * Fetch: one request to one broker, answered with raw bytes per partition. The decoding is `recordReader`'s.
 */
import * as Effect from "effect/Effect"
import type { AbortedTransaction } from "./abortFilter.ts"
import { answered, type Failure } from "./classify.ts"
import { exchangeOf, type Wire } from "./wire.ts"

export interface FetchTarget {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
}

export interface FetchedPartition {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  readonly aborted: ReadonlyArray<AbortedTransaction>
  readonly bytes: Buffer
}

interface FetchResponse {
  readonly clientSideThrottleTime: number
  readonly errorCode: number
  readonly partitions: ReadonlyArray<FetchedPartition>
}

const nothing = Buffer.alloc(0)

/** Fetch response version 11. */
const decodeFetch = (payload: Buffer): FetchResponse => {
  let at = 0
  const int16 = () => payload.readInt16BE((at += 2) - 2)
  const int32 = () => payload.readInt32BE((at += 4) - 4)
  const int64 = () => payload.readBigInt64BE((at += 8) - 8)
  const clientSideThrottleTime = int32()
  const errorCode = int16()
  at += 4 // session id
  const partitions: Array<FetchedPartition> = []
  for (let topics = int32(); topics > 0; topics--) {
    const length = int16()
    const topic = payload.toString("utf8", at, at += length)
    for (let count = int32(); count > 0; count--) {
      const partition = int32()
      const partitionError = int16()
      at += 24 // high watermark, last stable offset, log start offset
      const aborted: Array<AbortedTransaction> = []
      for (let entries = int32(); entries > 0; entries--) aborted.push({ producerId: int64(), firstOffset: int64() })
      at += 4 // preferred read replica: none, since no rack is sent
      const size = int32()
      const bytes = size <= 0 ? nothing : payload.subarray(at, at += size)
      partitions.push({ topic, partition, errorCode: partitionError, aborted, bytes })
    }
  }
  return { clientSideThrottleTime, errorCode, partitions }
}

const readCommitted = 1

export const fetch = (
  wire: Wire,
  leader: number,
  options: {
    readonly targets: ReadonlyArray<FetchTarget>
    readonly maxWaitMs: number
    readonly maxBytes: number
    readonly maxBytesPerPartition: number
  }
): Effect.Effect<ReadonlyArray<FetchedPartition>, Failure> => {
  const topics = [...Map.groupBy(options.targets, ({ topic }) => topic)].map(([topic, targets]) => ({
    topic,
    partitions: targets.map(({ offset, partition }) => ({
      partition,
      fetchOffset: offset,
      maxBytes: options.maxBytesPerPartition
    }))
  }))
  const template = exchangeOf<FetchResponse>("Fetch", {
    maxWaitTime: options.maxWaitMs,
    minBytes: 1,
    maxBytes: options.maxBytes,
    isolationLevel: readCommitted,
    topics
  })
  const exchange = {
    ...template,
    response: { ...template.response, decode: (payload: Buffer) => Promise.resolve(decodeFetch(payload)) }
  }
  return wire.node(leader).pipe(
    Effect.flatMap((link) => wire.ask(link, exchange)),
    Effect.flatMap((response) =>
      response.errorCode === 0
        ? Effect.succeed(response.partitions)
        : Effect.fail(answered("Fetch", response.errorCode))
    )
  )
}
