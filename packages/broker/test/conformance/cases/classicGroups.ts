import { Apis } from "@exactly-once/protocol"
import { alone, groupState, heartbeat, join, joinTwice, leave, type Member, sync } from "../Group.ts"
import type { Raw } from "../Raw.ts"
import { section } from "../suite.ts"
import type { World } from "../World.ts"

/** Two members of one generation; `a` leads, and both have their assignments. */
const pair = async (
  world: World,
  session = 30_000
): Promise<{ readonly a: Member; readonly b: Member; readonly other: Raw }> => {
  const { group, raw } = world
  const other = await world.connect()
  const first = await alone(raw, group, { session, rebalance: 10_000 })
  const joining = joinTwice(other, group, { session, rebalance: 10_000 })
  await world.until(async () => (await heartbeat(raw, group, first)) === 27)
  const a = await join(raw, group, { member: first.member, session, rebalance: 10_000 })
  const b = await joining
  const members = {
    a: { member: a.memberId, generation: a.generationId },
    b: { member: b.memberId, generation: b.generationId }
  }
  const follows = sync(other, group, members.b)
  await sync(raw, group, members.a, { assignments: [[members.a.member, "to a"], [members.b.member, "to b"]] })
  await follows
  return { ...members, other }
}

export const classicGroups = section("classic groups", (check) => {
  for (const version of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]) {
    check(`the first JoinGroup of a member, version ${version}`, async ({ group, raw }) => {
      const answer = await join(raw, group, { version })
      return {
        error: answer.errorCode,
        generation: answer.generationId,
        named: answer.memberId !== "",
        leads: answer.leader === answer.memberId,
        protocol: answer.protocolName,
        type: answer.protocolType,
        members: answer.members.length,
        state: await groupState(raw, group)
      }
    })
  }

  check("JoinGroup with the id it was given", async ({ group, raw }) => {
    const answer = await joinTwice(raw, group, { protocols: ["roundrobin", "range"] })
    return [
      answer.errorCode,
      answer.generationId,
      answer.protocolName,
      answer.protocolType,
      await groupState(raw, group)
    ]
  })

  check("JoinGroup that cannot be meant", async (world) => {
    const { group, raw } = world
    return {
      unknownMember: (await join(raw, group, { member: "stranger" })).errorCode,
      emptyGroup: (await join(raw, "")).errorCode,
      shortSession: (await join(raw, group, { session: 10 })).errorCode,
      longSession: (await join(raw, group, { session: 2_000_000_000 })).errorCode,
      noProtocols: (await join(raw, group, { protocols: [], version: 3 })).errorCode,
      noType: (await join(raw, group, { type: "", version: 3 })).errorCode,
      state: await groupState(raw, group)
    }
  })

  check("JoinGroup to a group that is stable, by who does not fit", async (world) => {
    const { group, raw } = world
    await alone(raw, group)
    return {
      protocol: (await join(raw, group, { protocols: ["sticky"] })).errorCode,
      type: (await join(raw, group, { type: "connect" })).errorCode,
      stranger: (await join(raw, group, { member: "stranger" })).errorCode,
      instance: (await join(raw, group, { member: "stranger", instance: "none" })).errorCode
    }
  })

  check("JoinGroup again by the leader: a new generation", async ({ group, raw }) => {
    const member = await alone(raw, group)
    const again = await join(raw, group, { member: member.member })
    return [again.errorCode, again.generationId, again.members.length, await groupState(raw, group)]
  })

  check("JoinGroup again by a follower, without a change: the same generation", async (world) => {
    const { b, other } = await pair(world)
    const again = await join(other, world.group, { member: b.member })
    return [again.errorCode, again.generationId, again.members.length, await groupState(world.raw, world.group)]
  })

  check("SyncGroup: wrong member, generation, protocol or group", async (world) => {
    const { group, raw } = world
    const { generationId: generation, memberId: member } = await joinTwice(raw, group)
    const own = { member, generation }
    return {
      stranger: (await sync(raw, group, { ...own, member: "stranger" })).error,
      later: (await sync(raw, group, { ...own, generation: generation + 1 })).error,
      earlier: (await sync(raw, group, { ...own, generation: generation - 1 })).error,
      instance: (await sync(raw, group, { ...own, instance: "none" })).error,
      protocol: (await sync(raw, group, own, { protocol: "sticky" })).error,
      type: (await sync(raw, group, own, { type: "connect" })).error,
      otherGroup: (await sync(raw, world.name("none"), own)).error,
      emptyGroup: (await sync(raw, "", own)).error,
      own: await sync(raw, group, own, { assignments: [[member, "mine"]] }),
      again: await sync(raw, group, own),
      state: await groupState(raw, group)
    }
  })

  for (const version of [0, 3, 5]) {
    check(`SyncGroup of a leader without an assignment for itself, version ${version}`, async ({ group, raw }) => {
      const { generationId: generation, memberId: member } = await joinTwice(raw, group)
      return [await sync(raw, group, { member, generation }, { version }), await groupState(raw, group)]
    })
  }

  for (const version of [0, 3, 4]) {
    check(`Heartbeat in every state, version ${version}`, async (world) => {
      const { group, raw } = world
      const joined = await joinTwice(raw, group)
      const own = { member: joined.memberId, generation: joined.generationId }
      const completing = await heartbeat(raw, group, own, version)
      await sync(raw, group, own, { assignments: [] })
      const other = await world.connect()
      const stable = await heartbeat(raw, group, own, version)
      const joining = joinTwice(other, group)
      await world.until(async () => (await groupState(raw, group)) === "PreparingRebalance")
      const preparing = await heartbeat(raw, group, own, version)
      await join(raw, group, { member: own.member })
      await joining
      return { completing, stable, preparing, old: await heartbeat(raw, group, own, version) }
    })

    check(`Heartbeat: wrong member, generation or group, version ${version}`, async (world) => {
      const { group, raw } = world
      const own = await alone(raw, group)
      return {
        stranger: await heartbeat(raw, group, { ...own, member: "stranger" }, version),
        later: await heartbeat(raw, group, { ...own, generation: own.generation + 1 }, version),
        earlier: await heartbeat(raw, group, { ...own, generation: own.generation - 1 }, version),
        otherGroup: await heartbeat(raw, world.name("none"), own, version),
        emptyGroup: await heartbeat(raw, "", own, version)
      }
    })
  }

  for (const version of [0, 2, 3, 5]) {
    check(`LeaveGroup, version ${version}`, async (world) => {
      const { group, raw } = world
      const own = await alone(raw, group)
      const go = async (groupId: string, memberId: string) => {
        const body = version < 3 ? { groupId, memberId } : { groupId, members: [{ memberId }] }
        const answer = await raw.client.call(Apis.LeaveGroup, version, body)
        return [answer.errorCode, ...answer.members.map(({ errorCode }) => errorCode)]
      }
      return {
        stranger: await go(group, "stranger"),
        otherGroup: await go(world.name("none"), own.member),
        emptyGroup: await go("", own.member),
        own: await go(group, own.member),
        again: await go(group, own.member),
        state: await groupState(raw, group),
        heartbeat: await heartbeat(raw, group, own)
      }
    })
  }

  check("a member that leaves makes the others rebalance", async (world) => {
    const { a, b, other } = await pair(world)
    const left = await leave(other, world.group, b.member)
    const beat = await heartbeat(world.raw, world.group, a)
    const again = await join(world.raw, world.group, { member: a.member })
    return { left, beat, generation: again.generationId, members: again.members.length }
  })

  check("only the leader is told the members", async (world) => {
    const { group, raw } = world
    const other = await world.connect()
    const first = await alone(raw, group)
    const joining = joinTwice(other, group)
    await world.until(async () => (await heartbeat(raw, group, first)) === 27)
    const a = await join(raw, group, { member: first.member })
    const b = await joining
    return [
      a.members.length,
      b.members.length,
      a.leader === a.memberId,
      b.leader === a.memberId,
      a.generationId,
      b.generationId
    ]
  })

  check("a member that stays silent is put out after its session, and the group is empty", async (world) => {
    const { group, raw } = world
    const own = await alone(raw, group, { session: 1_000 })
    await world.passSessions(1_500)
    await world.until(async () => (await groupState(raw, group)) === "Empty")
    return [await heartbeat(raw, group, own), await groupState(raw, group)]
  })

  check("heartbeats keep a member", async (world) => {
    const { group, raw } = world
    const own = await alone(raw, group, { session: 1_000 })
    for (let i = 0; i < 3; i++) {
      await world.passSessions(600)
      await heartbeat(raw, group, own)
    }
    return groupState(raw, group)
  })

  check("a frozen member is put out while a rebalance is under way, and the others go on", async (world) => {
    const { group, raw } = world
    const { a } = await pair(world, 1_500)
    const third = await world.connect()
    const joining = joinTwice(third, group, { session: 30_000, rebalance: 60_000 })
    await world.until(async () => (await heartbeat(raw, group, a)) === 27)
    const rejoining = join(raw, group, { member: a.member, session: 30_000, rebalance: 60_000 })
    await world.passSessions(2_000)
    const [mine, theirs] = [await rejoining, await joining]
    return { errors: [mine.errorCode, theirs.errorCode], members: mine.members.length, generation: mine.generationId }
  })

  check("a frozen leader is put out while its assignment is awaited", async (world) => {
    const { group, raw } = world
    const other = await world.connect()
    const first = await alone(raw, group, { session: 1_500, rebalance: 60_000 })
    const joining = joinTwice(other, group, { session: 30_000, rebalance: 60_000 })
    await world.until(async () => (await heartbeat(raw, group, first)) === 27)
    await join(raw, group, { member: first.member, session: 1_500, rebalance: 60_000 })
    const b = await joining
    const waiting = sync(other, group, { member: b.memberId, generation: b.generationId })
    await world.passSessions(2_000)
    const synced = await waiting
    const again = await join(other, group, { member: b.memberId, session: 30_000 })
    return {
      synced,
      again: again.errorCode,
      members: again.members.length,
      generation: again.generationId,
      leads: again.leader === again.memberId
    }
  })

  check("a static member comes back under a new id, without a rebalance, and fences the old one", async (world) => {
    const { group, raw } = world
    const old = await alone(raw, group, { instance: "one" })
    const other = await world.connect()
    const back = await join(other, group, { instance: "one", version: 9 })
    return {
      error: back.errorCode,
      generation: back.generationId,
      other: back.memberId !== old.member,
      skip: back.skipAssignment,
      state: await groupState(raw, group),
      heartbeat: await heartbeat(raw, group, old),
      sync: await sync(other, group, { member: back.memberId, generation: back.generationId, instance: "one" }),
      commit: await raw.commit({
        group,
        topic: await world.topic(),
        offset: 1,
        member: old.member,
        generation: old.generation,
        instance: "one"
      })
    }
  })

  check("a static member is told its id is taken when it comes with the old one", async (world) => {
    const { group, raw } = world
    const old = await alone(raw, group, { instance: "one" })
    await join(raw, group, { instance: "one" })
    return [
      (await join(raw, group, { instance: "one", member: old.member })).errorCode,
      (await sync(raw, group, old)).error,
      await leave(raw, group, old.member, "one"),
      await leave(raw, group, "", "one"),
      await leave(raw, group, "", "two"),
      await groupState(raw, group)
    ]
  })

  check("a static member that leaves its session is put out like any", async (world) => {
    const { group, raw } = world
    const old = await alone(raw, group, { instance: "one", session: 1_000 })
    await world.passSessions(1_500)
    await world.until(async () => (await groupState(raw, group)) === "Empty")
    return heartbeat(raw, group, old)
  })
})
