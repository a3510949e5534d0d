/** Producers, and the batches they send. */
import { BatchBuilder } from "@exactly-once/protocol"

export interface Producer {
  readonly id: string | null
  readonly producerId: bigint
  readonly epoch: number
}

export interface Batch {
  readonly topic: string
  readonly partition?: number
  readonly sequence?: number
  readonly values?: ReadonlyArray<string>
  readonly key?: string
  readonly timestamp?: number
  /** Whether the batch says that it is transactional; by default it is when the producer has an id. */
  readonly transactional?: boolean
  readonly control?: boolean
  /** The id in the request, where it is not the producer's. */
  readonly as?: string | null
  readonly acks?: number
}

/** A producer without any id: batches carry no sequences. */
export const NOBODY: Producer = { id: null, producerId: -1n, epoch: -1 }

export const withEpoch = (producer: Producer, change: number): Producer => ({
  ...producer,
  epoch: producer.epoch + change
})

export const batchOf = (
  producer: Producer,
  { control = false, key, sequence = 0, timestamp = Date.now(), transactional = producer.id !== null, values = ["v"] }:
    Omit<Batch, "topic">,
  options: Parameters<BatchBuilder["finish"]>[0] = {}
): Uint8Array => {
  const builder = new BatchBuilder()
  for (const value of values) {
    builder.append({ key: key === undefined ? null : Buffer.from(key), value: Buffer.from(value), timestamp })
  }
  return builder.finish({
    producerId: producer.producerId,
    producerEpoch: producer.epoch,
    baseSequence: producer.producerId < 0n ? -1 : sequence,
    isTransactional: transactional,
    isControl: control,
    ...options
  })
}

/** The offset a batch got, or why it got none. */
export type Sent = { readonly offset: number } | { readonly error: number }
