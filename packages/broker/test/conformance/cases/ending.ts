/** What requests are answered while the coordinator writes the markers of a transaction. */
import { type Producer, withEpoch } from "../Batch.ts"
import { section } from "../suite.ts"
import { outcome, refusals } from "./endTxn.ts"

export const ENDING = "while a transaction is being ended"

export const ending = section(ENDING, (check) => {
  for (const version of [1, 2, 4, 5]) {
    for (const committed of [true, false]) {
      check(
        `EndTxn again, and the opposite, of ${committed ? "a commit" : "an abort"}, version ${version}`,
        (world) =>
          world.whileEnding(committed, version, async ({ producer }) => ({
            again: outcome(await world.raw.end(producer, committed, version)),
            opposite: outcome(await world.raw.end(producer, !committed, version)),
            ...await refusals(world, producer, version)
          }))
      )
    }
  }

  check("EndTxn with the epoch that version 5 gave", (world) =>
    world.whileEnding(true, 5, async ({ after }) => [
      outcome(await world.raw.end(after, true, 5)),
      outcome(await world.raw.end(after, false, 5))
    ]))

  for (const committed of [true, false]) {
    check(
      `InitProducerId, ${committed ? "commit" : "abort"}`,
      async (world) =>
        world.whileEnding(committed, 4, async ({ producer }) => [
          (await world.raw.init(world.id)).error,
          (await world.raw.init(world.id, { version: 1 })).error,
          (await world.raw.init(world.id, { pid: producer })).error,
          (await world.raw.init(world.id, { pid: withEpoch(producer, 1) })).error,
          (await world.raw.init(world.id, { pid: { ...producer, producerId: producer.producerId + 999n } })).error
        ])
    )
  }

  for (const version of [0, 1, 2, 3, 4, 5]) {
    check(`AddPartitionsToTxn ${version}`, (world) =>
      world.whileEnding(true, 4, async ({ producer, topic }) => {
        const add = (it: Producer) => world.raw.add(it, { [topic]: [0] }, version)
        return {
          own: await add(producer),
          later: await add(withEpoch(producer, 1)),
          otherProducer: await add({ ...producer, producerId: producer.producerId + 999n }),
          none: await world.raw.add(producer, { [world.name("none")]: [0] }, version)
        }
      }))
  }

  for (const version of [4, 5]) {
    check(
      `AddPartitionsToTxn ${version} that only verifies`,
      (world) =>
        world.whileEnding(true, 4, async ({ held, producer, topic }) => [
          await world.raw.add(producer, { [topic]: [0] }, version, true),
          await world.raw.add(producer, { [held]: [0] }, version, true),
          await world.raw.add(withEpoch(producer, 1), { [held]: [0] }, version, true),
          await world.raw.add({ ...producer, producerId: producer.producerId + 999n }, { [held]: [0] }, version, true)
        ])
    )
  }

  for (const version of [0, 1, 2, 3, 4]) {
    check(
      `AddOffsetsToTxn ${version}`,
      (world) => world.whileEnding(false, 4, ({ producer }) => world.raw.addOffsets(producer, world.group, version))
    )
  }

  for (const version of [7, 11, 12, 13]) {
    check(
      `Produce ${version} to another partition`,
      (world) => world.whileEnding(true, 4, ({ producer, topic }) => world.raw.send(producer, { topic }, version))
    )

    check(
      `Produce ${version} to another partition, after EndTxn 5`,
      (world) =>
        world.whileEnding(true, 5, async ({ after, producer, topic }) => ({
          nextEpoch: await world.raw.send(after, { topic }, version),
          itsEpoch: await world.raw.send(producer, { topic, partition: 1 }, version)
        }))
    )

    for (const endVersion of [4, 5]) {
      check(
        `Produce ${version} to a partition whose marker is not there, after EndTxn ${endVersion}`,
        (world) =>
          world.whileEnding(true, endVersion, async ({ after, held, producer }) => ({
            itsEpoch: await world.raw.send(producer, { topic: held, sequence: 1 }, version),
            nextEpoch: await world.raw.send(after, { topic: held }, version),
            ends: await world.raw.ends(held)
          }))
      )
    }
  }

  for (const version of [0, 2, 3, 4, 5]) {
    check(
      `TxnOffsetCommit ${version} to a group that is no part of it`,
      (world) =>
        world.whileEnding(
          true,
          4,
          ({ producer, topic }) => world.raw.txnCommit(producer, { group: world.group, topic, offset: 1 }, version)
        )
    )
  }

  for (const committed of [true, false]) {
    check(
      `what readers and admins see, ${committed ? "commit" : "abort"}`,
      (world) =>
        world.whileEnding(committed, 4, async ({ held, topic }) => {
          const { state, partitions } = await world.raw.describe(world.id)
          return {
            state,
            partitions,
            held: await world.raw.fetched({ topic: held }),
            all: await world.raw.fetched({ topic: held, committed: false }),
            producers: await world.raw.producers(held),
            other: await world.raw.ends(topic)
          }
        })
    )
  }
})
