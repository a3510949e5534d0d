/**
 * Which partition a record goes to: its own choice, else murmur2 of the key as the Java client does it, else one
 * partition at a time for records without a key.
 */
import type { Driver } from "@exactly-once/core"
import { Murmur2 } from "@exactly-once/protocol"
import type { TopicInfo } from "../network/metadata.ts"

/** Bytes after which records without a key move on to another partition. */
const stickyBytes = 16_384

export interface Partitioner {
  /** The partition's number, or `undefined` when the record names one that does not exist. */
  readonly choose: (topic: TopicInfo, record: Driver.EncodedRecord, size: number) => number | undefined
}

/** `random`: the next number in [0, 1). */
export const makePartitioner = (random: () => number): Partitioner => {
  const sticky = new Map<string, { readonly partition: number; bytes: number }>()
  const pick = ({ leaders }: TopicInfo, last: number | undefined): number => {
    const all = leaders.map((_, partition) => partition)
    const led = all.filter((partition) => (leaders[partition] ?? -1) >= 0)
    const candidates = led.length === 0 ? all : led
    const others = candidates.length > 1 ? candidates.filter((partition) => partition !== last) : candidates
    return others[Math.floor(random() * others.length)] ?? 0
  }
  return {
    choose: (topic, record, size) => {
      const count = topic.leaders.length
      if (record.partition !== undefined) {
        return record.partition >= 0 && record.partition < count ? record.partition : undefined
      }
      if (record.key !== null) return Murmur2.partitionForKey(record.key, count)
      const current = sticky.get(topic.name)
      if (current !== undefined && current.bytes < stickyBytes && current.partition < count) {
        current.bytes += size
        return current.partition
      }
      const partition = pick(topic, current?.partition)
      sticky.set(topic.name, { partition, bytes: size })
      return partition
    }
  }
}
