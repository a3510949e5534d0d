/**
 * What Kafka's own TransactionsTest asks of its client and brokers, asked of the brokers alone: a producer that speaks as the Java client
 * does to a broker of this transaction.version. Where that test stops brokers, an answer is lost here.
 */
import { Apis, RecordBatch } from "@exactly-once/protocol"
import { NOBODY, type Producer, type Sent } from "../Batch.ts"
import { alone, assigned, beat, enter } from "../Group.ts"
import type { Raw } from "../Raw.ts"
import { section } from "../suite.ts"
import type { World } from "../World.ts"

interface Position {
  readonly group: string
  readonly topic: string
  readonly offset: number
  readonly member?: string
  readonly generation?: number
  readonly metadata?: string
  readonly leaderEpoch?: number
}

class Client {
  private readonly world: World
  private readonly sequences = new Map<string, number>()
  producer: Producer

  constructor(world: World, producer: Producer) {
    this.world = world
    this.producer = producer
  }

  static async start(world: World, id = world.id, timeoutMs = 60_000): Promise<Client> {
    return new Client(world, await world.init(id, { timeoutMs }))
  }

  private get isNew(): boolean {
    return this.world.transactionVersion === 2
  }

  async send(topic: string, values: ReadonlyArray<string>, partition = 0, timestamp = Date.now()): Promise<Sent> {
    const { raw } = this.world
    if (!this.isNew) {
      const [error] = await raw.add(this.producer, { [topic]: [partition] })
      if (error !== 0) return { error: error ?? -2 }
    }
    const key = `${topic}-${partition}`
    const sequence = this.sequences.get(key) ?? 0
    const sent = await raw.send(this.producer, { topic, partition, values, sequence, timestamp }, this.isNew ? 12 : 11)
    if ("offset" in sent) this.sequences.set(key, sequence + values.length)
    return sent
  }

  async sendOffset(position: Position): Promise<number> {
    const { raw } = this.world
    if (!this.isNew) {
      const error = await raw.addOffsets(this.producer, position.group)
      if (error !== 0) return error
    }
    return raw.txnCommit(this.producer, position, this.isNew ? 5 : 4)
  }

  async end(committed: boolean): Promise<number> {
    const answer = await this.world.end(this.producer, committed, this.isNew ? 5 : 4)
    if (answer.error === 0 && this.isNew) this.moveTo(answer.epoch)
    return answer.error
  }

  moveTo(epoch: number): void {
    this.producer = { ...this.producer, epoch }
    this.sequences.clear()
  }
}

/** All values of a partition, decided or not. */
const everything = async (raw: Raw, topic: string, partition = 0): Promise<ReadonlyArray<string>> => {
  const { records } = await raw.fetch({ topic, partition, committed: false })
  return RecordBatch.split(records ?? new Uint8Array(0)).batches.filter(({ isControl }) => !isControl).flatMap((
    batch
  ) => batch.records().map(({ value }) => Buffer.from(value ?? []).toString()))
}

/** Sends a request whose answer nobody reads, and waits until it had its effect. */
const loseAnswer = async (
  world: World,
  send: (raw: Raw) => Promise<unknown>,
  done: () => Promise<boolean>
): Promise<void> => {
  const raw = await world.connect()
  const answer = send(raw).catch(() => {})
  await world.until(done)
  await raw.close()
  await answer
}

/** The first instance has sent to two topics, and another one takes over and sends as well. */
const takenOver = async (world: World) => {
  const one = await world.topic(1, {}, "one")
  const two = await world.topic(1, {}, "two")
  const first = await Client.start(world)
  for (const topic of [one, two]) await first.send(topic, ["first"])
  const second = await Client.start(world)
  for (const topic of [one, two]) await second.send(topic, ["second"])
  return { one, two, first, second, visible: async () => [await world.raw.visible(one), await world.raw.visible(two)] }
}

/** Copies a topic to another one in transactions, every second of which is aborted. */
const copy = async (
  world: World,
  input: string,
  output: string,
  client: Client,
  member: { readonly member: string; readonly generation: number }
): Promise<ReadonlyArray<string>> => {
  for (let attempt = 0; attempt < 20; attempt++) {
    const from = Math.max(0, Number(await world.raw.committed(world.group, input, { stable: true })))
    const { records } = await world.raw.fetch({ topic: input, from, maxBytes: 1 })
    const [batch] = RecordBatch.split(records ?? new Uint8Array(0)).batches
    if (batch === undefined) break
    await client.send(output, batch.records().map(({ value }) => Buffer.from(value ?? []).toString()))
    const position = { group: world.group, topic: input, offset: Number(batch.lastOffset) + 1, ...member }
    await client.sendOffset(position)
    await client.end(attempt % 2 === 1)
  }
  return world.raw.visible(output)
}

export const transactionsTest = section("Kafka's TransactionsTest", (check) => {
  check("an aborted transaction is not read, a committed one is, and read_uncommitted sees both", async (world) => {
    const one = await world.topic(1, {}, "one")
    const two = await world.topic(1, {}, "two")
    const client = await Client.start(world)
    await client.send(two, ["2"])
    await client.send(one, ["4"])
    const aborted = await client.end(false)
    await client.send(one, ["1"])
    await client.send(two, ["3"])
    const committed = await client.end(true)
    return {
      aborted,
      committed,
      visible: [await world.raw.visible(one), await world.raw.visible(two)],
      all: [await everything(world.raw, one), await everything(world.raw, two)],
      starts: [(await world.raw.listOffset(one, -2)).offset, (await world.raw.listOffset(two, -2)).offset]
    }
  })

  check("nothing that is undecided is seen, sought or found by time", async (world) => {
    const topic = await world.topic()
    const now = Date.now() - 5_000
    const undecided = await Client.start(world, world.name("one"))
    const decided = await Client.start(world, world.name("two"))
    await decided.send(topic, ["x1"], 0, now)
    await undecided.send(topic, ["a", "b"], 0, now + 1)
    await decided.send(topic, ["x2"], 0, now + 1)
    await decided.end(true)
    return {
      visible: await world.raw.visible(topic),
      all: await everything(world.raw, topic),
      ends: await world.raw.ends(topic),
      byTime: (await world.raw.listOffset(topic, now + 1)).offset,
      byTimeCommitted: (await world.raw.listOffset(topic, now + 1, { committed: true })).offset
    }
  })

  check("a fetch that waited lists the aborted transaction", async (world) => {
    const topic = await world.topic()
    const aborts = await Client.start(world, world.name("one"))
    const commits = await Client.start(world, world.name("two"))
    await commits.send(topic, ["x1"])
    await aborts.send(topic, ["y1", "y2"])
    await commits.send(topic, ["x2"])
    await aborts.end(false)
    await commits.end(true)
    const fetched = await world.raw.fetched({ topic, minBytes: 100_000, maxWaitMs: 100 })
    return { fetched, visible: await world.raw.visible(topic) }
  })

  check("copying with aborts in between copies each record once, as a classic member", async (world) => {
    const input = await world.topic(1, {}, "input")
    const output = await world.topic(1, {}, "output")
    for (let i = 0; i < 6; i++) await world.raw.send(NOBODY, { topic: input, values: [`${i * 2}`, `${i * 2 + 1}`] })
    const member = await alone(world.raw, world.group)
    return copy(world, input, output, await Client.start(world), member)
  })

  check("copying with aborts in between copies each record once, as a consumer of KIP-848", async (world) => {
    const input = await world.topic(1, {}, "input")
    const output = await world.topic(1, {}, "output")
    for (let i = 0; i < 6; i++) await world.raw.send(NOBODY, { topic: input, values: [`${i * 2}`, `${i * 2 + 1}`] })
    const answer = await enter(world.raw, world.group, "a", [input])
    const owned = answer.assignment!.topicPartitions.map(({ partitions, topicId }) => ({ partitions, topicId }))
    const { memberEpoch } = await beat(world.raw, world.group, { member: "a", epoch: answer.memberEpoch, owned })
    const copied = await copy(world, input, output, await Client.start(world), { member: "a", generation: memberEpoch })
    return { assigned: assigned(answer), copied }
  })

  check("the instance that was replaced is fenced when it commits", async (world) => {
    const { first, second, visible } = await takenOver(world)
    return [await first.end(true), await second.end(true), await visible()]
  })

  check("the instance that was replaced is fenced when it sends offsets", async (world) => {
    const { first, one, second, visible } = await takenOver(world)
    const refused = await first.sendOffset({ group: world.group, topic: one, offset: 110 })
    return [refused, await second.end(true), await visible(), await world.raw.committed(world.group, one)]
  })

  check("metadata and leader epoch of an offset come back", async (world) => {
    const topic = await world.topic()
    const client = await Client.start(world)
    const sent = await client.sendOffset({
      group: world.group,
      topic,
      offset: 110,
      metadata: "some metadata",
      leaderEpoch: 15
    })
    const ended = await client.end(true)
    await Client.start(world)
    const body = { groupId: world.group, topics: [{ name: topic, partitionIndexes: [0] }], requireStable: true }
    const found = (await world.raw.client.call(Apis.OffsetFetch, 7, body)).topics[0]!.partitions[0]!
    return [sent, ended, Number(found.committedOffset), found.metadata, found.committedLeaderEpoch]
  })

  check("InitProducerId whose answer was lost may be sent again", async (world) => {
    await loseAnswer(world, (raw) => raw.init(world.id), async () => (await world.raw.state(world.id)) === "Empty")
    const again = await world.raw.init(world.id)
    return [again.error, again.epoch]
  })

  check("offsets whose answer was lost may be sent again", async (world) => {
    const topic = await world.topic()
    const client = await Client.start(world)
    await client.send(topic, ["v"])
    const position = { group: world.group, topic, offset: 7 }
    if (world.transactionVersion === 1) await world.raw.addOffsets(client.producer, world.group)
    await loseAnswer(
      world,
      (raw) => raw.txnCommit(client.producer, position, world.transactionVersion === 2 ? 5 : 4),
      async () => typeof await world.raw.committed(world.group, topic, { stable: true }) !== "number"
    )
    return [await client.sendOffset(position), await client.end(true), await world.raw.committed(world.group, topic)]
  })

  for (const committed of [true, false]) {
    check(`${committed ? "a commit" : "an abort"} whose answer was lost may be sent again`, async (world) => {
      const topic = await world.topic()
      const client = await Client.start(world)
      await client.send(topic, ["v"])
      const version = world.transactionVersion === 2 ? 5 : 4
      await loseAnswer(
        world,
        (raw) => raw.end(client.producer, committed, version),
        async () => String(await world.raw.state(world.id)).startsWith("Complete")
      )
      const again = await world.raw.end(client.producer, committed, version)
      return { error: again.error, epoch: again.epoch, visible: await world.raw.visible(topic) }
    })
  }

  check("the instance that was replaced is fenced when it sends", async (world) => {
    const { first, one, second, visible } = await takenOver(world)
    const refused = await world.raw.send(
      first.producer,
      { topic: one, sequence: 1 },
      world.transactionVersion === 2 ? 12 : 11
    )
    return [refused, await second.end(true), await visible()]
  })

  check("the instance that was replaced is fenced when it begins anew", async (world) => {
    const topic = await world.topic()
    const first = await Client.start(world)
    await first.send(topic, ["first"])
    const aborted = await first.end(false)
    const second = await Client.start(world)
    await second.send(topic, ["second"])
    return [aborted, await first.send(topic, ["late"]), await second.end(true), await world.raw.visible(topic)]
  })

  check("a transaction that timed out refuses what comes after, and was aborted", async (world) => {
    const topic = await world.topic()
    const client = await Client.start(world, world.id, 200)
    const sent = await client.send(topic, ["1"])
    await world.passTransaction(world.id)
    const late = await client.send(topic, ["2"])
    return { sent, late, all: await everything(world.raw, topic), visible: await world.raw.visible(topic) }
  })

  check("markers for many partitions at one leader", async (world) => {
    const wide = await world.topic(10, {}, "wide")
    const other = await world.topic(10, {}, "other")
    const client = await Client.start(world)
    const values = Array.from({ length: 20 }, (_, i) => `${i}`)
    for (const topic of [wide, other]) {
      for (let partition = 0; partition < 10; partition++) await client.send(topic, values, partition)
    }
    const aborted = await client.end(false)
    for (let partition = 0; partition < 10; partition++) await client.send(wide, ["kept"], partition)
    const committed = await client.end(true)
    const counts = { visible: 0, all: 0 }
    for (const topic of [wide, other]) {
      for (let partition = 0; partition < 10; partition++) {
        counts.visible += (await world.raw.visible(topic, partition)).length
        counts.all += (await everything(world.raw, topic, partition)).length
      }
    }
    return { aborted, committed, ...counts }
  })

  check("an instance that begins twice is its own successor", async (world) => {
    const topic = await world.topic()
    const first = await Client.start(world)
    const second = await Client.start(world)
    return [
      first.producer.epoch,
      second.producer.epoch,
      await first.send(topic, ["first"]),
      await second.send(topic, ["second"])
    ]
  })

  check(
    "a batch that never arrived is given up with an abort and a later epoch, in the older protocol",
    async (world) => {
      const topic = await world.topic(2)
      const { raw } = world
      const producer = await world.ongoing(topic)
      await world.end(producer, true)
      await raw.add(producer, { [topic]: [0, 1] })
      await raw.send(producer, { topic, sequence: 1, values: ["given up"] })
      const aborted = await world.end(producer, false)
      const next = await raw.init(world.id, { pid: producer })
      await raw.add(next, { [topic]: [0, 1] })
      const sent = [await raw.send(next, { topic }), await raw.send(next, { topic, partition: 1 })]
      const late = await raw.send(producer, { topic, partition: 1, values: ["late"] })
      const ended = await world.end(next, true)
      return {
        aborted: aborted.error,
        epoch: next.epoch,
        sent,
        late,
        ended: ended.error,
        visible: [await raw.visible(topic), await raw.visible(topic, 1)],
        producers: await raw.producers(topic)
      }
    }
  )

  check(
    "a batch that never arrived is given up with an abort, which moves the epoch on in the newer protocol",
    async (world) => {
      const topic = await world.topic(2)
      const { raw } = world
      const first = await world.init(world.id)
      await raw.send(first, { topic, values: ["one"] }, 12)
      const second = { ...first, epoch: (await world.end(first, true, 5)).epoch }
      await raw.send(second, { topic, values: ["given up"] }, 12)
      const third = { ...first, epoch: (await world.end(second, false, 5)).epoch }
      const sent = [
        await raw.send(third, { topic, values: ["two"] }, 12),
        await raw.send(third, { topic, partition: 1 }, 12)
      ]
      const late = await raw.send(second, { topic, partition: 1, values: ["late"] }, 12)
      const ended = await world.end(third, true, 5)
      return {
        epochs: [first.epoch, second.epoch, third.epoch],
        sent,
        late,
        ended: ended.error,
        visible: [await raw.visible(topic), await raw.visible(topic, 1)],
        producers: await raw.producers(topic)
      }
    }
  )

  check("a successor that never learnt that it was one has fenced all the same", async (world) => {
    const topic = await world.topic()
    const first = await Client.start(world)
    await first.send(topic, ["first"])
    await first.end(true)
    const { epoch } = await world.raw.describe(world.id)
    await loseAnswer(
      world,
      (raw) => raw.init(world.id),
      async () => (await world.raw.describe(world.id)).epoch !== epoch
    )
    const refused = await first.send(topic, ["late"])
    const third = await Client.start(world)
    await third.send(topic, ["third"])
    return {
      refused,
      ended: await third.end(true),
      visible: await world.raw.visible(topic),
      producers: await world.raw.producers(topic)
    }
  })
})
