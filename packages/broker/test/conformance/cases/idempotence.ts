import { Apis } from "@exactly-once/protocol"
import { batchOf, NOBODY, type Producer, type Sent, withEpoch } from "../Batch.ts"
import { section } from "../suite.ts"
import type { World } from "../World.ts"

const LAST_SEQUENCE = 2_147_483_647

/** A producer that sent `count` batches of two records each. */
const withBatches = async (world: World, topic: string, count: number): Promise<Producer> => {
  const producer = await world.init(null)
  for (let batch = 0; batch < count; batch++) {
    await world.raw.send(producer, { topic, sequence: batch * 2, values: ["a", "b"] })
  }
  return producer
}

/** Sends one after the other, all to one topic. */
const inTurn = async (sends: ReadonlyArray<() => Promise<Sent>>): Promise<ReadonlyArray<Sent>> => {
  const answers: Array<Sent> = []
  for (const send of sends) answers.push(await send())
  return answers
}

export const idempotence = section("the idempotent producer", (check) => {
  for (const back of [1, 2, 3, 4, 5]) {
    check(
      `the batch sent ${back} before the end is recognised`,
      async (world) => {
        const topic = await world.topic()
        const producer = await withBatches(world, topic, 6)
        const sequence = (6 - back) * 2
        const again = await world.raw.send(producer, { topic, sequence, values: ["a", "b"] })
        return { again, end: (await world.raw.ends(topic)).end }
      }
    )
  }

  check("a batch older than the last five is out of order", async (world) => {
    const topic = await world.topic()
    const producer = await withBatches(world, topic, 6)
    const again = await world.raw.send(producer, { topic, sequence: 0, values: ["a", "b"] })
    return { again, end: (await world.raw.ends(topic)).end }
  })

  check("a gap is out of order, and nothing is lost by it", async (world) => {
    const topic = await world.topic()
    const producer = await withBatches(world, topic, 1)
    return inTurn([
      () => world.raw.send(producer, { topic, sequence: 3 }),
      () => world.raw.send(producer, { topic, sequence: 2 }),
      () => world.raw.send(producer, { topic, sequence: 3 })
    ])
  })

  check("a known first sequence with another last one is out of order", async (world) => {
    const topic = await world.topic()
    const producer = await withBatches(world, topic, 2)
    return inTurn([
      () => world.raw.send(producer, { topic, sequence: 2 }),
      () => world.raw.send(producer, { topic, sequence: 2, values: ["a", "b", "c"] }),
      () => world.raw.send(producer, { topic, sequence: 3 })
    ])
  })

  check("other values under the same sequences are taken for the same batch", async (world) => {
    const topic = await world.topic()
    const producer = await withBatches(world, topic, 1)
    const again = await world.raw.send(producer, { topic, sequence: 0, values: ["x", "y"] })
    return { again, visible: await world.raw.visible(topic) }
  })

  check("an unknown producer may begin anywhere", async (world) => {
    const topic = await world.topic()
    const producer = await world.init(null)
    return inTurn([
      () => world.raw.send(producer, { topic, sequence: 7 }),
      () => world.raw.send(producer, { topic, sequence: 8 }),
      () => world.raw.send(producer, { topic, sequence: 6 })
    ])
  })

  check("each partition counts for itself", async (world) => {
    const topic = await world.topic(2)
    const producer = await withBatches(world, topic, 2)
    return inTurn([
      () => world.raw.send(producer, { topic, partition: 1, sequence: 0 }),
      () => world.raw.send(producer, { topic, partition: 1, sequence: 4 }),
      () => world.raw.send(producer, { topic, partition: 0, sequence: 4 })
    ])
  })

  check("a later epoch begins with sequence 0", async (world) => {
    const topic = await world.topic()
    const producer = await withBatches(world, topic, 1)
    const next = withEpoch(producer, 1)
    return inTurn([
      () => world.raw.send(next, { topic, sequence: 2 }),
      () => world.raw.send(next, { topic, sequence: 0 }),
      () => world.raw.send(next, { topic, sequence: 1 })
    ])
  })

  check("a later epoch is believed without InitProducerId, and the earlier one is then refused", async (world) => {
    const topic = await world.topic()
    const producer = await withBatches(world, topic, 1)
    return inTurn([
      () => world.raw.send(withEpoch(producer, 5), { topic }),
      () => world.raw.send(withEpoch(producer, 4), { topic }),
      () => world.raw.send(producer, { topic, sequence: 2 }),
      () => world.raw.send(producer, { topic, sequence: 0, values: ["a", "b"] })
    ])
  })

  check("sequences go on with 0 after the last one", async (world) => {
    const topic = await world.topic()
    const producer = await world.init(null)
    return inTurn([
      () => world.raw.send(producer, { topic, sequence: LAST_SEQUENCE - 1, values: ["a", "b"] }),
      () => world.raw.send(producer, { topic, sequence: 0 }),
      () => world.raw.send(producer, { topic, sequence: 1 })
    ])
  })

  check("a batch may lie across the last sequence", async (world) => {
    const topic = await world.topic()
    const producer = await world.init(null)
    const values = ["a", "b", "c"]
    const sent = await inTurn([
      () => world.raw.send(producer, { topic, sequence: LAST_SEQUENCE, values }),
      () => world.raw.send(producer, { topic, sequence: LAST_SEQUENCE, values }),
      () => world.raw.send(producer, { topic, sequence: 1 }),
      () => world.raw.send(producer, { topic, sequence: 2 })
    ])
    return { sent, producers: await world.raw.producers(topic) }
  })

  check("a batch across the last sequence has a gap before it", async (world) => {
    const topic = await world.topic()
    const producer = await world.init(null)
    return inTurn([
      () => world.raw.send(producer, { topic, sequence: LAST_SEQUENCE - 5 }),
      () => world.raw.send(producer, { topic, sequence: LAST_SEQUENCE, values: ["a", "b"] }),
      () => world.raw.send(producer, { topic, sequence: LAST_SEQUENCE - 4, values: ["a", "b", "c", "d", "e", "f"] }),
      () => world.raw.send(producer, { topic, sequence: 1 })
    ])
  })

  check("only the leader's answer is waited for, and sequences count as well", async (world) => {
    const topic = await world.topic()
    const producer = await world.init(null)
    return inTurn([
      () => world.raw.send(producer, { topic, acks: 1 }),
      () => world.raw.send(producer, { topic, acks: 1 }),
      () => world.raw.send(producer, { topic, acks: 1, sequence: 2 })
    ])
  })

  check("without an answer the batch is kept, and recognised later", async (world) => {
    const topic = await world.topic()
    const producer = await world.init(null)
    world.raw.client.post(Apis.Produce, 9, {
      transactionalId: null,
      acks: 0,
      timeoutMs: 1_000,
      topicData: [{ name: topic, partitionData: [{ index: 0, records: batchOf(producer, {}) }] }]
    })
    return inTurn([
      () => world.raw.send(producer, { topic }),
      () => world.raw.send(producer, { topic, sequence: 1 })
    ])
  })

  check("a producer id needs an epoch", async (world) => {
    const topic = await world.topic()
    const producer = await world.init(null)
    return world.raw.send({ ...producer, epoch: -1 }, { topic })
  })

  check("a producer id needs a sequence", async (world) => {
    const topic = await world.topic()
    const producer = await world.init(null)
    return world.raw.send(producer, { topic, sequence: -1 })
  })

  check("what DescribeProducers says", async (world) => {
    const topic = await world.topic()
    await withBatches(world, topic, 3)
    await world.raw.send(NOBODY, { topic })
    return world.raw.producers(topic)
  })

  check("a batch whose checksum is wrong changes nothing", async (world) => {
    const topic = await world.topic()
    const producer = await withBatches(world, topic, 1)
    const broken = batchOf(producer, { sequence: 2 })
    const last = broken.length - 1
    broken[last] = broken[last]! ^ 1
    return inTurn([
      () => world.raw.sendBytes(broken, { topic }),
      () => world.raw.send(producer, { topic, sequence: 2 })
    ])
  })

  check("the checksum covers neither base offset nor leader epoch", async (world) => {
    const topic = await world.topic()
    const bytes = batchOf(NOBODY, {}, { baseOffset: 77n, partitionLeaderEpoch: 9 })
    return inTurn([() => world.raw.sendBytes(bytes, { topic }), () => world.raw.send(NOBODY, { topic })])
  })
})
