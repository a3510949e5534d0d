/**
 * A partition of a topic, and the string that names it in maps.
 */

/** One partition of one topic. `partition` counts from 0. */
export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** The name of a partition as a map key and in messages: `topic-partition`, as Kafka's own tools write it. */
export const format = (tp: TopicPartition): string => `${tp.topic}-${tp.partition}`
