/** What a producer is told that lost its transaction, to a timeout or to another instance, and does not know. */
import type { Producer } from "../Batch.ts"
import { type Answer, type Check, section } from "../suite.ts"
import type { World } from "../World.ts"
import { ENDING } from "./ending.ts"

type Ask = (world: World, producer: Producer, topic: string) => Promise<Answer>

const requests: Array<readonly [name: string, ask: Ask]> = []

for (const version of [7, 11, 12, 13]) {
  requests.push(
    [
      `Produce ${version} to a known partition`,
      ({ raw }, producer, topic) => raw.send(producer, { topic, sequence: 1 }, version)
    ],
    [
      `Produce ${version} to a new partition`,
      ({ raw }, producer, topic) => raw.send(producer, { topic, partition: 1 }, version)
    ],
    [`Produce ${version}, the last batch again`, ({ raw }, producer, topic) => raw.send(producer, { topic }, version)]
  )
}
for (const version of [1, 2, 3, 4]) {
  requests.push([
    `AddPartitionsToTxn ${version}`,
    ({ raw }, producer, topic) => raw.add(producer, { [topic]: [1] }, version)
  ])
  requests.push([`AddOffsetsToTxn ${version}`, ({ group, raw }, producer) => raw.addOffsets(producer, group, version)])
}
for (const version of [2, 3, 4, 5]) {
  requests.push([
    `TxnOffsetCommit ${version}`,
    ({ group, raw }, producer, topic) => raw.txnCommit(producer, { group, topic, offset: 1 }, version)
  ])
}
for (const version of [1, 2, 4, 5]) {
  for (const committed of [true, false]) {
    requests.push([`EndTxn ${version} ${committed ? "commit" : "abort"}`, async ({ raw }, producer) => {
      const { epoch, error } = await raw.end(producer, committed, version)
      return error === 0 ? { epoch } : { error }
    }])
  }
}
for (const version of [3, 5]) {
  requests.push([`InitProducerId ${version} with id and epoch`, async ({ id, raw }, producer) => {
    const { epoch, error } = await raw.init(id, { pid: producer, version })
    return error === 0 ? { epoch } : { error }
  }])
}

const each = (
  check: Check,
  when: string,
  prepare: (world: World, topic: string) => Promise<Producer>,
  among = requests
): void => {
  for (const [name, ask] of among) {
    check(`${name}, ${when}`, async (world) => {
      const topic = await world.topic(2)
      const producer = await prepare(world, topic)
      const answer = await ask(world, producer, topic)
      await world.settled(world.id)
      return { answer, state: await world.raw.describe(world.id), ends: await world.raw.ends(topic) }
    })
  }
}

export const timedOut = section("after the transaction timed out", (check) => {
  each(check, "in the older protocol", (world, topic) => world.timedOut(topic))

  each(
    check,
    "in the newer protocol",
    async (world, topic) => {
      const producer = await world.init(world.id, { timeoutMs: 200 })
      await world.raw.send(producer, { topic }, 12)
      await world.passTransaction(world.id)
      return producer
    },
    requests.filter(([name]) => /Produce 12|TxnOffsetCommit 5|EndTxn 5|InitProducerId 5/.test(name))
  )

  check("with offsets only, which are dropped", async (world) => {
    const topic = await world.topic()
    await world.raw.commit({ group: world.group, topic, offset: 5 })
    const producer = await world.init(world.id, { timeoutMs: 200 })
    await world.raw.addOffsets(producer, world.group)
    await world.raw.txnCommit(producer, { group: world.group, topic, offset: 9 })
    await world.passTransaction(world.id)
    return { stable: await world.raw.committed(world.group, topic, { stable: true }) }
  })
})

/** Another instance came, and waited for the end of the transaction of the one before. */
const taken = async (world: World, topic: string): Promise<Producer> => {
  const producer = await world.ongoing(topic)
  await world.init(world.id)
  return producer
}

export const fenced = section("after another instance came", (check) => {
  each(check, "which is idle", taken)

  each(
    check,
    "which has an open transaction",
    async (world, topic) => {
      const producer = await taken(world, topic)
      const { raw } = world
      const newcomer = { ...producer, epoch: Number((await raw.describe(world.id)).epoch) }
      await raw.send(newcomer, { topic, values: ["new"] }, 12)
      return producer
    }
  )
})

export const aborting = section(`${ENDING} because another instance came`, (check) => {
  for (const [name, ask] of requests) {
    if (/known|again/.test(name)) continue
    check(name, (world) => world.whileAborting(({ producer, topic }) => ask(world, producer, topic)))
  }
})
