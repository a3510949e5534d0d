import { Apis } from "@exactly-once/protocol"
import { batchOf, NOBODY, withEpoch } from "../Batch.ts"
import { section } from "../suite.ts"

export const transactionalProduce = section("Produce in a transaction", (check) => {
  for (const version of [3, 7, 8, 9, 10, 11, 12, 13]) {
    check(`to a partition that was not added, version ${version}`, async (world) => {
      const topic = await world.topic()
      const producer = await world.init(world.id)
      const sent = await world.raw.send(producer, { topic }, version)
      return { sent, state: await world.raw.describe(world.id), ends: await world.raw.ends(topic) }
    })

    check(`to a partition that was added, and its end, version ${version}`, async (world) => {
      const topic = await world.topic()
      const producer = await world.ongoing(topic)
      const sent = await world.raw.send(producer, { topic, sequence: 1 }, version)
      const ended = await world.end(producer, true)
      return { sent, ended: ended.error, log: await world.raw.log(topic), ends: await world.raw.ends(topic) }
    })
  }

  for (const version of [7, 11, 12]) {
    check(`after the end of a transaction, with the same epoch, version ${version}`, async (world) => {
      const topic = await world.topic()
      const producer = await world.ongoing(topic)
      await world.end(producer, false)
      const late = await world.raw.send(producer, { topic, sequence: 1 }, version)
      return { late, state: await world.raw.state(world.id), ends: await world.raw.ends(topic) }
    })

    check(`after the end of a transaction in version 5, with its epoch, version ${version}`, async (world) => {
      const topic = await world.topic()
      const producer = await world.ongoing(topic)
      await world.end(producer, false, 5)
      const late = await world.raw.send(producer, { topic, sequence: 1 }, version)
      return { late, state: await world.raw.state(world.id), ends: await world.raw.ends(topic) }
    })

    check(`the last batch of a transaction again after its end, version ${version}`, async (world) => {
      const topic = await world.topic()
      const producer = await world.ongoing(topic)
      await world.end(producer, true)
      return { again: await world.raw.send(producer, { topic }, version), state: await world.raw.state(world.id) }
    })

    check(`the last batch of a transaction again, while it is open, version ${version}`, async (world) => {
      const topic = await world.topic()
      const producer = await world.ongoing(topic)
      return { again: await world.raw.send(producer, { topic }, version), ends: await world.raw.ends(topic) }
    })

    check(`an epoch ahead or behind, version ${version}`, async (world) => {
      const topic = await world.topic(2)
      await world.init(world.id)
      const producer = await world.ongoing(topic)
      return {
        ahead: await world.raw.send(withEpoch(producer, 1), { topic }, version),
        farAhead: await world.raw.send(withEpoch(producer, 5), { topic, partition: 1 }, version),
        behind: await world.raw.send(withEpoch(producer, -1), { topic, sequence: 1 }, version),
        behindElsewhere: await world.raw.send(withEpoch(producer, -1), { topic, partition: 1 }, version)
      }
    })

    check(`under a wrong transactional id, or none, version ${version}`, async (world) => {
      const topic = await world.topic()
      const producer = await world.init(world.id)
      await world.raw.add(producer, { [topic]: [0] })
      const other = world.name("other")
      await world.init(other)
      const send = (as: string | null) => world.raw.send(producer, { topic, as }, version)
      return {
        none: await send(null),
        empty: await send(""),
        other: await send(other),
        unknown: await send(world.name("nobody")),
        own: await send(world.id)
      }
    })

    check(`of a producer without a transactional id, version ${version}`, async (world) => {
      const topic = await world.topic()
      const producer = await world.init(null)
      return [
        await world.raw.send(producer, { topic, transactional: true }, version),
        await world.raw.send(producer, { topic, transactional: true, as: world.id }, version),
        await world.raw.send(NOBODY, { topic, transactional: true, as: world.id }, version)
      ]
    })

    check(
      `that is not transactional, while the producer's transaction is open there and elsewhere, version ${version}`,
      async (world) => {
        const topic = await world.topic(2)
        const producer = await world.ongoing(topic)
        return {
          here: await world.raw.send(producer, { topic, sequence: 1, transactional: false }, version),
          elsewhere: await world.raw.send(producer, { topic, partition: 1, transactional: false }, version),
          log: await world.raw.log(topic)
        }
      }
    )

    check(`that begins with another sequence than 0, version ${version}`, async (world) => {
      const topic = await world.topic(2)
      const producer = await world.ongoing(topic)
      await world.raw.add(producer, { [topic]: [1] })
      return [
        await world.raw.send(producer, { topic, partition: 1, sequence: 1 }, version),
        await world.raw.send(producer, { topic, partition: 0, sequence: 2 }, version)
      ]
    })

    check(`to a second partition that was not added, version ${version}`, async (world) => {
      const topic = await world.topic(2)
      const producer = await world.ongoing(topic)
      const sent = await world.raw.send(producer, { topic, partition: 1 }, version)
      return { sent, partitions: (await world.raw.describe(world.id)).partitions }
    })
  }

  check("a late batch of version 11 lands in the next transaction of its epoch", async (world) => {
    const topic = await world.topic()
    const producer = await world.ongoing(topic)
    await world.end(producer, false)
    const idle = await world.raw.send(producer, { topic, sequence: 1, values: ["late"] }, 11)
    await world.raw.add(producer, { [topic]: [0] })
    const next = await world.raw.send(producer, { topic, sequence: 1, values: ["late"] }, 11)
    await world.end(producer, true)
    return { idle, next, visible: await world.raw.visible(topic) }
  })

  check("a late batch of version 12 is refused, as its epoch is over", async (world) => {
    const topic = await world.topic()
    const producer = await world.init(world.id)
    await world.raw.send(producer, { topic, values: ["aborted"] }, 12)
    const { epoch } = await world.end(producer, false, 5)
    const idle = await world.raw.send(producer, { topic, sequence: 1, values: ["late"] }, 12)
    const next = await world.raw.send({ ...producer, epoch }, { topic, values: ["next"] }, 12)
    const during = await world.raw.send(producer, { topic, sequence: 1, values: ["late"] }, 12)
    await world.end({ ...producer, epoch }, true, 5)
    return { idle, next, during, visible: await world.raw.visible(topic) }
  })

  check("sequences go on after a commit of version 4, and begin anew after one of version 5", async (world) => {
    const topic = await world.topic()
    const producer = await world.ongoing(topic)
    await world.end(producer, true)
    await world.raw.add(producer, { [topic]: [0] })
    const sent = [await world.raw.send(producer, { topic }), await world.raw.send(producer, { topic, sequence: 1 })]
    const { epoch } = await world.end(producer, true, 5)
    const next = { ...producer, epoch }
    return [
      ...sent,
      await world.raw.send(next, { topic, sequence: 2 }, 12),
      await world.raw.send(next, { topic, sequence: 0 }, 12),
      await world.raw.producers(topic)
    ]
  })

  check("with acks 1 and acks 0", async (world) => {
    const topic = await world.topic()
    const producer = await world.ongoing(topic)
    const sent = await world.raw.send(producer, { topic, sequence: 1, acks: 1 })
    return { sent, ended: (await world.end(producer, true)).error }
  })

  check("to a topic that is not there, version 12: the transaction does not begin", async (world) => {
    const producer = await world.init(world.id)
    return [await world.raw.send(producer, { topic: world.name("none") }, 12), await world.raw.state(world.id)]
  })

  check("a gap in version 12 to a new partition: the partition is added all the same", async (world) => {
    const topic = await world.topic()
    const producer = await world.init(world.id)
    return [await world.raw.send(producer, { topic, sequence: 3 }, 12), await world.raw.describe(world.id)]
  })

  check("a batch with a wrong checksum in version 12", async (world) => {
    const topic = await world.topic()
    const producer = await world.init(world.id)
    const bytes = batchOf(producer, {})
    bytes[bytes.length - 1] = bytes[bytes.length - 1]! ^ 1
    return [await world.raw.sendBytes(bytes, { topic, as: world.id }, 12), await world.raw.state(world.id)]
  })

  check("an idempotent producer's batch after its id's batch in a transaction elsewhere", async (world) => {
    const topic = await world.topic(2)
    const producer = await world.ongoing(topic)
    const idempotent = await world.init(null)
    return [
      await world.raw.send(idempotent, { topic }),
      await world.raw.send(producer, { topic, partition: 1 }, 11),
      await world.raw.ends(topic)
    ]
  })

  check("two partitions, of which one was added, version 11", async (world) => {
    const topic = await world.topic(2)
    const producer = await world.init(world.id)
    await world.raw.add(producer, { [topic]: [1] })
    const answer = await world.raw.client.call(Apis.Produce, 11, {
      transactionalId: world.id,
      acks: -1,
      timeoutMs: 5_000,
      topicData: [{ name: topic, partitionData: [0, 1].map((index) => ({ index, records: batchOf(producer, {}) })) }]
    })
    return answer.responses[0]!.partitionResponses
      .toSorted((a, b) => a.index - b.index)
      .map(({ errorCode, index }) => [index, errorCode])
  })
})
