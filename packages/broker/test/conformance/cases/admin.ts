import { Apis } from "@exactly-once/protocol"
import type { Producer } from "../Batch.ts"
import { section } from "../suite.ts"
import type { World } from "../World.ts"

interface Filters {
  readonly states?: ReadonlyArray<string>
  readonly producers?: ReadonlyArray<bigint>
  readonly duration?: number
  readonly pattern?: string
  readonly version?: number
}

/** The ids of this case among those that ListTransactions names. */
const list = async (world: World, { duration, pattern, producers = [], states = [], version = 2 }: Filters = {}) => {
  const answer = await world.raw.client.call(Apis.ListTransactions, version, {
    stateFilters: states,
    producerIdFilters: producers,
    ...(version >= 1 && duration !== undefined ? { durationFilter: BigInt(duration) } : {}),
    ...(version >= 2 && pattern !== undefined ? { transactionalIdPattern: pattern } : {})
  })
  return {
    error: answer.errorCode,
    unknown: answer.unknownStateFilters,
    found: answer.transactionStates
      .filter(({ transactionalId }) => transactionalId.startsWith(world.name("")))
      .map(({ transactionState, transactionalId }) => `${transactionalId} ${transactionState}`)
      .toSorted()
  }
}

const three = async (world: World): Promise<{ readonly topic: string; readonly open: Producer }> => {
  const topic = await world.topic()
  await world.init(world.name("empty"))
  const done = await world.ongoing(topic, {}, world.name("done"))
  await world.end(done, true)
  const open = await world.ongoing(topic, {}, world.name("open"))
  return { topic, open }
}

const writeMarker = async (
  world: World,
  producer: Producer,
  topic: string,
  options: {
    readonly commit?: boolean
    readonly coordinatorEpoch?: number
    readonly version?: number
    readonly partition?: number
  } = {}
) => {
  const answer = await world.raw.client.call(Apis.WriteTxnMarkers, options.version ?? 1, {
    markers: [{
      producerId: producer.producerId,
      producerEpoch: producer.epoch,
      transactionResult: options.commit ?? false,
      coordinatorEpoch: world.raw.firstCoordinatorEpoch + (options.coordinatorEpoch ?? 0),
      topics: [{ name: topic, partitionIndexes: [options.partition ?? 0] }]
    }]
  })
  return answer.markers[0]!.topics[0]!.partitions[0]!.errorCode
}

export const admin = section("administration (KIP-664)", (check) => {
  for (const version of [0, 1, 2]) {
    check(`ListTransactions ${version}: by state`, async (world) => {
      await three(world)
      return [
        await list(world, { version }),
        await list(world, { version, states: ["Ongoing"] }),
        await list(world, { version, states: ["CompleteCommit", "Empty"] }),
        await list(world, { version, states: ["ongoing"] }),
        await list(world, { version, states: ["Nonsense", "Ongoing"] })
      ]
    })

    check(`ListTransactions ${version}: by producer`, async (world) => {
      const { open } = await three(world)
      return [
        await list(world, { version, producers: [open.producerId] }),
        await list(world, { version, producers: [999_999_999n] }),
        await list(world, { version, producers: [open.producerId], states: ["Empty"] })
      ]
    })
  }

  check("ListTransactions: by duration", async (world) => {
    await three(world)
    await new Promise((resolve) => setTimeout(resolve, 20))
    return [
      await list(world, { duration: 10 }),
      await list(world, { duration: -1 }),
      await list(world, { duration: 3_600_000 })
    ]
  })

  check("ListTransactions: by pattern", async (world) => {
    await three(world)
    return [
      await list(world, { pattern: ".*open" }),
      await list(world, { pattern: "open" }),
      await list(world, { pattern: "" }),
      await list(world, { pattern: "(" })
    ]
  })

  check("DescribeTransactions in every state", async (world) => {
    await three(world)
    const answers = []
    for (const name of ["empty", "done", "open", "nobody"]) answers.push(await world.raw.describe(world.name(name)))
    return [...answers, await world.raw.describe("")]
  })

  check("DescribeTransactions of offsets and data", async (world) => {
    const topic = await world.topic(3)
    const producer = await world.ongoing(topic)
    await world.raw.add(producer, { [topic]: [2] })
    await world.raw.addOffsets(producer, world.group)
    return world.raw.describe(world.id)
  })

  check("DescribeProducers: none, what is not there", async (world) => {
    const topic = await world.topic()
    return [
      await world.raw.producers(topic),
      await world.raw.producers(topic, 5),
      await world.raw.producers(world.name("none"))
    ]
  })

  check("DescribeProducers before, in and after transactions", async (world) => {
    const topic = await world.topic()
    const producer = await world.init(world.id)
    await world.raw.add(producer, { [topic]: [0] })
    const steps = [await world.raw.producers(topic)]
    await world.raw.send(producer, { topic, values: ["a", "b"] })
    steps.push(await world.raw.producers(topic))
    await world.end(producer, true)
    steps.push(await world.raw.producers(topic))
    await world.raw.send({ ...producer, epoch: (await world.init(world.id)).epoch }, { topic }, 12)
    steps.push(await world.raw.producers(topic))
    return steps
  })

  for (const version of [1, 2]) {
    check(`WriteTxnMarkers ${version}: an abort of a hanging transaction`, async (world) => {
      const topic = await world.topic()
      const producer = await world.ongoing(topic)
      const written = await writeMarker(world, producer, topic, { version })
      return {
        written,
        state: await world.raw.state(world.id),
        log: await world.raw.log(topic),
        fetched: await world.raw.fetched({ topic }),
        later: await world.raw.send(producer, { topic, sequence: 1 }),
        ended: (await world.end(producer, true)).error,
        visible: await world.raw.visible(topic)
      }
    })
  }

  check("WriteTxnMarkers: an older epoch, an older coordinator, what is not there", async (world) => {
    const topic = await world.topic()
    await world.init(world.id)
    const producer = await world.ongoing(topic)
    const later = { ...producer, epoch: producer.epoch + 1 }
    return {
      olderEpoch: await writeMarker(world, { ...producer, epoch: producer.epoch - 1 }, topic),
      first: await writeMarker(world, later, topic, { coordinatorEpoch: 5 }),
      olderCoordinator: await writeMarker(world, later, topic, { coordinatorEpoch: 4 }),
      unknownProducer: await writeMarker(world, { ...producer, producerId: 88_888_888n }, topic),
      partition: await writeMarker(world, later, topic, { partition: 6, coordinatorEpoch: 5 }),
      topic: await writeMarker(world, later, world.name("none"), { coordinatorEpoch: 5 }),
      log: await world.raw.log(topic),
      producers: (await world.raw.producers(topic)).length
    }
  })

  check("WriteTxnMarkers: a commit of data", async (world) => {
    const topic = await world.topic()
    const producer = await world.ongoing(topic)
    const written = await writeMarker(world, producer, topic, { commit: true })
    return { written, visible: await world.raw.visible(topic), ends: await world.raw.ends(topic) }
  })
})
