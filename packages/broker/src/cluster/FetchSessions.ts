/**
 * Fetch sessions (KIP-227): what a client asked for and was told, so that it need not ask again for partitions where nothing changed. Each
 * incremental fetch carries the next epoch of its session; one that was lost, or came twice, is noticed by that.
 */
import type { FetchRequest, FetchResponse } from "@exactly-once/protocol"

export const NO_SESSION = 0
const INITIAL_EPOCH = 0
const LAST_EPOCH = 0x7fffffff

/** One partition of a session. A topic goes by its name, or from Fetch 13 on by its id; the other is empty. */
export interface SessionPartition {
  readonly topic: string
  readonly topicId: string
  readonly wanted: FetchRequest.FetchPartition
}

interface Told {
  highWatermark: bigint
  logStartOffset: bigint
}

const keyOf = (topic: string, topicId: string, partition: number): string => `${topic}/${topicId}/${partition}`

export class FetchSession {
  readonly id: number
  readonly node: number
  readonly usesTopicIds: boolean
  epoch = INITIAL_EPOCH + 1
  lastUsed: number
  private readonly partitions = new Map<string, SessionPartition & { readonly told: Told }>()

  constructor(id: number, node: number, usesTopicIds: boolean, now: number) {
    this.id = id
    this.node = node
    this.usesTopicIds = usesTopicIds
    this.lastUsed = now
  }

  get isEmpty(): boolean {
    return this.partitions.size === 0
  }

  asked(): Array<SessionPartition> {
    return [...this.partitions.values()]
  }

  /** Takes what a fetch adds, changes or gives up. */
  update(wanted: Iterable<SessionPartition>, forgotten: ReadonlyArray<FetchRequest.ForgottenTopic>): void {
    for (const it of wanted) {
      const key = keyOf(it.topic, it.topicId, it.wanted.partition)
      const told = this.partitions.get(key)?.told ?? { highWatermark: -1n, logStartOffset: -1n }
      this.partitions.set(key, { ...it, told })
    }
    for (const { partitions, topic, topicId } of forgotten) {
      for (const partition of partitions) this.partitions.delete(keyOf(topic, topicId, partition))
    }
  }

  /** Whether an answer says something new, which is then what the client was told. Errors always do. */
  tells(it: SessionPartition, answer: FetchResponse.PartitionDataInput): boolean {
    const told = this.partitions.get(keyOf(it.topic, it.topicId, it.wanted.partition))?.told
    if (told === undefined) return true
    const { errorCode, highWatermark, logStartOffset = -1n, records } = answer
    const news = (records?.length ?? 0) > 0 || errorCode !== 0 || highWatermark !== told.highWatermark ||
      logStartOffset !== told.logStartOffset
    // After an error the partition is told of again as soon as it is well.
    told.highWatermark = errorCode === 0 ? highWatermark : -1n
    told.logStartOffset = logStartOffset
    return news
  }

  next(now: number): void {
    this.lastUsed = now
    this.epoch = this.epoch === LAST_EPOCH ? 1 : this.epoch + 1
  }
}

export interface FetchSessionsOptions {
  /** `max.incremental.fetch.session.cache.slots` */
  readonly slots: number
  /** `min.incremental.fetch.session.eviction.ms` */
  readonly evictionAfter: number
}

const kafkasOptions: FetchSessionsOptions = { slots: 1000, evictionAfter: 120_000 }

export class FetchSessions {
  private readonly options: FetchSessionsOptions
  private readonly randomBytes: () => Uint8Array
  private readonly sessions = new Map<number, FetchSession>()

  constructor(randomBytes: () => Uint8Array, options = kafkasOptions) {
    this.randomBytes = randomBytes
    this.options = options
  }

  get(id: number, node: number): FetchSession | undefined {
    const session = this.sessions.get(id)
    return session?.node === node ? session : undefined
  }

  /** Opens a session; `undefined` when there is no room for one, and the client goes on with full fetches. */
  open(node: number, usesTopicIds: boolean, now: number): FetchSession | undefined {
    if (this.sessions.size >= this.options.slots && !this.evict(now)) return undefined
    const session = new FetchSession(this.freeId(), node, usesTopicIds, now)
    this.sessions.set(session.id, session)
    return session
  }

  private freeId(): number {
    for (;;) {
      const [a, b, c, d] = this.randomBytes()
      const id = ((a! & 127) << 24) | (b! << 16) | (c! << 8) | d!
      if (id !== NO_SESSION && !this.sessions.has(id)) return id
    }
  }

  private evict(now: number): boolean {
    let oldest: FetchSession | undefined
    for (const session of this.sessions.values()) {
      if (oldest === undefined || session.lastUsed < oldest.lastUsed) oldest = session
    }
    if (oldest === undefined || oldest.lastUsed + this.options.evictionAfter > now) return false
    return this.sessions.delete(oldest.id)
  }

  close(id: number, node: number): void {
    if (this.get(id, node) !== undefined) this.sessions.delete(id)
  }

  /** A restart forgets all of them; a client that goes on with one is told 70 and starts over. */
  clear(): void {
    this.sessions.clear()
  }
}
