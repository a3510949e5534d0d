import { Apis, type ConsumerGroupHeartbeatResponse, ConsumerProtocol } from "@exactly-once/protocol"
import { alone, assigned, beat, enter, groupState, joinTwice } from "../Group.ts"
import { section } from "../suite.ts"
import type { World } from "../World.ts"

type Answer = ConsumerGroupHeartbeatResponse.ConsumerGroupHeartbeatResponse

const brief = (answer: Answer) =>
  answer.errorCode !== 0 ? { error: answer.errorCode } : { epoch: answer.memberEpoch, assigned: assigned(answer) }

const owned = (answer: Answer) =>
  (answer.assignment?.topicPartitions ?? []).map(({ partitions, topicId }) => ({ topicId, partitions }))

/** A member alone with two partitions, which it has confirmed. */
const single = async (world: World, member = "a"): Promise<{ readonly topic: string; readonly first: Answer }> => {
  const topic = await world.topic(2)
  const first = await enter(world.raw, world.group, member, [topic])
  await beat(world.raw, world.group, { member, epoch: first.memberEpoch, owned: owned(first) })
  return { topic, first }
}

export const consumerGroups = section("consumer groups (KIP-848)", (check) => {
  for (const version of [0, 1]) {
    check(`the first heartbeat, version ${version}`, async (world) => {
      const topic = await world.topic(2)
      const answer = await enter(world.raw, world.group, version === 0 ? "" : "a", [topic], { version })
      return {
        ...brief(answer),
        interval: answer.heartbeatIntervalMs,
        named: answer.memberId !== null && answer.memberId !== ""
      }
    })

    check(`a heartbeat that cannot be meant, version ${version}`, async (world) => {
      const topic = await world.topic()
      const { group, raw } = world
      const ask = async (options: Partial<Parameters<typeof beat>[2]>, to = group) =>
        brief(await enter(raw, to, "a", [topic], { version, ...options }))
      return {
        emptyGroup: await ask({}, ""),
        noMember: await ask({ member: "" }),
        noRebalance: await ask({ rebalance: -1 }),
        noTopics: await ask({ topics: [] }),
        nullTopics: await ask({ topics: null }),
        noOwned: await ask({ owned: null }),
        ownsSome: await ask({ owned: [{ topicId: await raw.topicId(topic), partitions: [0] }] }),
        emptyInstance: await ask({ instance: "" }),
        assignor: await ask({ assignor: "sticky" }),
        emptyAssignor: await ask({ assignor: "" }),
        epoch: await ask({ epoch: -3 }),
        staticLeave: await ask({ epoch: -2 }),
        later: await ask({ epoch: 4 }),
        state: await groupState(raw, group)
      }
    })
  }

  check("nothing new in a heartbeat: nothing new in the answer", async (world) => {
    const { first, topic } = await single(world)
    const ask = (epoch: number, more = {}) => beat(world.raw, world.group, { member: "a", epoch, ...more })
    return [
      brief(await ask(first.memberEpoch)),
      brief(await ask(first.memberEpoch, { topics: [topic] })),
      brief(await ask(first.memberEpoch, { owned: owned(first) })),
      brief(await ask(first.memberEpoch, { owned: owned(first), topics: [topic], rebalance: 30_000 }))
    ]
  })

  check("the epoch must be the present one, or the one before with what was owned then", async (world) => {
    const { first } = await single(world)
    const ask = async (epoch: number, more = {}) =>
      brief(await beat(world.raw, world.group, { member: "a", epoch, ...more }))
    return {
      later: await ask(first.memberEpoch + 1),
      earlier: await ask(first.memberEpoch - 1),
      earlierEmpty: await ask(first.memberEpoch - 1, { owned: [] }),
      stranger: brief(await beat(world.raw, world.group, { member: "stranger", epoch: first.memberEpoch })),
      otherGroup: brief(await beat(world.raw, world.name("none"), { member: "a", epoch: first.memberEpoch })),
      own: await ask(first.memberEpoch)
    }
  })

  check("joining again with epoch 0", async (world) => {
    const { topic } = await single(world)
    const again = await enter(world.raw, world.group, "a", [topic])
    return brief(again)
  })

  check("a second member gets its part only after the first one gave it up", async (world) => {
    const { first, topic } = await single(world)
    const { group, raw } = world
    const b = await enter(raw, group, "b", [topic])
    let a = await beat(raw, group, { member: "a", epoch: first.memberEpoch })
    await world.until(async () => {
      if (a.assignment === null) a = await beat(raw, group, { member: "a", epoch: a.memberEpoch })
      return a.assignment !== null
    })
    const waiting = await beat(raw, group, { member: "b", epoch: b.memberEpoch })
    const kept = owned(a)
    const gave = await beat(raw, group, { member: "a", epoch: a.memberEpoch, owned: kept })
    let then = await beat(raw, group, { member: "b", epoch: waiting.memberEpoch })
    await world.until(async () => {
      if (assigned(then) !== 1) then = await beat(raw, group, { member: "b", epoch: then.memberEpoch })
      return assigned(then) === 1
    })
    return {
      b: brief(b),
      revoking: [a.memberEpoch, assigned(a)],
      waiting: brief(waiting),
      gave: gave.memberEpoch,
      later: brief(then)
    }
  })

  check("leaving, and again", async (world) => {
    const { first } = await single(world)
    const ask = async (epoch: number) => brief(await beat(world.raw, world.group, { member: "a", epoch }))
    return {
      left: await ask(-1),
      again: await ask(-1),
      heartbeat: await ask(first.memberEpoch),
      static: await ask(-2),
      state: (await world.raw.client.call(Apis.ConsumerGroupDescribe, 1, {
        groupIds: [world.group],
        includeAuthorizedOperations: false
      })).groups[0]!.groupState
    }
  })

  check("a member that stays silent is put out after its session", async (world) => {
    const { group, raw } = world
    if (!world.isEmbedded) {
      await raw.setGroup(group, { "consumer.session.timeout.ms": "1000", "consumer.heartbeat.interval.ms": "500" })
    }
    const { first } = await single(world)
    await world.passSessions(world.isEmbedded ? 45_000 : 1_500)
    const ask = async () => brief(await beat(raw, group, { member: "a", epoch: first.memberEpoch }))
    const describe = async () => {
      const { groups } = await raw.client.call(Apis.ConsumerGroupDescribe, 1, {
        groupIds: [group],
        includeAuthorizedOperations: false
      })
      return [groups[0]!.groupState, groups[0]!.members.length]
    }
    return { group: await describe(), heartbeat: await ask() }
  })

  check("a static member leaves for a while, comes back, and is the same", async (world) => {
    const topic = await world.topic(2)
    const { group, raw } = world
    const first = await enter(raw, group, "a", [topic], { instance: "one" })
    await beat(raw, group, { member: "a", epoch: first.memberEpoch, instance: "one", owned: owned(first) })
    const taken = await enter(raw, group, "b", [topic], { instance: "one" })
    const left = await beat(raw, group, { member: "a", epoch: -2, instance: "one" })
    const back = await enter(raw, group, "b", [topic], { instance: "one" })
    const old = await beat(raw, group, { member: "a", epoch: first.memberEpoch, instance: "one" })
    const stranger = await beat(raw, group, { member: "b", epoch: back.memberEpoch, instance: "two" })
    const gone = await beat(raw, group, { member: "b", epoch: -1, instance: "one" })
    return {
      first: brief(first),
      taken: brief(taken),
      left: brief(left),
      back: brief(back),
      old: brief(old),
      stranger: brief(stranger),
      gone: brief(gone)
    }
  })

  check("subscribing to what is not there, and to another topic", async (world) => {
    const { first } = await single(world)
    const { group, raw } = world
    const other = await world.topic(3, {}, "other")
    const none = await beat(raw, group, { member: "a", epoch: first.memberEpoch, topics: [world.name("none")] })
    let now = await beat(raw, group, { member: "a", epoch: none.memberEpoch, topics: [other], owned: [] })
    await world.until(async () => {
      if (assigned(now) !== 3) now = await beat(raw, group, { member: "a", epoch: now.memberEpoch, owned: [] })
      return assigned(now) === 3
    })
    return { none: none.errorCode, assigned: assigned(now) }
  })

  check("an invalid pattern", async (world) => {
    const answer = await enter(world.raw, world.group, "a", [], { regex: "(" })
    return brief(answer)
  })

  check("describing groups of the other kind", async (world) => {
    await single(world)
    const classic = world.name("classic")
    await alone(world.raw, classic)
    const { client } = world.raw
    return {
      asClassic: (await client.call(Apis.DescribeGroups, 6, { groups: [world.group] })).groups[0]!.errorCode,
      asConsumer:
        (await client.call(Apis.ConsumerGroupDescribe, 1, { groupIds: [classic], includeAuthorizedOperations: false }))
          .groups[0]!.errorCode
    }
  })

  check(
    "a member of the new kind may not join a group whose classic member has no readable subscription",
    async (world) => {
      await alone(world.raw, world.group)
      return brief(await enter(world.raw, world.group, "a", [await world.topic()]))
    }
  )

  check("a classic member without a readable subscription may not join a consumer group", async (world) => {
    await single(world)
    return (await joinTwice(world.raw, world.group)).errorCode
  })

  check("a classic member joins a consumer group", async (world) => {
    const { topic } = await single(world)
    const metadata = ConsumerProtocol.encodeSubscription({ topics: [topic] })
    return (await joinTwice(world.raw, world.group, { metadata })).errorCode
  })

  check("a consumer joins the group of a classic member", async (world) => {
    const topic = await world.topic()
    const metadata = ConsumerProtocol.encodeSubscription({ topics: [topic] })
    await alone(world.raw, world.group, { metadata })
    return brief(await enter(world.raw, world.group, "a", [topic]))
  })

  check("OffsetCommit with an epoch, from a member or not", async (world) => {
    const { first, topic } = await single(world)
    const { group, raw } = world
    const commit = (member: string, generation: number, version = 9) =>
      raw.commit({ group, topic, offset: 4, member, generation }, version)
    return {
      own: await commit("a", first.memberEpoch),
      version8: await commit("a", first.memberEpoch, 8),
      version10: await commit("a", first.memberEpoch, 10),
      later: await commit("a", first.memberEpoch + 1),
      earlier: await commit("a", first.memberEpoch - 1),
      stranger: await commit("stranger", first.memberEpoch),
      nobody: await commit("", -1),
      committed: await raw.committed(group, topic)
    }
  })

  for (const version of [8, 9, 10]) {
    check(`OffsetFetch by a member and its epoch, version ${version}`, async (world) => {
      const { first, topic } = await single(world)
      const { group, raw } = world
      const ask = async (memberId: string | null, memberEpoch: number) => {
        const asked = version >= 10
          ? { topicId: await raw.topicId(topic), partitionIndexes: [0] }
          : { name: topic, partitionIndexes: [0] }
        const body = {
          groups: [{ groupId: group, ...(version >= 9 ? { memberId, memberEpoch } : {}), topics: [asked] }]
        }
        return (await raw.client.call(Apis.OffsetFetch, version, body)).groups[0]!.errorCode
      }
      return {
        own: await ask("a", first.memberEpoch),
        later: await ask("a", first.memberEpoch + 1),
        earlier: await ask("a", first.memberEpoch - 1),
        stranger: await ask("stranger", first.memberEpoch),
        nobody: await ask(null, -1)
      }
    })
  }

  check("TxnOffsetCommit in the delivery's epoch, for a partition that stayed and one that did not", async (world) => {
    const { first, topic } = await single(world)
    const { group, raw } = world
    const b = await enter(raw, group, "b", [topic])
    let a = await beat(raw, group, { member: "a", epoch: first.memberEpoch })
    await world.until(async () => {
      if (a.assignment === null) a = await beat(raw, group, { member: "a", epoch: a.memberEpoch })
      return a.assignment !== null
    })
    const kept = owned(a)
    let now = await beat(raw, group, { member: "a", epoch: a.memberEpoch, owned: kept })
    await world.until(async () => {
      if (now.memberEpoch === first.memberEpoch) now = await beat(raw, group, { member: "a", epoch: now.memberEpoch })
      return now.memberEpoch > first.memberEpoch
    })
    const stays = kept[0]!.partitions[0]!
    const producer = await world.init(world.id)
    await raw.addOffsets(producer, group)
    const commit = (partition: number, generation: number) =>
      raw.txnCommit(producer, { group, topic, partition, offset: 3, member: "a", generation })
    return {
      b: b.errorCode,
      retainedOld: await commit(stays, first.memberEpoch),
      revokedOld: await commit(1 - stays, first.memberEpoch),
      retainedNow: await commit(stays, now.memberEpoch),
      othersNow: await commit(1 - stays, now.memberEpoch),
      plainOthersNow: await raw.commit({
        group,
        topic,
        partition: 1 - stays,
        offset: 3,
        member: "a",
        generation: now.memberEpoch
      }, 9)
    }
  })

  check("ConsumerGroupDescribe", async (world) => {
    await single(world)
    const groupIds = [world.group, world.name("none"), ""]
    const { groups } = await world.raw.client.call(Apis.ConsumerGroupDescribe, 1, {
      groupIds,
      includeAuthorizedOperations: false
    })
    return groups
      .toSorted((a, b) => a.groupId < b.groupId ? -1 : 1)
      .map((it) => [it.groupId, it.errorCode, it.groupState, it.assignorName, it.members.length])
  })
})
