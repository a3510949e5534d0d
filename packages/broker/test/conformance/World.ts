/**
 * What a case runs in: connections to a broker, names nobody else uses, and time. In the embedded broker deadlines are moved, and a
 * transaction can be held while it is being ended; with Kafka one waits, and tries until its coordinator was seen in that state.
 */
import type { BrokerShape } from "@exactly-once/broker"
import { Apis } from "@exactly-once/protocol"
import { Effect } from "effect"
import { RawClient } from "../support/RawClient.ts"
import type { Producer } from "./Batch.ts"
import { Raw } from "./Raw.ts"
import type { Answer, TransactionVersion } from "./suite.ts"

const sleep = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))
const PATIENCE = 60_000
const SILENCE = 1_000
/** A batch of one short record has 68 bytes, a marker 78. */
const BELOW_MARKER = "70"
const SCAN_INTERVAL = 500
const RETRIABLE = new Set([14, 15, 16, 51])

export interface WorldOptions {
  readonly address: string
  readonly transactionVersion: TransactionVersion
  /** Only in the embedded broker. */
  readonly broker?: BrokerShape
  /** Unique to this run and case. */
  readonly prefix: string
}

/** A transaction in its Prepare state. */
export interface Ending {
  readonly producer: Producer
  /** The producer as EndTxn's answer has it. */
  readonly after: Producer
  /** Two partitions that are no part of it. */
  readonly topic: string
  /** One partition that is, and whose marker is awaited. */
  readonly held: string
}

const names = (prefix: string) => ({ id: `${prefix}.id`, group: `${prefix}.group` })

export class World {
  readonly raw: Raw
  readonly transactionVersion: TransactionVersion
  /** The case's own transactional id and group, for the many that need just one. */
  readonly id: string
  readonly group: string
  private readonly options: WorldOptions
  private readonly connections: Array<Raw> = []
  /** What Kafka is to be rid of afterwards. */
  private readonly topics: Array<string> = []

  private constructor(options: WorldOptions, raw: Raw) {
    this.options = options
    this.raw = raw
    this.connections.push(raw)
    this.transactionVersion = options.transactionVersion
    this.id = names(options.prefix).id
    this.group = names(options.prefix).group
  }

  static async open(options: WorldOptions): Promise<World> {
    const client = await RawClient.open(options.address)
    const { id, group } = names(options.prefix)
    await new Raw(client, 0).findCoordinators(id, group)
    const { topics } = await client.call(Apis.Metadata, 12, { topics: [{ name: "__transaction_state" }] })
    const epochs = topics[0]?.partitions.map(({ leaderEpoch }) => leaderEpoch) ?? []
    return new World(options, new Raw(client, Math.max(0, ...epochs)))
  }

  async close(): Promise<void> {
    if (this.topics.length > 0) await this.raw.deleteTopics(this.topics)
    await Promise.all(this.connections.map((it) => it.close()))
  }

  get isEmbedded(): boolean {
    return this.options.broker !== undefined
  }

  name(short: string): string {
    return `${this.options.prefix}.${short}`
  }

  /** Another connection, for what waits for its answer. */
  async connect(clientId = "raw"): Promise<Raw> {
    const raw = new Raw(await RawClient.open(this.options.address, clientId), this.raw.firstCoordinatorEpoch)
    this.connections.push(raw)
    return raw
  }

  /** Creates a topic and waits until it can be used. */
  async topic(partitions = 1, config: Readonly<Record<string, string>> = {}, short = "t"): Promise<string> {
    const name = this.name(short)
    let error = 0
    // A Kafka that was too busy to heartbeat has no node for a while that could hold a replica.
    await this.until(async () => (error = await this.raw.createTopic(name, partitions, config)) !== 38)
    if (error !== 0) throw new Error(`no topic ${name}: ${error}`)
    if (!this.isEmbedded) this.topics.push(name)
    await this.ready(name)
    return name
  }

  /** Until a new topic is known, and every partition's leader knows that it is. */
  async ready(topic: string): Promise<void> {
    await this.until(async () => (await this.raw.topicErrors(topic)).every((code) => code === 0))
    await this.until(async () => (await this.raw.startErrors(topic)).every((code) => code === 0))
  }

  async until(done: () => Promise<boolean>): Promise<void> {
    const end = Date.now() + PATIENCE
    while (!await done()) {
      if (Date.now() > end) throw new Error("waited in vain")
      await sleep(10)
    }
  }

  /** Until the markers of an id's last transaction are written. */
  settled(id: string): Promise<void> {
    return this.until(async () => !String(await this.raw.state(id)).startsWith("Prepare"))
  }

  /** EndTxn, and then until its markers are written. */
  async end(
    producer: Producer,
    committed: boolean,
    version = 4
  ): Promise<{ readonly error: number; readonly epoch: number }> {
    const answer = await this.raw.end(producer, committed, version)
    if (answer.error === 0) await this.settled(producer.id ?? "")
    return answer
  }

  /** InitProducerId as a client does it: again while a transaction is being ended, or the coordinator is starting. */
  async init(id: string | null, options: Parameters<Raw["init"]>[1] = {}): Promise<Producer> {
    for (;;) {
      const producer = await this.raw.init(id, options)
      if (producer.error === 0) return producer
      if (!RETRIABLE.has(producer.error)) throw new Error(`InitProducerId: ${producer.error}`)
      if (id === null || producer.error !== 51) await sleep(10)
      else await this.settled(id)
    }
  }

  /** A producer whose transaction has data at `topic`-0, in the older protocol. */
  async ongoing(topic: string, options: Parameters<Raw["init"]>[1] = {}, id = this.id): Promise<Producer> {
    const producer = await this.init(id, options)
    await this.begin(producer, topic)
    return producer
  }

  /** Opens a transaction with a batch at `topic`-0, again while the coordinator or the leader is not ready. */
  async begin(producer: Producer, topic: string): Promise<void> {
    await this.until(async () => (await this.raw.add(producer, { [topic]: [0] }))[0] === 0)
    await this.until(async () => "offset" in await this.raw.send(producer, { topic }, 11))
  }

  /** A producer whose transaction, with data at `topic`-0, the coordinator has timed out; it has not noticed. */
  async timedOut(topic: string, id = this.id): Promise<Producer> {
    const producer = await this.ongoing(topic, { timeoutMs: 200 }, id)
    await this.passTransaction(id)
    return producer
  }

  /** Until the timeout of an open transaction has passed, given at most a second, and it is aborted. */
  async passTransaction(id: string): Promise<void> {
    await this.advance(1_000, "transactions", 0)
    await this.until(async () => (await this.raw.state(id)) === "CompleteAbort")
  }

  /** Time passes for the sessions of group members, after what was sent before has arrived. */
  async passSessions(millis: number): Promise<void> {
    await this.isServing()
    await this.advance(millis, "sessions", millis)
  }

  private async advance(millis: number, scope: "transactions" | "sessions", wait: number): Promise<void> {
    const { broker } = this.options
    if (broker === undefined) await sleep(wait === 0 ? SCAN_INTERVAL / 5 : wait)
    else await Effect.runPromise(broker.advance(millis, scope))
  }

  /** Asks while a transaction of `this.id`, with data at `held`-0, is between EndTxn's answer and its last marker. */
  whileEnding(committed: boolean, version: number, ask: (ending: Ending) => Promise<Answer>): Promise<Answer> {
    return this.whilePreparing(
      async (producer) => (await this.raw.end(producer, committed, version)).epoch,
      (ending, epoch) =>
        ask({ ...ending, after: { ...ending.producer, epoch: version >= 5 ? epoch : ending.producer.epoch } })
    )
  }

  /** The same while a newcomer's InitProducerId has the transaction aborted. */
  whileAborting(ask: (ending: Ending) => Promise<Answer>): Promise<Answer> {
    return this.whilePreparing(async () => (await this.raw.init(this.id)).error, ask)
  }

  /**
   * Kafka has no switch to hold a transaction. But if the marker is larger than what its topic takes, the coordinator gives up, and the
   * transaction stays as it is until the broker starts again. It may give up others on the way, so no other case may run meanwhile.
   */
  private async whilePreparing(
    end: (producer: Producer) => Promise<number>,
    ask: (ending: Ending, ended: number) => Promise<Answer>
  ): Promise<Answer> {
    const { broker } = this.options
    const topic = await this.topic(2)
    const held = await this.topic(1, broker === undefined ? { "max.message.bytes": BELOW_MARKER } : {}, "held")
    const producer = await this.init(this.id)
    await this.begin(producer, held)
    if (broker !== undefined) await Effect.runPromise(broker.holdPrepared("Infinity"))
    const ended = await end(producer)
    const state = await this.raw.state(this.id)
    if (!String(state).startsWith("Prepare")) throw new Error(`not held, but ${state}`)
    const answer = await ask({ producer, after: producer, topic, held }, ended)
    if (broker !== undefined) await Effect.runPromise(broker.releasePrepared)
    return answer
  }

  /** Whether the broker ends the connection rather than answer. */
  async closes(send: (raw: Raw) => Promise<unknown>): Promise<boolean> {
    const raw = await this.connect()
    const answered = send(raw).then(() => false, () => true)
    const ended = raw.client.closed.then(() => true)
    return Promise.race([answered, ended])
  }

  /** Whether an answer comes, within a time that is long for one. */
  async answers(send: (raw: Raw) => Promise<unknown>): Promise<boolean> {
    const raw = await this.connect()
    return Promise.race([send(raw).then(() => true, () => false), sleep(SILENCE).then(() => false)])
  }

  /** Whether a fresh connection is still served: the broker took no harm. */
  async isServing(): Promise<boolean> {
    const raw = await this.connect()
    return (await raw.client.call(Apis.ApiVersions, 0, {})).errorCode === 0
  }
}
