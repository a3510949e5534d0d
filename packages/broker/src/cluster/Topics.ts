/** The topics of a cluster, by name and by id, and who leads their partitions. */
import { Uuid } from "@exactly-once/protocol"
import { Partition, Topic, type TopicSnapshot } from "./Topic.ts"

export interface TopicsEnvironment {
  /** The node that is to lead a new partition. */
  readonly leaderOf: (index: number) => number
  readonly randomBytes: () => Uint8Array
}

export class Topics {
  private readonly environment: TopicsEnvironment
  private readonly byName = new Map<string, Topic>()
  private readonly byId = new Map<string, Topic>()

  constructor(environment: TopicsEnvironment) {
    this.environment = environment
  }

  get(name: string): Topic | undefined {
    return this.byName.get(name)
  }

  withId(id: string): Topic | undefined {
    return this.byId.get(id)
  }

  partition(topic: string, index: number): Partition | undefined {
    return this.byName.get(topic)?.partitions[index]
  }

  all(): Iterable<Topic> {
    return this.byName.values()
  }

  names(): Iterable<string> {
    return this.byName.keys()
  }

  /** A topic whose name differs from this one by no more than "." and "_", which metrics cannot tell apart. */
  colliding(name: string): string | undefined {
    if (!/[._]/.test(name)) return undefined
    const alike = name.replaceAll(".", "_")
    for (const other of this.byName.keys()) if (other.replaceAll(".", "_") === alike) return other
    return undefined
  }

  /** Creates a topic; leaders go round the nodes. The caller has checked that the name is free and valid. */
  create(name: string, partitions: number, config: Iterable<readonly [string, string]> = []): Topic {
    const topic = new Topic(name, Uuid.fromBytes(this.environment.randomBytes()), config)
    this.add(topic)
    this.grow(topic, partitions)
    return topic
  }

  /** Adds partitions up to `count`. */
  grow(topic: Topic, count: number): void {
    for (let index = topic.partitions.length; index < count; index++) {
      topic.partitions.push(new Partition(topic, index, this.environment.leaderOf(index)))
    }
  }

  private add(topic: Topic): void {
    this.byName.set(topic.name, topic)
    this.byId.set(topic.id, topic)
  }

  /** Removes a topic and tells everyone who waits for its partitions. */
  delete(topic: Topic): void {
    this.byName.delete(topic.name)
    this.byId.delete(topic.id)
    topic.deleted = true
    for (const partition of topic.partitions) partition.changed()
  }

  snapshot(): Array<TopicSnapshot> {
    return Array.from(this.byName.values(), (topic) => topic.snapshot())
  }

  restore(snapshots: ReadonlyArray<TopicSnapshot>): void {
    this.byName.clear()
    this.byId.clear()
    for (const snapshot of snapshots) this.add(Topic.restore(snapshot))
  }
}

/** `String.hashCode`, by which ids and groups are spread over the partitions of the internal topics. */
export const spread = (key: string, partitions: number): number => {
  let hash = 0
  for (let i = 0; i < key.length; i++) hash = (Math.imul(31, hash) + key.charCodeAt(i)) | 0
  return (hash & 0x7fffffff) % partitions
}
