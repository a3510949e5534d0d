import { Apis } from "@exactly-once/protocol"
import { alone, groupState, heartbeat, join, joinTwice, type Member, sync } from "../Group.ts"
import { section } from "../suite.ts"

export const classicOffsets = section("offsets and administration of classic groups", (check) => {
  for (const version of [2, 5, 7, 8, 9]) {
    check(`OffsetCommit by members and others, version ${version}`, async (world) => {
      const { group, raw } = world
      const topic = await world.topic()
      const fresh = world.name("fresh")
      const own = await alone(raw, group)
      const commit = (it: Partial<Member>, to = group) => raw.commit({ group: to, topic, offset: 5, ...it }, version)
      return {
        simple: await commit({}, fresh),
        simpleGeneration: await commit({ generation: 3 }, world.name("other")),
        nobody: await commit({}),
        stranger: await commit({ ...own, member: "stranger" }),
        later: await commit({ ...own, generation: own.generation + 1 }),
        earlier: await commit({ ...own, generation: own.generation - 1 }),
        without: await commit({ member: own.member, generation: -1 }),
        own: await commit(own),
        emptyGroup: await commit({}, ""),
        committed: await raw.committed(group, topic)
      }
    })
  }

  check("OffsetCommit during a rebalance", async (world) => {
    const { group, raw } = world
    const topic = await world.topic()
    const own = await alone(raw, group)
    const other = await world.connect()
    const joining = joinTwice(other, group)
    await world.until(async () => (await heartbeat(raw, group, own)) === 27)
    const preparing = await raw.commit({ group, topic, offset: 5, ...own })
    const again = await join(raw, group, { member: own.member })
    await joining
    const completing = await raw.commit({ group, topic, offset: 6, member: own.member, generation: again.generationId })
    return { preparing, old: await raw.commit({ group, topic, offset: 6, ...own }), completing }
  })

  check("TxnOffsetCommit with the generation of the delivery, after a rebalance", async (world) => {
    const { group, raw } = world
    const topic = await world.topic()
    const own = await alone(raw, group)
    const again = await join(raw, group, { member: own.member })
    const producer = await world.init(world.id)
    await raw.addOffsets(producer, group)
    const commit = (generation: number) =>
      raw.txnCommit(producer, { group, topic, offset: 5, member: own.member, generation })
    const completing = [await commit(own.generation), await commit(again.generationId)]
    await sync(raw, group, { member: own.member, generation: again.generationId }, { assignments: [] })
    return { completing, stable: [await commit(own.generation), await commit(again.generationId)] }
  })

  check("OffsetCommit of what is not there, or too much", async (world) => {
    const { group, raw } = world
    const topic = await world.topic()
    return [
      await raw.commit({ group, topic: world.name("none"), offset: 1 }),
      await raw.commit({ group, topic, partition: 4, offset: 1 }),
      await raw.commit({ group, topic, offset: 1, metadata: "m".repeat(4_097) }),
      await raw.commit({ group, topic, offset: -1 }),
      await raw.committed(group, topic)
    ]
  })

  for (const version of [0, 5, 6]) {
    check(`DescribeGroups ${version}`, async (world) => {
      const { group, raw } = world
      const topic = await world.topic()
      const simple = world.name("simple")
      await raw.commit({ group: simple, topic, offset: 1 })
      await alone(raw, group)
      const groups = [group, simple, world.name("none")]
      const answer = await raw.client.call(Apis.DescribeGroups, version, { groups })
      return answer.groups.toSorted((a, b) => a.groupId < b.groupId ? -1 : 1).map((
        it
      ) => [it.groupId, it.errorCode, it.groupState, it.protocolType, it.protocolData, it.members.length])
    })
  }

  check("ListGroups by state and type", async (world) => {
    const { group, raw } = world
    await raw.commit({ group: world.name("simple"), topic: await world.topic(), offset: 1 })
    await alone(raw, group)
    const list = async (states: ReadonlyArray<string>, types: ReadonlyArray<string>) => {
      const { errorCode, groups } = await raw.client.call(Apis.ListGroups, 5, {
        statesFilter: states,
        typesFilter: types
      })
      const own = groups.filter(({ groupId }) => groupId.startsWith(world.name("")))
      return [
        errorCode,
        ...own.map((it) => `${it.groupId} ${it.groupState} ${it.groupType} ${it.protocolType}`).toSorted()
      ]
    }
    return [
      await list([], []),
      await list(["Empty"], []),
      await list(["stable"], []),
      await list([], ["Consumer"]),
      await list(["Nonsense"], [])
    ]
  })

  check("DeleteGroups: with members, without, of none", async (world) => {
    const { group, raw } = world
    const simple = world.name("simple")
    const topic = await world.topic()
    await raw.commit({ group: simple, topic, offset: 1 })
    await alone(raw, group)
    const groupsNames = [group, simple, world.name("none")]
    const answer = await raw.client.call(Apis.DeleteGroups, 2, { groupsNames })
    return {
      codes: groupsNames.map((name) => answer.results.find(({ groupId }) => groupId === name)?.errorCode),
      left: await raw.committed(simple, topic)
    }
  })

  check("DeleteGroups while offsets are pending", async (world) => {
    const { group, raw } = world
    const topic = await world.topic()
    const producer = await world.init(world.id)
    await raw.addOffsets(producer, group)
    await raw.txnCommit(producer, { group, topic, offset: 3 })
    const answer = await raw.client.call(Apis.DeleteGroups, 2, { groupsNames: [group] })
    await world.end(producer, true)
    return [answer.results[0]!.errorCode, await raw.committed(group, topic), await groupState(raw, group)]
  })

  check("OffsetDelete: subscribed or not, and of no group", async (world) => {
    const { group, raw } = world
    const topic = await world.topic()
    const simple = world.name("simple")
    await raw.commit({ group: simple, topic, offset: 1 })
    const own = await alone(raw, group)
    await raw.commit({ group, topic, offset: 1, ...own })
    const remove = async (groupId: string, name: string, partitionIndex = 0) => {
      const answer = await raw.client.call(Apis.OffsetDelete, 0, {
        groupId,
        topics: [{ name, partitions: [{ partitionIndex }] }]
      })
      return [answer.errorCode, ...answer.topics.flatMap((it) => it.partitions.map(({ errorCode }) => errorCode))]
    }
    return {
      live: await remove(group, topic),
      simple: await remove(simple, topic),
      again: await remove(simple, topic),
      partition: await remove(simple, topic, 7),
      none: await remove(world.name("none"), topic),
      topic: await remove(simple, world.name("nothing")),
      left: [await raw.committed(group, topic), await raw.committed(simple, topic)]
    }
  })
})
