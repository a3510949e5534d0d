import { Apis } from "@exactly-once/protocol"
import { NOBODY } from "../Batch.ts"
import { section } from "../suite.ts"
import type { World } from "../World.ts"

interface Asked {
  readonly id?: number
  readonly epoch: number
  /** Partitions of the topic, each with the offset to read from. */
  readonly partitions?: ReadonlyArray<readonly [partition: number, from: number]>
  readonly forgotten?: ReadonlyArray<number>
  readonly version?: number
}

const ask = async (
  world: World,
  topic: string,
  { epoch, forgotten = [], id = 0, partitions = [], version = 12 }: Asked
) => {
  const answer = await world.raw.client.call(Apis.Fetch, version, {
    maxWaitMs: 0,
    minBytes: 1,
    sessionId: id,
    sessionEpoch: epoch,
    topics: partitions.length === 0 ? [] : [{
      topic,
      partitions: partitions.map(([partition, from]) => ({
        partition,
        fetchOffset: BigInt(from),
        partitionMaxBytes: 10_000
      }))
    }],
    forgottenTopicsData: forgotten.length === 0 ? [] : [{ topic, partitions: forgotten }]
  })
  return {
    id: answer.sessionId,
    told: {
      error: answer.errorCode,
      session: answer.sessionId !== 0,
      partitions: answer.responses.flatMap((it) =>
        it.partitions
          .toSorted((a, b) => a.partitionIndex - b.partitionIndex)
          .map(({ errorCode, partitionIndex, records }) => [partitionIndex, errorCode, (records?.length ?? 0) > 0])
      )
    }
  }
}

export const fetchSessions = section("fetch sessions (KIP-227)", (check) => {
  for (const [name, epoch] of [["that wants a session", 0], ["that wants none", -1]] as const) {
    check(`a full fetch ${name}`, async (world) => {
      const topic = await world.topic(2)
      return (await ask(world, topic, { epoch, partitions: [[0, 0], [1, 0]] })).told
    })
  }

  check(
    "a session that was never opened",
    async (world) => (await ask(world, await world.topic(), { id: 4_711, epoch: 3 })).told
  )

  check("only what is new is told again", async (world) => {
    const topic = await world.topic(2)
    const first = await ask(world, topic, { epoch: 0, partitions: [[0, 0], [1, 0]] })
    const { id } = first
    const nothing = await ask(world, topic, { id, epoch: 1 })
    await world.raw.send(NOBODY, { topic, partition: 1 })
    const one = await ask(world, topic, { id, epoch: 2 })
    const same = await ask(world, topic, { id, epoch: 3 })
    const moved = await ask(world, topic, { id, epoch: 4, partitions: [[1, 1]] })
    return [first.told, nothing.told, one.told, same.told, moved.told]
  })

  check("an epoch that is not the next one", async (world) => {
    const topic = await world.topic(2)
    const { id } = await ask(world, topic, { epoch: 0, partitions: [[0, 0]] })
    return [
      (await ask(world, topic, { id, epoch: 2 })).told,
      (await ask(world, topic, { id, epoch: 1 })).told,
      (await ask(world, topic, { id, epoch: 1 })).told,
      (await ask(world, topic, { id, epoch: 2 })).told
    ]
  })

  check("partitions are forgotten, and added", async (world) => {
    const topic = await world.topic(3)
    const { id } = await ask(world, topic, { epoch: 0, partitions: [[0, 0], [1, 0]] })
    for (const partition of [0, 1, 2]) await world.raw.send(NOBODY, { topic, partition })
    return [
      (await ask(world, topic, { id, epoch: 1, forgotten: [0] })).told,
      (await ask(world, topic, { id, epoch: 2, partitions: [[2, 0]] })).told,
      (await ask(world, topic, { id, epoch: 3, forgotten: [1, 2] })).told
    ]
  })

  check(
    "a session is closed by a full fetch that wants none, and replaced by one that wants another",
    async (world) => {
      const topic = await world.topic(1)
      const first = await ask(world, topic, { epoch: 0, partitions: [[0, 0]] })
      const other = await ask(world, topic, { id: first.id, epoch: 0, partitions: [[0, 0]] })
      const old = await ask(world, topic, { id: first.id, epoch: 1 })
      const closed = await ask(world, topic, { id: other.id, epoch: -1, partitions: [[0, 0]] })
      const gone = await ask(world, topic, { id: other.id, epoch: 1 })
      return [other.told, old.told, closed.told, gone.told]
    }
  )

  check("errors are told as long as they last", async (world) => {
    const topic = await world.topic(1)
    const { id, told } = await ask(world, topic, { epoch: 0, partitions: [[0, 9], [5, 0]] })
    return [told, (await ask(world, topic, { id, epoch: 1 })).told, (await ask(world, topic, { id, epoch: 2 })).told]
  })

  check("another connection may go on with a session", async (world) => {
    const topic = await world.topic(1)
    const { id } = await ask(world, topic, { epoch: 0, partitions: [[0, 0]] })
    const other = await world.connect("another")
    const answer = await other.client.call(Apis.Fetch, 12, {
      maxWaitMs: 0,
      minBytes: 1,
      sessionId: id,
      sessionEpoch: 1,
      topics: []
    })
    return [answer.errorCode, answer.sessionId === id]
  })
})
