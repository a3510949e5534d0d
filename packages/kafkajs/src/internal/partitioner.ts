/**
 * Which partition a record goes to: its own choice, else murmur2 of the key as the Java client does it, else one
 * partition at a time for records without a key.
 */
import type { Driver } from "@exactly-once/core"
import type { PartitionLeader } from "./wire.ts"

/** Kafka's variant of murmur2, over the bytes of a key. */
export const murmur2 = (bytes: Uint8Array): number => {
  const length = bytes.length
  let h = 0x9747b28c ^ length
  const whole = length & ~3
  for (let i = 0; i < whole; i += 4) {
    let k = bytes[i]! | bytes[i + 1]! << 8 | bytes[i + 2]! << 16 | bytes[i + 3]! << 24 // i + 3 < length
    k = Math.imul(k, 0x5bd1e995)
    k = Math.imul(k ^ k >>> 24, 0x5bd1e995)
    h = Math.imul(h, 0x5bd1e995) ^ k
  }
  const rest = length - whole
  if (rest === 3) h ^= bytes[whole + 2]! << 16
  if (rest >= 2) h ^= bytes[whole + 1]! << 8
  if (rest >= 1) h = Math.imul(h ^ bytes[whole]!, 0x5bd1e995)
  h = Math.imul(h ^ h >>> 13, 0x5bd1e995)
  return h ^ h >>> 15
}

/** Bytes after which records without a key move on to another partition. */
const stickyBytes = 16_384

export interface Partitioner {
  /** The partition's number, or `undefined` when the record names one that does not exist. */
  readonly choose: (
    topic: string,
    record: Driver.EncodedRecord,
    size: number,
    partitions: ReadonlyArray<PartitionLeader>
  ) => number | undefined
}

/** `random`: the next number in [0, 1). */
export const makePartitioner = (random: () => number): Partitioner => {
  const sticky = new Map<string, { readonly partition: number; bytes: number }>()
  const pick = (partitions: ReadonlyArray<PartitionLeader>, last: number | undefined): number => {
    const led = partitions.filter(({ leader }) => leader >= 0)
    const candidates = led.length === 0 ? partitions : led
    const others = candidates.length > 1 ? candidates.filter(({ partition }) => partition !== last) : candidates
    return others[Math.floor(random() * others.length)]?.partition ?? 0
  }
  return {
    choose: (topic, record, size, partitions) => {
      const count = partitions.length
      if (record.partition !== undefined) {
        return record.partition >= 0 && record.partition < count ? record.partition : undefined
      }
      if (record.key !== null) return (murmur2(record.key) & 0x7fffffff) % count
      const current = sticky.get(topic)
      if (current !== undefined && current.bytes < stickyBytes && current.partition < count) {
        current.bytes += size
        return current.partition
      }
      const partition = pick(partitions, current?.partition)
      sticky.set(topic, { partition, bytes: size })
      return partition
    }
  }
}
