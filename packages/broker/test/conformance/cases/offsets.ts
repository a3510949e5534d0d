import { Apis } from "@exactly-once/protocol"
import { type Producer, withEpoch } from "../Batch.ts"
import { alone, enter } from "../Group.ts"
import { section } from "../suite.ts"
import type { World } from "../World.ts"

const withOffsets = async (world: World, id = world.id): Promise<Producer> => {
  const producer = await world.init(id)
  await world.until(async () => (await world.raw.addOffsets(producer, world.group)) === 0)
  return producer
}

/** What plain and stable fetches see. */
const seen = async ({ group, raw }: World, topic: string) => ({
  plain: await raw.committed(group, topic),
  stable: await raw.committed(group, topic, { stable: true })
})

export const txnOffsets = section("TxnOffsetCommit", (check) => {
  for (const version of [0, 1, 2, 3, 4, 5]) {
    check(`without AddOffsetsToTxn, version ${version}`, async (world) => {
      const topic = await world.topic()
      const producer = await world.init(world.id)
      const error = await world.raw.txnCommit(producer, { group: world.group, topic, offset: 3 }, version)
      return { error, state: await world.raw.describe(world.id), seen: await seen(world, topic) }
    })

    check(`then a commit, version ${version}`, async (world) => {
      const topic = await world.topic()
      const producer = await withOffsets(world)
      const error = await world.raw.txnCommit(producer, { group: world.group, topic, offset: 3 }, version)
      const pending = await seen(world, topic)
      await world.end(producer, true)
      return { error, pending, committed: await seen(world, topic) }
    })

    check(`then an abort: the old offset stays, version ${version}`, async (world) => {
      const topic = await world.topic()
      await world.raw.commit({ group: world.group, topic, offset: 1 })
      const producer = await withOffsets(world)
      const error = await world.raw.txnCommit(producer, { group: world.group, topic, offset: 3 }, version)
      const pending = await seen(world, topic)
      await world.end(producer, false)
      return { error, pending, committed: await seen(world, topic) }
    })

    check(`by a wrong epoch or id, version ${version}`, async (world) => {
      const topic = await world.topic()
      await world.init(world.id)
      const producer = await withOffsets(world)
      const commit = (it: Producer) => world.raw.txnCommit(it, { group: world.group, topic, offset: 3 }, version)
      const refused = {
        later: await commit(withEpoch(producer, 1)),
        earlier: await commit(withEpoch(producer, -1)),
        otherProducer: await commit({ ...producer, producerId: producer.producerId + 999n }),
        unknown: await commit({ ...producer, id: world.name("nobody") }),
        empty: await commit({ ...producer, id: "" })
      }
      return {
        ...refused,
        own: await commit(producer),
        afterwards: await commit(withEpoch(producer, 1)),
        old: await commit(withEpoch(producer, -1))
      }
    })

    check(`late, with the epoch of a transaction that was ended, version ${version}`, async (world) => {
      const topic = await world.topic()
      const producer = await withOffsets(world)
      await world.raw.txnCommit(producer, { group: world.group, topic, offset: 3 })
      await world.end(producer, true, 5)
      const late = await world.raw.txnCommit(producer, { group: world.group, topic, offset: 1 }, version)
      return { late, seen: await seen(world, topic), state: await world.raw.state(world.id) }
    })
  }

  for (const version of [3, 5]) {
    check(`to a classic group, by members and others, version ${version}`, async (world) => {
      const topic = await world.topic()
      const member = await alone(world.raw, world.group)
      const producer = await withOffsets(world)
      const commit = (generation: number, memberId: string, instance: string | null = null) =>
        world.raw.txnCommit(
          producer,
          { group: world.group, topic, offset: 3, generation, member: memberId, instance },
          version
        )
      return {
        nobody: await commit(-1, ""),
        later: await commit(member.generation + 1, member.member),
        earlier: await commit(member.generation - 1, member.member),
        stranger: await commit(member.generation, "stranger"),
        strangerWithout: await commit(-1, "stranger"),
        nameless: await commit(member.generation, ""),
        instance: await commit(member.generation, member.member, "instance"),
        own: await commit(member.generation, member.member)
      }
    })

    check(`to a static member's group, version ${version}`, async (world) => {
      const topic = await world.topic()
      const member = await alone(world.raw, world.group, { instance: "one" })
      const producer = await withOffsets(world)
      const commit = (generation: number, memberId: string, instance: string | null) =>
        world.raw.txnCommit(
          producer,
          { group: world.group, topic, offset: 3, generation, member: memberId, instance },
          version
        )
      return {
        own: await commit(member.generation, member.member, "one"),
        otherMember: await commit(member.generation, "stranger", "one"),
        unknownInstance: await commit(member.generation, member.member, "two"),
        without: await commit(member.generation, member.member, null)
      }
    })

    check(`to a group that is not there, version ${version}`, async (world) => {
      const topic = await world.topic()
      const producer = await withOffsets(world)
      const commit = (generation: number, member: string) =>
        world.raw.txnCommit(producer, { group: world.group, topic, offset: 3, generation, member }, version)
      return {
        generation: await commit(0, ""),
        member: await commit(-1, "someone"),
        both: await commit(3, "someone"),
        nobody: await commit(-1, "")
      }
    })

    check(`of a topic or partition that is not there, version ${version}`, async (world) => {
      const topic = await world.topic()
      const producer = await withOffsets(world)
      return [
        await world.raw.txnCommit(producer, { group: world.group, topic: world.name("none"), offset: 3 }, version),
        await world.raw.txnCommit(producer, { group: world.group, topic, partition: 5, offset: 3 }, version)
      ]
    })

    check(`to a KIP-848 group, version ${version}`, async (world) => {
      const topic = await world.topic(2)
      const member = await enter(world.raw, world.group, "member-a", [topic])
      const producer = await withOffsets(world)
      const commit = (generation: number, memberId: string) =>
        world.raw.txnCommit(producer, { group: world.group, topic, offset: 3, generation, member: memberId }, version)
      return {
        nobody: await commit(-1, ""),
        own: await commit(member.memberEpoch, "member-a"),
        earlier: await commit(member.memberEpoch - 1, "member-a"),
        later: await commit(member.memberEpoch + 1, "member-a"),
        stranger: await commit(member.memberEpoch, "stranger")
      }
    })

    check(`metadata: too long, none, some, version ${version}`, async (world) => {
      const topic = await world.topic()
      const producer = await withOffsets(world)
      const commit = (metadata: string | null) =>
        world.raw.txnCommit(producer, { group: world.group, topic, offset: 3, metadata }, version)
      return [await commit("m".repeat(4_097)), await commit("m".repeat(4_096)), await commit(null)]
    })

    check(`an empty group id, version ${version}`, async (world) => {
      const topic = await world.topic()
      const producer = await world.init(world.id)
      const added = await world.raw.addOffsets(producer, "")
      return { added, commit: await world.raw.txnCommit(producer, { group: "", topic, offset: 3 }, version) }
    })
  }

  check("a plain commit while a transactional one is pending is seen at once, and stays", async (world) => {
    const topic = await world.topic()
    const producer = await withOffsets(world)
    await world.raw.txnCommit(producer, { group: world.group, topic, offset: 3 })
    const error = await world.raw.commit({ group: world.group, topic, offset: 1 })
    const between = await seen(world, topic)
    await world.end(producer, true)
    return { error, between, after: await seen(world, topic) }
  })

  check("a plain commit before a transactional one is overwritten", async (world) => {
    const topic = await world.topic()
    await world.raw.commit({ group: world.group, topic, offset: 9 })
    const producer = await withOffsets(world)
    await world.raw.txnCommit(producer, { group: world.group, topic, offset: 3 })
    await world.end(producer, true)
    return seen(world, topic)
  })

  check("two commits of one transaction: the last one counts", async (world) => {
    const topic = await world.topic()
    const producer = await withOffsets(world)
    for (const offset of [9, 3]) await world.raw.txnCommit(producer, { group: world.group, topic, offset })
    await world.end(producer, true)
    return seen(world, topic)
  })

  check("only the pending partition is unstable", async (world) => {
    const topic = await world.topic(2)
    await world.raw.commit({ group: world.group, topic, partition: 1, offset: 7 })
    const producer = await withOffsets(world)
    await world.raw.txnCommit(producer, { group: world.group, topic, offset: 3 })
    return [
      await world.raw.committed(world.group, topic, { partition: 0, stable: true }),
      await world.raw.committed(world.group, topic, { partition: 1, stable: true })
    ]
  })

  for (const version of [1, 2, 3, 5, 6, 7, 8, 9, 10]) {
    check(`OffsetFetch ${version} of pending, committed and missing offsets`, async (world) => {
      const topic = await world.topic(3)
      await world.raw.commit({ group: world.group, topic, partition: 1, offset: 7 })
      const producer = await withOffsets(world)
      await world.raw.txnCommit(producer, { group: world.group, topic, offset: 3 })
      const answers = []
      for (const partition of [0, 1, 2, 9]) {
        answers.push(await world.raw.committed(world.group, topic, { partition, version }))
        if (version >= 7) {
          answers.push(await world.raw.committed(world.group, topic, { partition, version, stable: true }))
        }
      }
      return answers
    })
  }

  check("OffsetFetch of everything while some is pending", async (world) => {
    const topic = await world.topic(2)
    await world.raw.commit({ group: world.group, topic, partition: 1, offset: 7 })
    const producer = await withOffsets(world)
    await world.raw.txnCommit(producer, { group: world.group, topic, offset: 3 })
    const all = async (requireStable: boolean) => {
      const body = { groups: [{ groupId: world.group, topics: null }], requireStable }
      const [group] = (await world.raw.client.call(Apis.OffsetFetch, 9, body)).groups
      return group!.topics.flatMap(({ name, partitions }) =>
        partitions
          .toSorted((a, b) => a.partitionIndex - b.partitionIndex)
          .map((it) => [name, it.partitionIndex, Number(it.committedOffset), it.errorCode])
      )
    }
    return { plain: await all(false), stable: await all(true) }
  })

  check("metadata and leader epoch come back", async (world) => {
    const topic = await world.topic()
    const producer = await withOffsets(world)
    await world.raw.txnCommit(producer, { group: world.group, topic, offset: 3, metadata: "here", leaderEpoch: 0 })
    await world.end(producer, true)
    const body = { groupId: world.group, topics: [{ name: topic, partitionIndexes: [0] }] }
    const found = (await world.raw.client.call(Apis.OffsetFetch, 7, body)).topics[0]!.partitions[0]!
    return [Number(found.committedOffset), found.metadata, found.committedLeaderEpoch, found.errorCode]
  })

  check("OffsetDelete removes what is pending", async (world) => {
    const topic = await world.topic()
    const producer = await withOffsets(world)
    await world.raw.txnCommit(producer, { group: world.group, topic, offset: 3 })
    const answer = await world.raw.client.call(Apis.OffsetDelete, 0, {
      groupId: world.group,
      topics: [{ name: topic, partitions: [{ partitionIndex: 0 }] }]
    })
    const between = await seen(world, topic)
    await world.end(producer, true)
    return {
      error: answer.errorCode,
      codes: answer.topics.flatMap((it) => it.partitions.map(({ errorCode }) => errorCode)),
      between,
      after: await seen(world, topic)
    }
  })

  check("deleting the topic drops what is pending", async (world) => {
    const topic = await world.topic(2)
    const producer = await withOffsets(world)
    await world.raw.txnCommit(producer, { group: world.group, topic, offset: 3 })
    await world.raw.commit({ group: world.group, topic, partition: 1, offset: 5 })
    await world.raw.deleteTopic(topic)
    // Offsets go a moment after their topic.
    await world.until(async () => (await world.raw.committed(world.group, topic, { partition: 1 })) === -1)
    const before = await seen(world, topic)
    const ended = await world.end(producer, true)
    return { before, error: ended.error, after: await seen(world, topic) }
  })
})

/** Two transactions of one group that are open at the same time. */
export const offsetPairs = section("two open transactions with offsets of one partition", (check) => {
  const orders: ReadonlyArray<
    readonly [
      name: string,
      commits: ReadonlyArray<readonly [who: "A" | "B", offset: number]>,
      ends: ReadonlyArray<readonly [who: "A" | "B", committed: boolean]>
    ]
  > = [
    ["A=10, B=20; commit A, commit B", [["A", 10], ["B", 20]], [["A", true], ["B", true]]],
    ["A=10, B=20; commit B, commit A", [["A", 10], ["B", 20]], [["B", true], ["A", true]]],
    ["B=20, A=10; commit A, commit B", [["B", 20], ["A", 10]], [["A", true], ["B", true]]],
    ["B=20, A=10; commit B, commit A", [["B", 20], ["A", 10]], [["B", true], ["A", true]]],
    ["A=10, B=20, A=10 again; commit A, commit B", [["A", 10], ["B", 20], ["A", 10]], [["A", true], ["B", true]]],
    ["A=10, B=20; abort A, commit B", [["A", 10], ["B", 20]], [["A", false], ["B", true]]],
    ["A=10, B=20; commit A, abort B", [["A", 10], ["B", 20]], [["A", true], ["B", false]]],
    ["A=10, B=20; commit B, abort A", [["A", 10], ["B", 20]], [["B", true], ["A", false]]],
    ["B=20, A=10; abort A, commit B", [["B", 20], ["A", 10]], [["A", false], ["B", true]]],
    ["A=10, B=20; abort both", [["A", 10], ["B", 20]], [["A", false], ["B", false]]]
  ]
  for (const version of [4, 5]) {
    for (const [name, commits, ends] of orders) {
      check(`${name}, EndTxn ${version}`, async (world) => {
        const topic = await world.topic()
        const producers = {
          A: await withOffsets(world, world.name("A")),
          B: await withOffsets(world, world.name("B"))
        }
        for (const [who, offset] of commits) {
          await world.raw.txnCommit(producers[who], { group: world.group, topic, offset })
        }
        const steps = [await seen(world, topic)]
        for (const [who, committed] of ends) {
          await world.end(producers[who], committed, version)
          steps.push(await seen(world, topic))
        }
        return steps
      })
    }
  }

  check("the zombie's pending offset holds up the new owner's stable fetch only", async (world) => {
    const topic = await world.topic()
    const zombie = await withOffsets(world, world.name("A"))
    await world.raw.txnCommit(zombie, { group: world.group, topic, offset: 10 })
    const owner = await withOffsets(world, world.name("B"))
    const before = [await world.raw.committed(world.group, topic, { version: 4 }), await seen(world, topic)]
    const error = await world.raw.txnCommit(owner, { group: world.group, topic, offset: 10 })
    await world.end(owner, true)
    await world.end(zombie, true)
    return { before, error, after: await seen(world, topic) }
  })

  check("a late commit of a transaction that is over changes nothing", async (world) => {
    const topic = await world.topic()
    const a = await withOffsets(world, world.name("A"))
    await world.raw.txnCommit(a, { group: world.group, topic, offset: 10 })
    await world.end(a, true, 5)
    const b = await withOffsets(world, world.name("B"))
    await world.raw.txnCommit(b, { group: world.group, topic, offset: 20 })
    const late = []
    for (const version of [3, 4, 5]) {
      late.push(await world.raw.txnCommit(a, { group: world.group, topic, offset: 10 }, version))
    }
    await world.end(b, true, 5)
    return { late, seen: await seen(world, topic) }
  })

  check("the next transaction's output before the one before's, both committed", async (world) => {
    const topic = await world.topic()
    const a = await world.init(world.name("A"))
    const b = await world.init(world.name("B"))
    await world.raw.send(b, { topic, values: ["n+1"] }, 12)
    await world.raw.send(a, { topic, values: ["n"] }, 12)
    await world.end(a, true, 5)
    const between = await world.raw.visible(topic)
    await world.end(b, true, 5)
    return { between, visible: await world.raw.visible(topic) }
  })

  check("an abort of nothing keeps a late batch out", async (world) => {
    const topic = await world.topic()
    const b = await world.init(world.name("B"))
    const { epoch } = await world.end(b, false, 5)
    const late = await world.raw.send(b, { topic, values: ["late"] }, 12)
    const redone = await world.raw.send({ ...b, epoch }, { topic, values: ["redone"] }, 12)
    await world.end({ ...b, epoch }, true, 5)
    return { late, redone, visible: await world.raw.visible(topic) }
  })
})
