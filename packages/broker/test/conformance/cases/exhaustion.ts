/** Epochs are 16 bits wide: near the last one a producer gets a new id. Kafka has to be led there one epoch at a time. */
import type { Producer } from "../Batch.ts"
import { section } from "../suite.ts"
import type { World } from "../World.ts"

export const EXHAUSTION = "epochs that run out"
const LAST = 32_766

/** A producer with the given epoch, whose id has been through all the epochs before. */
const nearlyExhausted = async (world: World, epoch: number): Promise<Producer> => {
  let producer = await world.init(world.id)
  const step = 500
  while (producer.epoch < epoch) {
    const missing = epoch - producer.epoch
    const asked = Array.from({ length: Math.min(step, missing) }, () => world.raw.init(world.id))
    for (const it of await Promise.all(asked)) if (it.error === 0) producer = it
  }
  return producer
}

const change = (
  before: Producer,
  after: { readonly error: number; readonly producerId: bigint; readonly epoch: number }
) => after.error === 0 ? { same: after.producerId === before.producerId, epoch: after.epoch } : { error: after.error }

export const exhaustion = section(EXHAUSTION, (check) => {
  check("InitProducerId goes on with a new id, and repeats its answer", async (world) => {
    const producer = await nearlyExhausted(world, LAST - 1)
    const last = await world.raw.init(world.id)
    const next = await world.raw.init(world.id, { pid: last })
    return {
      last: change(producer, last),
      next: change(producer, next),
      again: (await world.raw.init(world.id, { pid: last })).producerId === next.producerId,
      old: (await world.raw.init(world.id, { pid: producer })).error,
      later: change(next, await world.raw.init(world.id))
    }
  })

  check("EndTxn 5 answers a new id, and again when it is repeated", async (world) => {
    const topic = await world.topic(2)
    const producer = await nearlyExhausted(world, LAST)
    const sent = await world.raw.send(producer, { topic }, 12)
    const ended = await world.end(producer, true, 5)
    const again = await world.raw.end(producer, true, 5)
    const next = { ...producer, producerId: again.producerId, epoch: again.epoch }
    return {
      sent,
      ended: ended.error,
      again: change(producer, again),
      log: await world.raw.log(topic),
      opposite: (await world.raw.end(producer, false, 5)).error,
      old: await world.raw.send(producer, { topic, sequence: 1 }, 12),
      oldElsewhere: await world.raw.send(producer, { topic, partition: 1 }, 12),
      oldVersion11: await world.raw.send(producer, { topic, sequence: 1 }, 11),
      next: await world.raw.send(next, { topic }, 12)
    }
  })

  check("an abort for a newcomer at the last epoch", async (world) => {
    const topic = await world.topic()
    const producer = await nearlyExhausted(world, LAST)
    await world.raw.send(producer, { topic }, 12)
    const during = await world.raw.init(world.id)
    await world.settled(world.id)
    const newcomer = await world.raw.init(world.id)
    return { during: during.error, newcomer: change(producer, newcomer), log: await world.raw.log(topic) }
  })
})
