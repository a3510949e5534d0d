import { assert, describe, it } from "@effect/vitest"
import { Harness, subscription } from "./Harness.ts"

const GROUP = "g"

interface JoinOptions {
  readonly version?: number
  readonly instanceId?: string
  readonly protocols?: ReadonlyArray<string>
  readonly topics?: ReadonlyArray<string>
  readonly protocolType?: string
  readonly session?: number
  readonly rebalance?: number
  readonly group?: string
}

const join = (h: Harness, memberId: string, options: JoinOptions = {}) => {
  const version = options.version ?? 9
  return h.joinGroup(version, {
    groupId: options.group ?? GROUP,
    sessionTimeoutMs: options.session ?? 10_000,
    rebalanceTimeoutMs: options.rebalance ?? 30_000,
    memberId,
    groupInstanceId: options.instanceId ?? null,
    protocolType: options.protocolType ?? "consumer",
    protocols: (options.protocols ?? ["range"]).map((name) => ({
      name,
      metadata: subscription(...options.topics ?? ["in"])
    }))
  })
}

const joinNew = (h: Harness, options: JoinOptions = {}) => {
  if (options.instanceId !== undefined || (options.version ?? 9) < 4) return join(h, "", options)
  const first = join(h, "", options).value
  assert.strictEqual(first.errorCode, 79)
  return join(h, first.memberId, options)
}

const sync = (
  h: Harness,
  memberId: string,
  generation: number,
  assignments: Record<string, number> = {},
  options: { readonly instanceId?: string; readonly version?: number; readonly protocol?: string } = {}
) => {
  const version = options.version ?? 5
  return h.syncGroup(version, {
    groupId: GROUP,
    generationId: generation,
    memberId,
    groupInstanceId: options.instanceId ?? null,
    ...version >= 5 ? { protocolType: "consumer", protocolName: options.protocol ?? "range" } : {},
    assignments: Object.entries(assignments).map(([id, byte]) => ({ memberId: id, assignment: Uint8Array.of(byte) }))
  })
}

const beat = (h: Harness, memberId: string, generation: number, instanceId: string | null = null) =>
  h.heartbeat(4, { groupId: GROUP, generationId: generation, memberId, groupInstanceId: instanceId }).value.errorCode

/** A stable group of dynamic members; the first leads. */
const stable = (h: Harness, count: number, options: JoinOptions = {}): Array<string> => {
  const members = [joinNew(h, options).value.memberId]
  for (let i = 1; i < count; i++) {
    const joining = joinNew(h, options)
    for (const memberId of members.slice(0, -1)) join(h, memberId, options)
    join(h, members.at(-1)!, options)
    members.push(joining.value.memberId)
  }
  const generation = count
  const waiting = members.slice(1).map((memberId) => sync(h, memberId, generation))
  sync(h, members[0]!, generation, Object.fromEntries(members.map((memberId, i) => [memberId, i])))
  for (const call of waiting) assert.strictEqual(call.value.errorCode, 0)
  assert.strictEqual(h.coordinator.state(GROUP), "Stable")
  return members
}

describe("joining a classic group", () => {
  it("gives a dynamic member its id first, from version 4 on", () => {
    const h = new Harness()
    const answer = join(h, "").value
    assert.strictEqual(answer.errorCode, 79)
    assert.strictEqual(answer.memberId, "test-00000000-0000-0000-0000-000000000001")
    assert.strictEqual(join(h, answer.memberId).value.errorCode, 0)
    assert.strictEqual(join(new Harness(), "", { version: 3 }).value.errorCode, 0)
  })

  it("refuses what no group can work with", () => {
    const h = new Harness()
    assert.strictEqual(join(h, "", { group: "" }).value.errorCode, 24)
    assert.strictEqual(join(h, "", { session: 5_999 }).value.errorCode, 26)
    assert.strictEqual(join(h, "", { session: 1_800_001 }).value.errorCode, 26)
    assert.strictEqual(join(h, "stranger").value.errorCode, 25)
    assert.strictEqual(join(h, "", { protocols: [] }).value.errorCode, 23)
    assert.strictEqual(join(h, "", { protocolType: "" }).value.errorCode, 23)
  })

  it("refuses a member that shares no protocol, or type, with the others", () => {
    const h = new Harness()
    stable(h, 1)
    assert.strictEqual(join(h, "", { protocols: ["sticky"] }).value.errorCode, 23)
    assert.strictEqual(join(h, "", { protocolType: "connect" }).value.errorCode, 23)
  })

  it("takes the protocol that all support and most prefer", () => {
    const h = new Harness()
    const a = joinNew(h, { protocols: ["range", "sticky", "own"] }).value.memberId
    const b = joinNew(h, { protocols: ["sticky", "range"] })
    const c = joinNew(h, { protocols: ["sticky", "range"] })
    assert.strictEqual(join(h, a, { protocols: ["range", "sticky", "own"] }).value.protocolName, "sticky")
    assert.strictEqual(b.value.protocolName, "sticky")
    assert.strictEqual(c.value.generationId, 2)
  })

  it("tells only the leader who the members are", () => {
    const h = new Harness()
    const leader = joinNew(h).value
    assert.deepStrictEqual(leader.members.map((it) => it.memberId), [leader.memberId])
    const follower = joinNew(h)
    const again = join(h, leader.memberId).value
    assert.deepStrictEqual(
      again.members.map((it) => it.memberId).sort(),
      [leader.memberId, follower.value.memberId].sort()
    )
    assert.deepStrictEqual(follower.value.members, [])
    assert.strictEqual(follower.value.leader, leader.memberId)
  })

  it("delays the first rebalance while new members keep coming, within the rebalance timeout", () => {
    const h = new Harness({ initialRebalanceDelay: 3_000 })
    const a = joinNew(h, { rebalance: 8_000 })
    h.pass(2_000)
    const b = joinNew(h, { rebalance: 8_000 })
    h.pass(1_500)
    assert.isTrue(a.isWaiting)
    h.pass(2_500)
    assert.strictEqual(a.value.generationId, 1)
    assert.strictEqual(b.value.generationId, 1)
  })

  it("answers a repeated JoinGroup again while the assignment is awaited, and a follower's while it is stable", () => {
    const h = new Harness()
    const [a, b] = stable(h, 2)
    assert.strictEqual(join(h, b!).value.generationId, 2)
    assert.strictEqual(h.coordinator.state(GROUP), "Stable")
    const leader = join(h, a!)
    assert.isTrue(leader.isWaiting)
    join(h, b!)
    assert.strictEqual(leader.value.generationId, 3)
    assert.strictEqual(join(h, a!).value.members.length, 2)
    assert.strictEqual(h.coordinator.state(GROUP), "CompletingRebalance")
  })

  it("has room for as many members as it may have", () => {
    const h = new Harness({ maxSize: 1 })
    stable(h, 1)
    assert.strictEqual(join(h, "").value.errorCode, 81)
  })

  it("answers both requests of a member that came again over another connection", () => {
    const h = new Harness()
    const [a, b] = stable(h, 2)
    const first = join(h, a!)
    const second = join(h, a!)
    assert.strictEqual(first.value.errorCode, 27)
    assert.isTrue(second.isWaiting)
    join(h, b!)
    assert.strictEqual(second.value.generationId, 3)
  })
})

describe("the assignment of a classic group", () => {
  it("reaches every member when the leader sends it, and whoever asks later", () => {
    const h = new Harness()
    const a = joinNew(h).value.memberId
    const joining = joinNew(h)
    join(h, a)
    const b = joining.value.memberId
    sync(h, a, 2, { [a]: 1, [b]: 2 })
    assert.deepStrictEqual(sync(h, b, 2).value.assignment, Uint8Array.of(2))
    assert.deepStrictEqual(sync(h, a, 2).value.assignment, Uint8Array.of(1))
  })

  it("refuses a wrong member, generation or protocol, and one while the group rebalances", () => {
    const h = new Harness()
    const [a] = stable(h, 1)
    assert.strictEqual(sync(h, "stranger", 1).value.errorCode, 25)
    assert.strictEqual(sync(h, a!, 2).value.errorCode, 22)
    assert.strictEqual(sync(h, a!, 1, {}, { protocol: "sticky" }).value.errorCode, 23)
    assert.strictEqual(
      h.syncGroup(5, { groupId: GROUP, generationId: 1, memberId: a!, assignments: [] }).value.errorCode,
      23
    )
    joinNew(h)
    assert.strictEqual(sync(h, a!, 1).value.errorCode, 27)
  })

  it("is void when a member joins before it arrived", () => {
    const h = new Harness()
    const a = joinNew(h).value.memberId
    const joining = joinNew(h)
    join(h, a)
    const waiting = sync(h, joining.value.memberId, 2)
    joinNew(h)
    assert.strictEqual(waiting.value.errorCode, 27)
  })
})

describe("heartbeats of a classic group", () => {
  it("report a rebalance while members are awaited, and nothing while only the assignment is", () => {
    const h = new Harness()
    const [a, b] = stable(h, 2)
    assert.strictEqual(beat(h, a!, 2), 0)
    const joining = joinNew(h)
    assert.strictEqual(beat(h, a!, 2), 27)
    join(h, a!)
    join(h, b!)
    assert.strictEqual(joining.value.errorCode, 0)
    assert.strictEqual(beat(h, a!, 3), 0)
    assert.strictEqual(beat(h, a!, 2), 22)
    assert.strictEqual(beat(h, "stranger", 3), 25)
  })

  it("keep a member in the group, and so do its commits", () => {
    const h = new Harness()
    const [a] = stable(h, 1)
    for (let i = 0; i < 4; i++) {
      h.pass(6_000)
      assert.strictEqual(beat(h, a!, 1), 0)
      h.pass(6_000)
      h.offsetCommit(9, {
        groupId: GROUP,
        generationIdOrMemberEpoch: 1,
        memberId: a!,
        topics: [{ name: "in", partitions: [{ partitionIndex: 0, committedOffset: 1n, committedMetadata: null }] }]
      })
    }
    assert.strictEqual(beat(h, a!, 1), 0)
    h.pass(10_000)
    assert.strictEqual(beat(h, a!, 1), 25)
    assert.strictEqual(h.coordinator.state(GROUP), "Empty")
  })
})

describe("a silent member of a classic group", () => {
  it("is put out at the rebalance timeout when it does not join again", () => {
    const h = new Harness()
    const [a, b] = stable(h, 2, { rebalance: 5_000 })
    const joining = joinNew(h, { rebalance: 5_000 })
    assert.isTrue(join(h, b!, { rebalance: 5_000 }).isWaiting)
    h.pass(4_999)
    assert.isTrue(joining.isWaiting)
    h.pass(1)
    assert.strictEqual(joining.value.generationId, 3)
    assert.strictEqual(beat(h, a!, 2), 25)
  })

  it("is put out at its session timeout, if that comes first", () => {
    const h = new Harness()
    const [a, b] = stable(h, 2, { rebalance: 60_000, session: 6_000 })
    const joining = joinNew(h, { rebalance: 60_000 })
    join(h, b!)
    h.pass(6_000)
    assert.strictEqual(joining.value.generationId, 3)
    assert.strictEqual(beat(h, a!, 2), 25)
  })

  it("that leads is put out when it keeps the others waiting for the assignment", () => {
    const h = new Harness()
    const a = joinNew(h, { rebalance: 4_000 }).value.memberId
    const joining = joinNew(h, { rebalance: 4_000 })
    join(h, a, { rebalance: 4_000 })
    const b = joining.value.memberId
    const waiting = sync(h, b, 2)
    h.pass(4_000)
    assert.strictEqual(waiting.value.errorCode, 27)
    const alone = join(h, b, { rebalance: 4_000 }).value
    assert.strictEqual(alone.leader, b)
    assert.strictEqual(sync(h, b, alone.generationId, { [b]: 1 }).value.errorCode, 0)
  })

  it("is put out when it never asks for its assignment, though the group is stable", () => {
    const h = new Harness()
    const a = joinNew(h, { rebalance: 4_000, session: 60_000 }).value.memberId
    const joining = joinNew(h, { rebalance: 4_000, session: 60_000 })
    join(h, a, { rebalance: 4_000, session: 60_000 })
    sync(h, a, 2, { [a]: 1 })
    assert.strictEqual(h.coordinator.state(GROUP), "Stable")
    h.pass(4_000)
    assert.strictEqual(beat(h, a, 2), 27)
    assert.strictEqual(beat(h, joining.value.memberId, 2), 25)
  })

  it("whose connection broke while it waits to join does not hold up those who come after it", () => {
    const h = new Harness({ newMemberJoinTimeout: 20_000 })
    const [a] = stable(h, 1, { rebalance: 120_000, session: 60_000 })
    const gone = joinNew(h, { rebalance: 120_000, session: 60_000 })
    const heartbeats = setHeartbeats(h, a!, 1)
    heartbeats(20_000)
    assert.strictEqual(gone.value.errorCode, 25)
    assert.strictEqual(beat(h, a!, 1), 27)
    assert.strictEqual(join(h, a!, { rebalance: 120_000 }).value.generationId, 2)
  })

  it("that was given an id and does not come back holds up nobody longer than its session", () => {
    const h = new Harness()
    const [a] = stable(h, 1, { rebalance: 60_000 })
    assert.strictEqual(join(h, "", { session: 6_000 }).value.errorCode, 79)
    const again = join(h, a!, { protocols: ["range", "sticky"] })
    assert.isTrue(again.isWaiting)
    h.pass(6_000)
    assert.strictEqual(again.value.generationId, 2)
  })
})

const setHeartbeats = (h: Harness, memberId: string, generation: number) => (millis: number): void => {
  for (let passed = 0; passed < millis; passed += 1_000) {
    h.pass(1_000)
    beat(h, memberId, generation)
  }
}

describe("leaving a classic group", () => {
  it("lets the others rebalance at once", () => {
    const h = new Harness()
    const [a, b] = stable(h, 2)
    assert.strictEqual(h.leaveGroup(0, { groupId: GROUP, memberId: b! }).value.errorCode, 0)
    assert.strictEqual(beat(h, a!, 2), 27)
    assert.strictEqual(join(h, a!).value.generationId, 3)
  })

  it("answers the request that the member was waiting with", () => {
    const h = new Harness()
    const [a, b] = stable(h, 2)
    const waiting = join(h, a!)
    h.leaveGroup(2, { groupId: GROUP, memberId: a! })
    assert.strictEqual(waiting.value.errorCode, 25)
    assert.strictEqual(join(h, b!).value.leader, b)
  })

  it("answers the SyncGroup that the member was waiting with", () => {
    const h = new Harness()
    const a = joinNew(h).value.memberId
    const joining = joinNew(h)
    join(h, a)
    const b = joining.value.memberId
    const waiting = sync(h, b, 2)
    h.leaveGroup(2, { groupId: GROUP, memberId: b })
    assert.strictEqual(waiting.value.errorCode, 25)
    assert.strictEqual(h.waiting, 0)
  })

  it("works for several at once, each with an answer of its own", () => {
    const h = new Harness()
    const [a, b] = stable(h, 2)
    const pending = join(h, "").value.memberId
    const answer = h.leaveGroup(5, {
      groupId: GROUP,
      members: [{ memberId: a! }, { memberId: "stranger" }, { memberId: pending }, {
        memberId: "",
        groupInstanceId: "i"
      }]
    }).value
    assert.deepStrictEqual(answer.members.map((it) => it.errorCode), [0, 25, 0, 25])
    assert.strictEqual(beat(h, b!, 2), 27)
  })

  it("of an unknown group is answered per member, below version 3 as a whole", () => {
    const h = new Harness()
    const batched = h.leaveGroup(3, { groupId: "none", members: [{ memberId: "m" }] }).value
    assert.strictEqual(batched.errorCode, 0)
    assert.strictEqual(batched.members[0]!.errorCode, 25)
    assert.strictEqual(h.leaveGroup(2, { groupId: "none", memberId: "m" }).value.errorCode, 25)
  })

  it("empties the group when the last one leaves", () => {
    const h = new Harness()
    const [a] = stable(h, 1)
    h.leaveGroup(0, { groupId: GROUP, memberId: a! })
    assert.strictEqual(h.coordinator.state(GROUP), "Empty")
    assert.strictEqual(joinNew(h).value.generationId, 3)
  })
})

describe("static members of a classic group", () => {
  const staticPair = (h: Harness): readonly [string, string] => {
    const a = joinNew(h, { instanceId: "i1" }).value.memberId
    const joining = joinNew(h, { instanceId: "i2" })
    join(h, a, { instanceId: "i1" })
    const b = joining.value.memberId
    sync(h, a, 2, { [a]: 1, [b]: 2 }, { instanceId: "i1" })
    sync(h, b, 2, {}, { instanceId: "i2" })
    return [a, b]
  }

  it("come back under a new id to their old assignment, without a rebalance, and fence the old id", () => {
    const h = new Harness()
    const [a, b] = staticPair(h)
    const back = join(h, "", { instanceId: "i2" }).value
    assert.strictEqual(back.errorCode, 0)
    assert.strictEqual(back.generationId, 2)
    assert.notStrictEqual(back.memberId, b)
    assert.deepStrictEqual(sync(h, back.memberId, 2, {}, { instanceId: "i2" }).value.assignment, Uint8Array.of(2))
    assert.strictEqual(beat(h, a, 2, "i1"), 0)
    assert.strictEqual(beat(h, b, 2, "i2"), 82)
    assert.strictEqual(beat(h, b, 2), 25)
    assert.strictEqual(join(h, b, { instanceId: "i2" }).value.errorCode, 82)
    assert.strictEqual(sync(h, b, 2, {}, { instanceId: "i2" }).value.errorCode, 82)
  })

  it("that lead are told to skip the assignment, or below version 9 who led before", () => {
    const h = new Harness()
    const [a] = staticPair(h)
    const back = join(h, "", { instanceId: "i1" }).value
    assert.isTrue(back.skipAssignment)
    assert.strictEqual(back.leader, back.memberId)
    assert.strictEqual(back.members.length, 2)
    const older = join(h, "", { instanceId: "i1", version: 8 }).value
    assert.strictEqual(older.leader, back.memberId)
    assert.deepStrictEqual(older.members, [])
    assert.notStrictEqual(a, back.memberId)
  })

  it("keep their place for the session timeout, though a rebalance goes on without them", () => {
    const h = new Harness()
    const a = joinNew(h, { instanceId: "i1", rebalance: 5_000, session: 20_000 }).value.memberId
    const joining = joinNew(h, { rebalance: 5_000, session: 20_000 })
    h.pass(5_000)
    const { generationId, leader, memberId, members } = joining.value
    assert.strictEqual(leader, memberId)
    assert.strictEqual(members.length, 2)
    sync(h, memberId, generationId, { [memberId]: 1, [a]: 2 })
    const back = join(h, "", { instanceId: "i1", rebalance: 5_000, session: 20_000 }).value
    assert.deepStrictEqual(
      sync(h, back.memberId, generationId, {}, { instanceId: "i1" }).value.assignment,
      Uint8Array.of(2)
    )
  })

  it("rebalance when they come back with a subscription that changes the protocol", () => {
    const h = new Harness()
    const a = joinNew(h, { instanceId: "i1", protocols: ["range", "sticky"] }).value.memberId
    sync(h, a, 1, { [a]: 1 }, { instanceId: "i1" })
    const back = join(h, "", { instanceId: "i1", protocols: ["sticky", "range"] }).value
    assert.strictEqual(back.generationId, 2)
    assert.strictEqual(back.protocolName, "sticky")
  })

  it("fence what their former id still waited for", () => {
    const h = new Harness()
    const [a] = staticPair(h)
    const waiting = join(h, a, { instanceId: "i1" })
    assert.isTrue(waiting.isWaiting)
    assert.isTrue(join(h, "", { instanceId: "i1" }).isWaiting)
    assert.strictEqual(waiting.value.errorCode, 82)
  })

  it("can be removed by their instance id", () => {
    const h = new Harness()
    const [a] = staticPair(h)
    const answer = h.leaveGroup(3, {
      groupId: GROUP,
      members: [{ memberId: "", groupInstanceId: "i2" }, { memberId: "other", groupInstanceId: "i1" }]
    }).value
    assert.deepStrictEqual(answer.members.map((it) => it.errorCode), [0, 82])
    assert.strictEqual(beat(h, a, 2, "i1"), 27)
  })
})

describe("a classic group whose coordinator starts again", () => {
  it("is where its last assignment was, and its members go on", () => {
    const h = new Harness()
    const [a, b] = stable(h, 2)
    joinNew(h)
    h.restart()
    assert.strictEqual(h.coordinator.state(GROUP), "Stable")
    assert.strictEqual(beat(h, a!, 2), 0)
    assert.deepStrictEqual(sync(h, b!, 2).value.assignment, Uint8Array.of(1))
    h.pass(10_000)
    assert.strictEqual(beat(h, a!, 2), 25)
  })

  it("tells those who wait to look for the coordinator", () => {
    const h = new Harness()
    const [a] = stable(h, 2)
    const joining = joinNew(h)
    const again = join(h, a!)
    h.deliver(h.coordinator.moved((groupId) => groupId === GROUP, h.now))
    assert.strictEqual(joining.value.errorCode, 16)
    assert.strictEqual(again.value.errorCode, 16)
    assert.strictEqual(h.waiting, 0)
    assert.strictEqual(beat(h, a!, 2), 0)
  })
})

describe("sessions brought nearer", () => {
  it("end without time passing, while a rebalance keeps its time", () => {
    const h = new Harness()
    const [a] = stable(h, 1)
    h.advance("sessions", 9_999)
    assert.strictEqual(h.coordinator.state(GROUP), "Stable")
    h.advance("sessions", 1)
    assert.strictEqual(h.coordinator.state(GROUP), "Empty")
    assert.strictEqual(beat(h, a!, 1), 25)
  })
})
