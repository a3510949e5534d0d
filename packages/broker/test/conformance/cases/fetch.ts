import { Apis } from "@exactly-once/protocol"
import { NOBODY, type Producer } from "../Batch.ts"
import { section } from "../suite.ts"
import type { World } from "../World.ts"

/** 0-1 aborted, 2 its marker, 3 plain, 4-5 open, 6 plain. */
const mixed = async (world: World): Promise<{ readonly topic: string; readonly open: Producer }> => {
  const topic = await world.topic()
  const { raw } = world
  const aborted = await world.init(world.name("aborted"))
  await raw.send(aborted, { topic, values: ["a0", "a1"] }, 12)
  await world.end(aborted, false)
  await raw.send(NOBODY, { topic, values: ["p3"] })
  const open = await world.init(world.name("open"))
  await raw.send(open, { topic, values: ["o4", "o5"] }, 12)
  await raw.send(NOBODY, { topic, values: ["p6"] })
  return { topic, open }
}

export const fetch = section("Fetch, markers and the last stable offset", (check) => {
  for (const from of [0, 1, 2, 3, 4, 5, 6, 7, 8]) {
    for (const committed of [true, false]) {
      check(`from ${from} of 7, ${committed ? "read_committed" : "read_uncommitted"}`, async (world) => {
        const { topic } = await mixed(world)
        return world.raw.fetched({ topic, from, committed })
      })
    }
  }

  for (const version of [4, 7, 9, 12, 13, 15, 18]) {
    check(`a log with an aborted and an open transaction, version ${version}`, async (world) => {
      const { topic } = await mixed(world)
      return world.raw.fetched({ topic, version })
    })
  }

  check("a negative offset", async (world) => world.raw.fetched({ topic: await world.topic(), from: -1 }))
  check("an empty log", async (world) => world.raw.fetched({ topic: await world.topic() }))

  for (const version of [4, 11, 12, 13]) {
    check(`a topic or partition that is not there, version ${version}`, async (world) => {
      const topic = await world.topic()
      const of = async (options: Parameters<typeof world.raw.fetched>[0]) => world.raw.fetched({ ...options, version })
      return version >= 13
        ? [await of({ topic, partition: 3 })]
        : [await of({ topic: world.name("none") }), await of({ topic, partition: 3 })]
    })
  }

  check("a topic id that is not there, version 13", async (world) => {
    const answer = await world.raw.client.call(Apis.Fetch, 13, {
      maxWaitMs: 0,
      minBytes: 1,
      topics: [{
        topicId: "Zm9vYmFyYmF6cXV1eHF1dQ",
        partitions: [{ partition: 0, fetchOffset: 0n, partitionMaxBytes: 1_000 }]
      }]
    })
    return [answer.errorCode, answer.responses[0]!.partitions[0]!.errorCode]
  })

  for (const [name, leaderEpoch] of [["later", 5], ["present", 0]] as const) {
    check(
      `with a leader epoch that is ${name}`,
      async (world) => world.raw.fetched({ topic: await world.topic(), leaderEpoch })
    )
  }

  for (const kind of ["commit", "abort"] as const) {
    for (const version of [4, 5]) {
      check(`the marker of a ${kind}, EndTxn ${version}`, async (world) => {
        const topic = await world.topic()
        await world.init(world.id)
        const producer = await world.ongoing(topic)
        await world.end(producer, kind === "commit", version)
        return { log: await world.raw.log(topic), producers: await world.raw.producers(topic) }
      })
    }
  }

  check("the marker of an abort by timeout", async (world) => {
    const topic = await world.topic()
    await world.timedOut(topic)
    return { log: await world.raw.log(topic), producers: await world.raw.producers(topic) }
  })

  check("the last stable offset is held by the first of several transactions", async (world) => {
    const topic = await world.topic()
    const a = await world.ongoing(topic, {}, world.name("a"))
    const b = await world.ongoing(topic, {}, world.name("b"))
    const c = await world.ongoing(topic, {}, world.name("c"))
    const seen = [await world.raw.ends(topic)]
    for (const it of [b, a, c]) {
      await world.end(it, true)
      seen.push(await world.raw.ends(topic))
    }
    return seen
  })

  check("aborted transactions that overlap are listed for the part that was read", async (world) => {
    const topic = await world.topic()
    const a = await world.ongoing(topic, {}, world.name("a"))
    const b = await world.ongoing(topic, {}, world.name("b"))
    await world.end(a, false)
    await world.raw.send(b, { topic, sequence: 1 })
    await world.end(b, false)
    await world.raw.send(NOBODY, { topic, values: ["plain"] })
    const answers = []
    for (const from of [0, 1, 2, 3, 4, 5]) answers.push(await world.raw.fetched({ topic, from }))
    return { answers, visible: await world.raw.visible(topic) }
  })

  check("an aborted transaction is listed as often as it lies in the log again", async (world) => {
    const topic = await world.topic()
    let producer = await world.init(world.id)
    for (const committed of [false, true, false]) {
      await world.raw.send(producer, { topic, values: [`${committed}`] }, 12)
      producer = { ...producer, epoch: (await world.end(producer, committed, 5)).epoch }
    }
    return { fetched: await world.raw.fetched({ topic }), visible: await world.raw.visible(topic) }
  })

  check("only whole batches, and at least one", async (world) => {
    const topic = await world.topic()
    for (const value of ["aaaa", "bbbb", "cccc"]) await world.raw.send(NOBODY, { topic, values: [value] })
    const answers = []
    for (const maxBytes of [1, 71, 72, 142, 150]) answers.push((await world.raw.fetched({ topic, maxBytes })).batches)
    return answers
  })

  check("from the middle of a batch, the whole batch", async (world) => {
    const topic = await world.topic()
    await world.raw.send(NOBODY, { topic, values: ["a", "b", "c"] })
    return world.raw.fetched({ topic, from: 2 })
  })

  check("waits for the marker, not for the data", async (world) => {
    const topic = await world.topic()
    const producer = await world.ongoing(topic)
    const reader = await world.connect()
    const answer = reader.fetched({ topic, maxWaitMs: 20_000 })
    await world.raw.send(producer, { topic, sequence: 1 })
    const first = await Promise.race([answer.then(() => "data"), world.raw.state(world.id).then(() => "nothing yet")])
    await world.end(producer, true)
    return { first, answer: await answer }
  })

  check(
    "waits no longer than it was told",
    async (world) => world.raw.fetched({ topic: await world.topic(), maxWaitMs: 50 })
  )

  check("does not wait when one partition has an error", async (world) => {
    const topic = await world.topic()
    return world.raw.fetched({ topic, partition: 4, maxWaitMs: 20_000 })
  })

  check("below the start of the log after DeleteRecords", async (world) => {
    const topic = await world.topic()
    await world.raw.send(NOBODY, { topic, values: ["a", "b", "c"] })
    await world.raw.send(NOBODY, { topic, values: ["d"] })
    const deleted = await world.raw.deleteRecords(topic, 2)
    return {
      deleted,
      below: await world.raw.fetched({ topic, from: 1 }),
      at: await world.raw.fetched({ topic, from: 2 }),
      earliest: await world.raw.listOffset(topic, -2)
    }
  })

  check("DeleteRecords up to the end, beyond it, below the start, and of what is not there", async (world) => {
    const topic = await world.topic()
    await world.raw.send(NOBODY, { topic, values: ["a", "b", "c"] })
    return [
      await world.raw.deleteRecords(topic, 4),
      await world.raw.deleteRecords(topic, 2),
      await world.raw.deleteRecords(topic, 1),
      await world.raw.deleteRecords(topic, -1),
      await world.raw.deleteRecords(topic, -2),
      await world.raw.deleteRecords(topic, 1, 5),
      await world.raw.deleteRecords(world.name("none"), 1),
      await world.raw.fetched({ topic, from: 3 })
    ]
  })

  check("DeleteRecords into an open transaction moves the last stable offset along", async (world) => {
    const topic = await world.topic()
    const producer = await world.ongoing(topic)
    await world.raw.send(producer, { topic, sequence: 1 })
    const deleted = await world.raw.deleteRecords(topic, 1)
    return {
      deleted,
      fetched: await world.raw.fetched({ topic, from: 1 }),
      producers: await world.raw.producers(topic)
    }
  })
})

export const listOffsets = section("ListOffsets", (check) => {
  for (const version of [1, 2, 4, 7, 8, 9, 10, 11]) {
    check(`every special time, version ${version}`, async (world) => {
      const topic = await world.topic()
      await world.raw.send(NOBODY, { topic, values: ["a", "b"] })
      const answers: Record<string, number> = {}
      for (const timestamp of [-1, -2, -3, -4, -5, -6, -7]) {
        const { error, offset } = await world.raw.listOffset(topic, timestamp, { version })
        answers[timestamp] = error === 0 ? offset : -1_000 - error
      }
      return answers
    })
  }

  check("ends for both kinds of readers", async (world) => {
    const { topic } = await mixed(world)
    return [await world.raw.listOffset(topic, -1), await world.raw.listOffset(topic, -1, { committed: true })]
  })

  check("by time: the first record that is not older", async (world) => {
    const topic = await world.topic()
    const now = Date.now() - 10_000
    for (const [after, value] of [[0, "a"], [10, "b"], [20, "c"]] as const) {
      await world.raw.send(NOBODY, { topic, values: [value], timestamp: now + after })
    }
    const answers = []
    for (const after of [-5, 0, 1, 10, 20, 21]) {
      const { error, offset, timestamp } = await world.raw.listOffset(topic, now + after)
      answers.push([error, offset, timestamp < 0 ? timestamp : timestamp - now])
    }
    return answers
  })

  check("by time: a read_committed reader does not find what is not decided", async (world) => {
    const topic = await world.topic()
    const now = Date.now() - 10_000
    const producer = await world.init(world.id)
    await world.raw.send(NOBODY, { topic, timestamp: now })
    await world.raw.send(producer, { topic, timestamp: now + 10 }, 12)
    const answers = []
    for (const committed of [false, true]) {
      for (const after of [0, 10]) answers.push((await world.raw.listOffset(topic, now + after, { committed })).offset)
    }
    return answers
  })

  check("the largest time, also of what is not decided", async (world) => {
    const topic = await world.topic()
    const now = Date.now() - 10_000
    const producer = await world.init(world.id)
    await world.raw.send(NOBODY, { topic, timestamp: now })
    await world.raw.send(producer, { topic, timestamp: now + 10 }, 12)
    return [
      (await world.raw.listOffset(topic, -3)).offset,
      (await world.raw.listOffset(topic, -3, { committed: true })).offset
    ]
  })

  check("the largest time of an empty log", async (world) => world.raw.listOffset(await world.topic(), -3))

  check("what is not there", async (world) => {
    const topic = await world.topic()
    return [
      await world.raw.listOffset(world.name("none"), -1),
      await world.raw.listOffset(topic, -1, { partition: 3 }),
      await world.raw.listOffset(topic, -1, { leaderEpoch: 7 })
    ]
  })

  check("the end of a leader epoch", async (world) => {
    const topic = await world.topic()
    await world.raw.send(NOBODY, { topic, values: ["a", "b"] })
    const ask = async (leaderEpoch: number, currentLeaderEpoch = -1, partition = 0) => {
      const answer = await world.raw.client.call(Apis.OffsetForLeaderEpoch, 4, {
        topics: [{ topic, partitions: [{ partition, leaderEpoch, currentLeaderEpoch }] }]
      })
      const { endOffset, errorCode, leaderEpoch: epoch } = answer.topics[0]!.partitions[0]!
      return [errorCode, epoch, Number(endOffset)]
    }
    return [await ask(0), await ask(1), await ask(-1), await ask(0, 0), await ask(0, 5), await ask(0, -1, 9)]
  })
})
