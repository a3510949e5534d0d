import { Apis } from "@exactly-once/protocol"
import { type Producer, withEpoch } from "../Batch.ts"
import { section } from "../suite.ts"

const asTransaction = (
  { epoch, id, producerId }: Producer,
  name: string,
  partitions: ReadonlyArray<number>,
  verifyOnly = false
) => ({ transactionalId: id ?? "", producerId, producerEpoch: epoch, verifyOnly, topics: [{ name, partitions }] })

export const addPartitions = section("AddPartitionsToTxn and AddOffsetsToTxn", (check) => {
  for (const version of [0, 1, 2, 3, 4, 5]) {
    check(`adds partitions, once or again, version ${version}`, async (world) => {
      const topic = await world.topic(3)
      const producer = await world.init(world.id)
      const first = await world.raw.add(producer, { [topic]: [0, 1] }, version)
      const again = await world.raw.add(producer, { [topic]: [1, 2] }, version)
      return { first, again, state: await world.raw.describe(world.id) }
    })

    check(`refuses a wrong epoch or id, version ${version}`, async (world) => {
      const topic = await world.topic()
      await world.init(world.id)
      const producer = await world.init(world.id)
      const add = (it: Producer) => world.raw.add(it, { [topic]: [0] }, version)
      return {
        later: await add(withEpoch(producer, 1)),
        earlier: await add(withEpoch(producer, -1)),
        otherProducer: await add({ ...producer, producerId: producer.producerId + 999n }),
        unknown: await add({ ...producer, id: world.name("nobody") }),
        empty: await add({ ...producer, id: "" }),
        state: await world.raw.state(world.id)
      }
    })

    check(`adds nothing if one partition does not exist, version ${version}`, async (world) => {
      const topic = await world.topic(2)
      const producer = await world.init(world.id)
      const none = world.name("none")
      return [
        await world.raw.add(producer, { [topic]: [0, 7] }, version),
        await world.raw.add(producer, { [topic]: [0], [none]: [0] }, version),
        await world.raw.state(world.id)
      ]
    })
  }

  for (const version of [4, 5]) {
    check(`several transactions, version ${version}`, async (world) => {
      const topic = await world.topic(2)
      const first = await world.init(world.name("a"))
      const second = await world.init(world.name("b"))
      const answer = await world.raw.client.call(Apis.AddPartitionsToTxn, version, {
        transactions: [
          asTransaction(first, topic, [0]),
          asTransaction(withEpoch(second, 3), topic, [1]),
          asTransaction({ ...second, id: world.name("c") }, topic, [1])
        ]
      })
      return {
        error: answer.errorCode,
        results: answer.resultsByTransaction
          .toSorted((a, b) => a.transactionalId < b.transactionalId ? -1 : 1)
          .map(({ topicResults, transactionalId }) => [
            transactionalId,
            ...topicResults.flatMap((it) => it.resultsByPartition.map(({ partitionErrorCode }) => partitionErrorCode))
          ]),
        states: [await world.raw.state(world.name("a")), await world.raw.state(world.name("b"))]
      }
    })

    check(`only verifies, if asked to, version ${version}`, async (world) => {
      const topic = await world.topic(2)
      const producer = await world.init(world.id)
      const before = await world.raw.add(producer, { [topic]: [0] }, version, true)
      const empty = await world.raw.state(world.id)
      await world.raw.add(producer, { [topic]: [0] })
      const verify = (it: Producer, partitions: ReadonlyArray<number>) =>
        world.raw.add(it, { [topic]: partitions }, version, true)
      return {
        before,
        empty,
        added: await verify(producer, [0, 1]),
        later: await verify(withEpoch(producer, 1), [0]),
        earlier: await verify(withEpoch(producer, -1), [0]),
        otherProducer: await verify({ ...producer, producerId: producer.producerId + 999n }, [0]),
        unknown: await verify({ ...producer, id: world.name("nobody") }, [0]),
        partitions: (await world.raw.describe(world.id)).partitions
      }
    })

    check(`only verifies, after the transaction, version ${version}`, async (world) => {
      const topic = await world.topic()
      const producer = await world.ongoing(topic)
      await world.end(producer, true)
      return world.raw.add(producer, { [topic]: [0] }, version, true)
    })

    check(`only verifies a partition that does not exist, version ${version}`, async (world) => {
      const producer = await world.init(world.id)
      return world.raw.add(producer, { [world.name("none")]: [0] }, version, true)
    })
  }

  check("no partitions at all begin a transaction", async (world) => {
    const producer = await world.init(world.id)
    return [await world.raw.add(producer, {}), await world.raw.describe(world.id)]
  })

  check("a partition of the groups' offsets may be added like any", async (world) => {
    const producer = await world.init(world.id)
    const added = await world.raw.add(producer, { __consumer_offsets: [0] })
    return { added, ended: (await world.end(producer, true)).error }
  })

  for (const version of [0, 1, 2, 3, 4]) {
    check(`adds the offsets of a group, version ${version}`, async (world) => {
      const producer = await world.init(world.id)
      const added = await world.raw.addOffsets(producer, world.group, version)
      return {
        added,
        again: await world.raw.addOffsets(producer, world.group, version),
        state: await world.raw.describe(world.id)
      }
    })

    check(`refuses the offsets of a group for a wrong epoch or id, version ${version}`, async (world) => {
      await world.init(world.id)
      const producer = await world.init(world.id)
      const add = (it: Producer, group = world.group) => world.raw.addOffsets(it, group, version)
      return {
        later: await add(withEpoch(producer, 1)),
        earlier: await add(withEpoch(producer, -1)),
        otherProducer: await add({ ...producer, producerId: producer.producerId + 999n }),
        unknown: await add({ ...producer, id: world.name("nobody") }),
        empty: await add({ ...producer, id: "" }),
        emptyGroup: await add(producer, "")
      }
    })
  }
})
