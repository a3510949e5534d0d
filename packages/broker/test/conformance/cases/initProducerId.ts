import { Apis } from "@exactly-once/protocol"
import { type Producer, withEpoch } from "../Batch.ts"
import { frameOf } from "../frames.ts"
import { section } from "../suite.ts"
import type { World } from "../World.ts"

/** What an answer says in relation to the producer before: whether the id stayed, and how far the epoch went. */
const change = (before: Producer, after: Producer & { readonly error: number }) =>
  after.error !== 0
    ? { error: after.error }
    : { same: after.producerId === before.producerId, epoch: after.epoch }

const current = async (world: World) => (await world.raw.describe(world.id)).epoch

export const initProducerId = section("InitProducerId", (check) => {
  for (const timeoutMs of [900_001, 0, -1]) {
    check(`a transaction timeout of ${timeoutMs} ms`, async ({ id, raw }) => (await raw.init(id, { timeoutMs })).error)
  }

  check("the longest transaction timeout", async ({ id, raw }) => {
    const { error } = await raw.init(id, { timeoutMs: 900_000 })
    return { error, ...await raw.describe(id) }
  })

  check("no timeout matters without a transactional id", async ({ raw }) => {
    const answers = []
    for (const timeoutMs of [900_001, 0, -1]) answers.push((await raw.init(null, { timeoutMs })).error)
    return answers
  })

  check("an empty transactional id", async ({ raw }) => (await raw.init("")).error)

  for (const version of [0, 1, 2, 3, 4, 5]) {
    check(`a new id, version ${version}`, async ({ id, raw }) => {
      const { epoch, error } = await raw.init(id, { version })
      return { epoch, error, state: await raw.state(id) }
    })
  }

  check("an idle id again: the next epoch", async ({ id, raw }) => {
    const first = await raw.init(id)
    return [change(first, await raw.init(id)), change(first, await raw.init(id, { version: 1 }))]
  })

  check("the timeout is what was said last", async ({ id, raw }) => {
    await raw.init(id, { timeoutMs: 10_000 })
    await raw.init(id, { timeoutMs: 20_000 })
    return (await raw.describe(id)).timeoutMs
  })

  check("with its id and epoch: the next epoch, and the same answer when asked again", async ({ id, raw }) => {
    const first = await raw.init(id)
    const second = await raw.init(id, { pid: first })
    return [
      change(first, second),
      change(first, await raw.init(id, { pid: first })),
      change(first, await raw.init(id, { pid: second }))
    ]
  })

  check("asked again with the epoch before, it may be asked any number of times", async (world) => {
    const { id, raw } = world
    const first = await raw.init(id)
    const answers = []
    for (let i = 0; i < 3; i++) answers.push(change(first, await raw.init(id, { pid: first })))
    return { answers, current: await current(world) }
  })

  for (const version of [3, 4, 5]) {
    check(`with an epoch older than the one before, version ${version}`, async ({ id, raw }) => {
      const first = await raw.init(id)
      const second = await raw.init(id, { pid: first })
      await raw.init(id, { pid: second })
      return (await raw.init(id, { pid: first, version })).error
    })

    check(`with another producer id, version ${version}`, async ({ id, raw }) => {
      const first = await raw.init(id)
      return (await raw.init(id, { pid: { ...first, producerId: first.producerId + 1_000n }, version })).error
    })

    check(`with an epoch still to come, version ${version}`, async ({ id, raw }) => {
      const first = await raw.init(id)
      return (await raw.init(id, { pid: withEpoch(first, 1), version })).error
    })
  }

  check("an instance that came in between leaves no way back for the one before", async ({ id, raw }) => {
    const first = await raw.init(id)
    const newcomer = await raw.init(id)
    return [
      change(first, newcomer),
      change(first, await raw.init(id, { pid: first })),
      change(first, await raw.init(id, { pid: newcomer }))
    ]
  })

  check("with a producer id for a transactional id that is new", async ({ id, raw }) => {
    const pid = { id, producerId: 1_000_000_007n, epoch: 3 }
    const first = await raw.init(id, { pid })
    return [change(pid, first), change(first, await raw.init(id, { pid }))]
  })

  check("without a transactional id, a producer id is not continued", async ({ raw }) => {
    const first = await raw.init(null)
    return [change(first, await raw.init(null, { pid: first })), change(first, await raw.init(null))]
  })

  check("an id without an epoch, and an epoch without an id", async ({ id, raw }) => [
    (await raw.init(id, { pid: { id, producerId: 1n, epoch: -1 } })).error,
    (await raw.init(id, { pid: { id, producerId: -1n, epoch: 1 } })).error,
    (await raw.init(null, { pid: { id: null, producerId: 1n, epoch: -1 } })).error
  ])

  for (const version of [0, 1, 3, 5]) {
    check(`while a transaction is open: it is aborted and the caller asks again, version ${version}`, async (world) => {
      const topic = await world.topic()
      const first = await world.ongoing(topic)
      const during = await world.raw.init(world.id, { version })
      await world.settled(world.id)
      const state = await world.raw.describe(world.id)
      return {
        during: during.error,
        state,
        later: change(first, await world.raw.init(world.id, { version })),
        log: await world.raw.log(topic)
      }
    })
  }

  check("while a transaction of its own is open, with id and epoch", async (world) => {
    const topic = await world.topic()
    const first = await world.ongoing(topic)
    const during = await world.raw.init(world.id, { pid: first })
    await world.settled(world.id)
    const then = await world.raw.init(world.id, { pid: first })
    return {
      during: during.error,
      later: change(first, then),
      again: change(first, await world.raw.init(world.id, { pid: first }))
    }
  })

  check("while a transaction of its own is open, with id and epoch, version 3", async (world) => {
    const first = await world.ongoing(await world.topic())
    const during = await world.raw.init(world.id, { pid: first, version: 3 })
    await world.settled(world.id)
    return { during: during.error, later: change(first, await world.raw.init(world.id, { pid: first, version: 3 })) }
  })

  check("while a transaction is open, with the epoch before", async (world) => {
    const topic = await world.topic()
    const first = await world.raw.init(world.id)
    const second = await world.raw.init(world.id, { pid: first })
    await world.raw.add(second, { [topic]: [0] })
    const during = await world.raw.init(world.id, { pid: first })
    await world.settled(world.id)
    return { during: during.error, later: change(first, await world.raw.init(world.id, { pid: first })) }
  })

  for (const version of [3, 4, 5]) {
    check(`with id and epoch after the transaction timed out, version ${version}`, async (world) => {
      const first = await world.timedOut(await world.topic())
      const then = await world.raw.init(world.id, { pid: first, version })
      return {
        later: change(first, then),
        again: change(first, await world.raw.init(world.id, { pid: first, version }))
      }
    })
  }

  check("without id and epoch after the transaction timed out", async (world) => {
    const first = await world.timedOut(await world.topic())
    return change(first, await world.raw.init(world.id))
  })

  check("after a commit, with id and epoch", async (world) => {
    const first = await world.ongoing(await world.topic())
    await world.end(first, true)
    return [change(first, await world.raw.init(world.id, { pid: first })), await world.raw.state(world.id)]
  })

  check("after a commit in version 5 whose answer was lost, with id and the epoch before", async (world) => {
    const first = await world.ongoing(await world.topic())
    await world.end(first, true, 5)
    const next = await world.raw.init(world.id, { pid: first })
    const repeated = await world.raw.end(first, true, 5)
    return { next: change(first, next), state: await world.raw.state(world.id), repeated: repeated.error }
  })

  check("after an abort of nothing in version 5, with the epoch before", async (world) => {
    const first = await world.raw.init(world.id)
    const ended = await world.end(first, false, 5)
    return { ended: ended.error, next: change(first, await world.raw.init(world.id, { pid: first })) }
  })

  check("version 6 is not served", async (world) => {
    const closed = await world.closes((raw) => raw.client.exchange(frameOf(Apis.InitProducerId.key, 6)))
    return { closed, serving: await world.isServing() }
  })
})
