import { type Producer, withEpoch } from "../Batch.ts"
import { section } from "../suite.ts"
import type { World } from "../World.ts"

const ending = (committed: boolean) => committed ? "commit" : "abort"

/** Whether EndTxn's answer names an epoch, and which; earlier versions have none. */
export const outcome = (answer: { readonly error: number; readonly epoch: number }) =>
  answer.error === 0 ? { epoch: answer.epoch } : { error: answer.error }

export const refusals = async (world: World, producer: Producer, version: number) => {
  const { raw } = world
  return {
    later: (await raw.end(withEpoch(producer, 1), true, version)).error,
    earlier: (await raw.end(withEpoch(producer, -1), true, version)).error,
    otherProducer: (await raw.end({ ...producer, producerId: producer.producerId + 999n }, true, version)).error,
    unknown: (await raw.end({ ...producer, id: world.name("nobody") }, true, version)).error,
    empty: (await raw.end({ ...producer, id: "" }, true, version)).error
  }
}

export const endTxn = section("EndTxn", (check) => {
  for (const version of [0, 1, 2, 3, 4, 5]) {
    for (const committed of [true, false]) {
      check(`${ending(committed)}, then again, then the opposite, version ${version}`, async (world) => {
        const topic = await world.topic()
        const producer = await world.ongoing(topic)
        const first = outcome(await world.end(producer, committed, version))
        const state = await world.raw.describe(world.id)
        return {
          first,
          state,
          again: outcome(await world.raw.end(producer, committed, version)),
          opposite: outcome(await world.raw.end(producer, !committed, version)),
          ends: await world.raw.ends(topic)
        }
      })

      check(`${ending(committed)} of nothing, version ${version}`, async (world) => {
        const producer = await world.init(world.id)
        const first = outcome(await world.end(producer, committed, version))
        return { first, state: await world.raw.describe(world.id) }
      })
    }

    check(`a wrong epoch or id, version ${version}`, async (world) => {
      const topic = await world.topic()
      await world.raw.init(world.id)
      const producer = await world.ongoing(topic)
      return { ...await refusals(world, producer, version), state: await world.raw.state(world.id) }
    })
  }

  check("with the epoch it gave, after a commit in version 5", async (world) => {
    const producer = await world.ongoing(await world.topic())
    const { epoch } = await world.end(producer, true, 5)
    const next = { ...producer, epoch }
    return [
      outcome(await world.raw.end(next, true, 5)),
      outcome(await world.end(next, false, 5)),
      (await world.raw.describe(world.id)).epoch
    ]
  })

  check("the epoch before, on a transaction that is open, version 5", async (world) => {
    const topic = await world.topic()
    const first = await world.ongoing(topic)
    const { epoch } = await world.end(first, true, 5)
    const next = { ...first, epoch }
    await world.raw.send(next, { topic }, 12)
    return [
      outcome(await world.raw.end(first, true, 5)),
      outcome(await world.raw.end(first, false, 5)),
      await world.raw.state(world.id)
    ]
  })

  check("the same epoch, again, on the next transaction, version 4: a late request ends it", async (world) => {
    const topic = await world.topic()
    const producer = await world.ongoing(topic)
    await world.end(producer, true)
    await world.raw.add(producer, { [topic]: [0] })
    await world.raw.send(producer, { topic, sequence: 1 })
    return [outcome(await world.end(producer, true)), await world.raw.state(world.id)]
  })

  check("a transaction with a partition but no data", async (world) => {
    const topic = await world.topic()
    const producer = await world.init(world.id)
    await world.raw.add(producer, { [topic]: [0] })
    const ended = outcome(await world.end(producer, true))
    return { ended, log: await world.raw.log(topic), producers: await world.raw.producers(topic) }
  })

  check("an aborted transaction with a partition but no data", async (world) => {
    const topic = await world.topic()
    const producer = await world.init(world.id)
    await world.raw.add(producer, { [topic]: [0] })
    const ended = outcome(await world.end(producer, false))
    return { ended, log: await world.raw.log(topic), fetched: await world.raw.fetched({ topic }) }
  })

  check("a transaction whose topic is deleted meanwhile", async (world) => {
    const topic = await world.topic()
    const kept = await world.topic(1, {}, "kept")
    const producer = await world.ongoing(topic)
    await world.raw.add(producer, { [kept]: [0] })
    await world.raw.send(producer, { topic: kept })
    await world.raw.deleteTopic(topic)
    await world.until(async () => (await world.raw.topicErrors(topic))[0] === 3)
    const ended = outcome(await world.end(producer, true))
    return { ended, state: await world.raw.describe(world.id), log: await world.raw.log(kept) }
  })

  check("version 5 after a batch of version 11 moves the epoch on", async (world) => {
    const topic = await world.topic()
    const producer = await world.ongoing(topic)
    const ended = await world.end(producer, true, 5)
    const next = { ...producer, epoch: ended.epoch }
    return {
      ended: outcome(ended),
      added: await world.raw.add(next, { [topic]: [0] }),
      sent: await world.raw.send(next, { topic }, 11),
      log: await world.raw.log(topic)
    }
  })

  check("version 4 after a batch of version 12 does not", async (world) => {
    const topic = await world.topic()
    const producer = await world.init(world.id)
    await world.raw.send(producer, { topic }, 12)
    const ended = outcome(await world.end(producer, true))
    return {
      ended,
      sent: await world.raw.send(producer, { topic, sequence: 1 }, 12),
      state: await world.raw.describe(world.id),
      log: await world.raw.log(topic)
    }
  })
})
