import { assert, describe, it } from "@effect/vitest"
import type { GroupOptions } from "../../src/group/GroupCoordinator.ts"
import { Harness } from "./Harness.ts"

const GROUP = "g"

interface BeatOptions {
  readonly owned?: ReadonlyArray<number>
  readonly topic?: string
  readonly topics?: ReadonlyArray<string>
  readonly regex?: string
  readonly instanceId?: string
  readonly assignor?: string
  readonly rebalance?: number
  readonly version?: number
}

/** Most tests are about what a target does, not about how often one is computed. */
const harness = (options: Partial<GroupOptions> = {}) => new Harness({ consumerAssignmentInterval: 0, ...options })

const heartbeat = (h: Harness, memberId: string, epoch: number, options: BeatOptions = {}) => {
  const joins = epoch === 0
  return h.consumerHeartbeat(options.version ?? 1, {
    groupId: GROUP,
    memberId,
    memberEpoch: epoch,
    instanceId: options.instanceId ?? null,
    rackId: null,
    rebalanceTimeoutMs: joins ? options.rebalance ?? 30_000 : -1,
    subscribedTopicNames: options.topics ?? (joins && options.regex === undefined ? ["in"] : null),
    ...options.regex === undefined ? {} : { subscribedTopicRegex: options.regex },
    serverAssignor: options.assignor ?? null,
    topicPartitions: options.owned === undefined
      ? joins ? [] : null
      : [{ topicId: h.idOf(options.topic ?? "in"), partitions: options.owned }]
  }).value
}

const partitions = (answer: ReturnType<typeof heartbeat>): ReadonlyArray<number> | null =>
  answer.assignment === null ? null : answer.assignment.topicPartitions.flatMap((topic) => topic.partitions)

const description = (h: Harness) =>
  h.consumerDescribe(1, { groupIds: [GROUP], includeAuthorizedOperations: false }).value.groups[0]!

describe("joining a consumer group", () => {
  it("gives the first member everything, in the second epoch of the group", () => {
    const h = harness()
    const answer = heartbeat(h, "a", 0)
    assert.strictEqual(answer.errorCode, 0)
    assert.strictEqual(answer.memberEpoch, 2)
    assert.strictEqual(answer.heartbeatIntervalMs, 5_000)
    assert.deepStrictEqual(partitions(answer), [0, 1, 2, 3])
    assert.strictEqual(description(h).groupState, "Stable")
  })

  it("gives a member without an id one, in version 0 only", () => {
    const h = harness()
    assert.strictEqual(heartbeat(h, "", 0, { version: 0 }).memberId, "AAAAAAAAAAAAAAAAAAAAAQ")
    assert.strictEqual(heartbeat(h, "", 0).errorCode, 42)
  })

  it("refuses requests that cannot be meant", () => {
    const h = harness()
    const refused = (memberId: string, epoch: number, input: object) =>
      h.consumerHeartbeat(1, {
        groupId: GROUP,
        memberId,
        memberEpoch: epoch,
        rebalanceTimeoutMs: 1,
        subscribedTopicNames: ["in"],
        topicPartitions: [],
        ...input
      }).value.errorCode
    assert.strictEqual(refused("a", 0, { groupId: "" }), 42)
    assert.strictEqual(refused("a", 0, { instanceId: "" }), 42)
    assert.strictEqual(refused("a", 0, { rackId: "" }), 42)
    assert.strictEqual(refused("a", 0, { rebalanceTimeoutMs: -1 }), 42)
    assert.strictEqual(refused("a", 0, { topicPartitions: null }), 42)
    assert.strictEqual(refused("a", 0, { subscribedTopicNames: null }), 42)
    assert.strictEqual(refused("a", -2, {}), 42)
    assert.strictEqual(refused("a", -3, {}), 42)
    assert.strictEqual(refused("a", 0, { serverAssignor: "sticky" }), 112)
    assert.strictEqual(h.coordinator.state(GROUP), "Dead")
  })

  it("has room for as many members as it may have", () => {
    const h = harness({ maxSize: 1 })
    heartbeat(h, "a", 0)
    assert.strictEqual(heartbeat(h, "b", 0).errorCode, 81)
    assert.strictEqual(heartbeat(h, "a", 2).errorCode, 0)
  })

  it("may be repeated by a member whose answer was lost, or that starts over", () => {
    const h = harness()
    heartbeat(h, "a", 0)
    const again = heartbeat(h, "a", 0)
    assert.strictEqual(again.memberEpoch, 2)
    assert.deepStrictEqual(partitions(again), [0, 1, 2, 3])
  })

  it("is refused while a classic group of that name has members, and takes it over when it is empty", () => {
    const h = harness()
    const join = (memberId: string) =>
      h.joinGroup(3, {
        groupId: GROUP,
        sessionTimeoutMs: 6_000,
        rebalanceTimeoutMs: 6_000,
        memberId,
        protocolType: "consumer",
        protocols: [{ name: "range", metadata: new Uint8Array(0) }]
      })
    const { memberId } = join("").value
    assert.strictEqual(heartbeat(h, "a", 0).errorCode, 69)
    h.leaveGroup(2, { groupId: GROUP, memberId })
    assert.strictEqual(heartbeat(h, "a", 0).errorCode, 0)
    assert.strictEqual(join("").value.errorCode, 23)
    heartbeat(h, "a", -1)
    assert.strictEqual(join("").value.errorCode, 0)
  })
})

describe("reconciling a consumer group", () => {
  it("gives a partition to a new owner only after the old one has given it up", () => {
    const h = harness()
    heartbeat(h, "a", 0)
    const b = heartbeat(h, "b", 0)
    assert.strictEqual(b.memberEpoch, 3)
    assert.deepStrictEqual(partitions(b), [])
    const told = heartbeat(h, "a", 2, { owned: [0, 1, 2, 3] })
    assert.strictEqual(told.memberEpoch, 2)
    assert.deepStrictEqual(partitions(told), [0, 1])
    assert.isNull(partitions(heartbeat(h, "b", 3)))
    assert.isNull(partitions(heartbeat(h, "a", 2)))
    assert.strictEqual(heartbeat(h, "a", 2, { owned: [0, 1, 2] }).memberEpoch, 2)
    assert.strictEqual(heartbeat(h, "a", 2, { owned: [0, 1] }).memberEpoch, 3)
    assert.deepStrictEqual(partitions(heartbeat(h, "b", 3)), [2, 3])
    assert.strictEqual(description(h).groupState, "Stable")
  })

  it("describes what a member is still to give up as its own", () => {
    const h = harness()
    heartbeat(h, "a", 0)
    heartbeat(h, "b", 0)
    heartbeat(h, "a", 2)
    const group = description(h)
    assert.strictEqual(group.groupState, "Reconciling")
    const a = group.members.find(({ memberId }) => memberId === "a")!
    assert.deepStrictEqual(a.assignment.topicPartitions.map((it) => [it.topicName, [...it.partitions].sort()]), [
      ["in", [0, 1, 2, 3]]
    ])
    assert.deepStrictEqual(a.targetAssignment.topicPartitions.map((it) => it.partitions), [[0, 1]])
    assert.strictEqual(a.memberType, 1)
    assert.strictEqual(a.clientHost, "/::1")
  })

  it("puts out a member that does not give up in its rebalance timeout", () => {
    const h = harness()
    heartbeat(h, "a", 0, { rebalance: 4_000 })
    heartbeat(h, "b", 0)
    heartbeat(h, "a", 2)
    h.pass(3_999)
    assert.strictEqual(heartbeat(h, "a", 2).errorCode, 0)
    h.pass(1)
    assert.strictEqual(heartbeat(h, "a", 2).errorCode, 25)
    assert.deepStrictEqual(partitions(heartbeat(h, "b", 3)), [0, 1, 2, 3])
  })

  it("puts out a member that is silent for the session timeout", () => {
    const h = harness()
    heartbeat(h, "a", 0)
    h.pass(44_999)
    heartbeat(h, "b", 0)
    h.pass(1)
    assert.strictEqual(heartbeat(h, "a", 2).errorCode, 25)
    assert.deepStrictEqual(partitions(heartbeat(h, "b", 3)), [0, 1, 2, 3])
  })

  it("sends the whole assignment when a member sends everything it has", () => {
    const h = harness()
    heartbeat(h, "a", 0)
    const full = h.consumerHeartbeat(1, {
      groupId: GROUP,
      memberId: "a",
      memberEpoch: 2,
      rebalanceTimeoutMs: 30_000,
      subscribedTopicNames: ["in"],
      topicPartitions: []
    }).value
    assert.deepStrictEqual(partitions(full), [0, 1, 2, 3])
    assert.isNull(partitions(heartbeat(h, "a", 2)))
  })

  it("computes a new target at most once per interval", () => {
    const h = new Harness()
    heartbeat(h, "a", 0)
    const b = heartbeat(h, "b", 0)
    assert.strictEqual(b.memberEpoch, 2)
    assert.strictEqual(description(h).groupState, "Assigning")
    h.pass(999)
    assert.strictEqual(heartbeat(h, "b", 2).memberEpoch, 2)
    h.pass(1)
    assert.strictEqual(heartbeat(h, "b", 2).memberEpoch, 3)
  })

  it("follows topics that are created and grow", () => {
    const h = harness()
    heartbeat(h, "a", 0, { topics: ["in", "late"] })
    h.topic("late", 1)
    const created = heartbeat(h, "a", 2, { owned: [0, 1, 2, 3] })
    assert.strictEqual(created.memberEpoch, 3)
    assert.strictEqual(partitions(created)!.length, 5)
    h.topic("late", 3)
    assert.strictEqual(partitions(heartbeat(h, "a", 3))!.length, 7)
    h.topic("unrelated", 3)
    assert.strictEqual(heartbeat(h, "a", 4).memberEpoch, 4)
  })

  it("takes away a topic at once when a member no longer subscribes to it", () => {
    const h = new Harness()
    heartbeat(h, "a", 0, { topics: ["in", "other"] })
    const changed = heartbeat(h, "a", 2, { topics: ["in"], owned: [0, 1, 2, 3] })
    assert.strictEqual(changed.memberEpoch, 2)
    assert.deepStrictEqual(partitions(changed), [0, 1, 2, 3])
  })

  it("knows what a pattern stands for one heartbeat later", () => {
    const h = harness()
    const joined = heartbeat(h, "a", 0, { regex: "i.*" })
    assert.strictEqual(joined.memberEpoch, 1)
    assert.deepStrictEqual(partitions(joined), [])
    assert.deepStrictEqual(partitions(heartbeat(h, "a", 1)), [0, 1, 2, 3])
    h.topic("in2", 2)
    assert.strictEqual(partitions(heartbeat(h, "a", 2))!.length, 6)
    assert.strictEqual(heartbeat(h, "b", 0, { regex: "(" }).errorCode, 128)
    assert.strictEqual(heartbeat(h, "b", 0, { regex: "(?!in).*" }).errorCode, 128)
  })
})

describe("the epoch of a member", () => {
  it("must be the one it was told, or the one before when that answer was lost", () => {
    const h = harness()
    heartbeat(h, "a", 0)
    heartbeat(h, "b", 0)
    heartbeat(h, "a", 2, { owned: [0, 1, 2, 3] })
    assert.strictEqual(heartbeat(h, "a", 2, { owned: [0, 1] }).memberEpoch, 3)
    assert.strictEqual(heartbeat(h, "a", 2, { owned: [0, 1] }).memberEpoch, 3)
    assert.strictEqual(heartbeat(h, "a", 2, { owned: [0, 1, 2] }).errorCode, 110)
    assert.strictEqual(heartbeat(h, "a", 2).errorCode, 110)
    assert.strictEqual(heartbeat(h, "a", 1, { owned: [] }).errorCode, 110)
    assert.strictEqual(heartbeat(h, "a", 4).errorCode, 110)
    assert.strictEqual(heartbeat(h, "stranger", 3).errorCode, 25)
    assert.strictEqual(heartbeat(harness(), "a", 3).errorCode, 69)
  })
})

describe("leaving a consumer group", () => {
  it("frees what the member had", () => {
    const h = harness()
    heartbeat(h, "a", 0)
    heartbeat(h, "b", 0)
    const left = heartbeat(h, "a", -1)
    assert.strictEqual(left.memberEpoch, -1)
    assert.deepStrictEqual(partitions(heartbeat(h, "b", 3)), [0, 1, 2, 3])
    assert.strictEqual(heartbeat(h, "a", -1).errorCode, 25)
    heartbeat(h, "b", -1)
    assert.strictEqual(description(h).groupState, "Empty")
  })

  it("for a while keeps a static member's place, which a successor takes over without a rebalance", () => {
    const h = harness()
    heartbeat(h, "a", 0, { instanceId: "i" })
    assert.strictEqual(heartbeat(h, "b", 0, { instanceId: "i" }).errorCode, 111)
    assert.strictEqual(heartbeat(h, "a", 0, { instanceId: "i" }).errorCode, 111)
    assert.strictEqual(heartbeat(h, "b", 2, { instanceId: "i" }).errorCode, 82)
    assert.strictEqual(heartbeat(h, "a", 2, { instanceId: "j" }).errorCode, 25)
    assert.strictEqual(heartbeat(h, "a", -2, { instanceId: "i" }).memberEpoch, -2)
    assert.strictEqual(heartbeat(h, "a", 2, { instanceId: "i" }).errorCode, 110)
    const back = heartbeat(h, "b", 0, { instanceId: "i" })
    assert.strictEqual(back.memberEpoch, 2)
    assert.deepStrictEqual(partitions(back), [0, 1, 2, 3])
    assert.strictEqual(heartbeat(h, "a", 2, { instanceId: "i" }).errorCode, 82)
  })

  it("of a static member is final after the session timeout", () => {
    const h = harness()
    heartbeat(h, "a", 0, { instanceId: "i" })
    heartbeat(h, "a", -2, { instanceId: "i" })
    h.pass(45_000)
    assert.strictEqual(h.coordinator.state(GROUP), "Empty")
  })
})

describe("the assignors", () => {
  const targets = (h: Harness) =>
    Object.fromEntries(
      description(h).members.map(({ memberId, targetAssignment }) => [
        memberId,
        Object.fromEntries(targetAssignment.topicPartitions.map((it) => [it.topicName, it.partitions]))
      ])
    )

  it("range gives neighbouring partitions of each topic to members in the order of their ids", () => {
    const h = harness()
    h.topic("in", 5)
    const both = { assignor: "range", topics: ["in", "other"] }
    heartbeat(h, "b", 0, both)
    heartbeat(h, "a", 0, both)
    assert.deepStrictEqual(targets(h), { a: { in: [0, 1, 2], other: [0] }, b: { in: [3, 4], other: [1] } })
    assert.strictEqual(description(h).assignorName, "range")
  })

  it("uniform moves no more than it must", () => {
    const h = harness()
    h.topic("in", 5)
    heartbeat(h, "a", 0)
    heartbeat(h, "b", 0)
    assert.deepStrictEqual(targets(h), { a: { in: [0, 1, 2] }, b: { in: [3, 4] } })
    heartbeat(h, "c", 0)
    assert.deepStrictEqual(targets(h), { a: { in: [0, 1] }, b: { in: [3, 4] }, c: { in: [2] } })
    heartbeat(h, "b", -1)
    heartbeat(h, "c", 4)
    assert.deepStrictEqual(targets(h), { a: { in: [0, 1] }, c: { in: [2, 3, 4] } })
  })

  it("uniform balances members with different subscriptions", () => {
    const h = harness()
    heartbeat(h, "a", 0, { topics: ["in", "other"] })
    heartbeat(h, "b", 0, { topics: ["in"] })
    heartbeat(h, "c", 0, { topics: ["other"] })
    const target = targets(h)
    const count = (memberId: string) => Object.values(target[memberId]!).reduce((sum, it) => sum + it.length, 0)
    assert.deepStrictEqual([count("a"), count("b"), count("c")], [2, 2, 2])
    assert.deepStrictEqual(Object.keys(target["b"]!), ["in"])
    assert.deepStrictEqual(Object.keys(target["c"]!), ["other"])
  })
})

describe("a consumer group whose coordinator starts again", () => {
  it("goes on where it was, revocations included", () => {
    const h = harness()
    heartbeat(h, "a", 0, { rebalance: 4_000 })
    heartbeat(h, "b", 0)
    heartbeat(h, "a", 2, { owned: [0, 1, 2, 3] })
    h.restart()
    assert.strictEqual(heartbeat(h, "a", 2).memberEpoch, 2)
    assert.isNull(partitions(heartbeat(h, "b", 3)))
    assert.strictEqual(heartbeat(h, "a", 2, { owned: [0, 1] }).memberEpoch, 3)
    assert.deepStrictEqual(partitions(heartbeat(h, "b", 3)), [2, 3])
  })

  it("still puts out a member that does not give up", () => {
    const h = harness()
    heartbeat(h, "a", 0, { rebalance: 4_000 })
    heartbeat(h, "b", 0)
    heartbeat(h, "a", 2)
    h.deliver(h.coordinator.moved(() => true, h.now))
    h.pass(4_000)
    assert.strictEqual(heartbeat(h, "a", 2).errorCode, 25)
  })
})
