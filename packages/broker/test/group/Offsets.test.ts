import { assert, describe, it } from "@effect/vitest"
import { Harness, subscription } from "./Harness.ts"

const GROUP = "g"
const NOBODY = { memberId: "", generation: -1 }

interface Member {
  readonly memberId: string
  readonly generation: number
  readonly instanceId?: string
}

const commit = (
  h: Harness,
  offset: number,
  member: Member = NOBODY,
  options: {
    readonly version?: number
    readonly group?: string
    readonly topic?: string
    readonly partitions?: ReadonlyArray<number>
    readonly metadata?: string | null
    readonly retention?: bigint
  } = {}
) => {
  const version = options.version ?? 9
  const topic = options.topic ?? "in"
  return h.offsetCommit(version, {
    groupId: options.group ?? GROUP,
    generationIdOrMemberEpoch: member.generation,
    memberId: member.memberId,
    groupInstanceId: member.instanceId ?? null,
    retentionTimeMs: options.retention ?? -1n,
    topics: [{
      ...version >= 10 ? { topicId: h.topics.get(topic)?.id ?? "AAAAAAAAAAAAAAAAAAAA_w" } : { name: topic },
      partitions: (options.partitions ?? [0]).map((partitionIndex) => ({
        partitionIndex,
        committedOffset: BigInt(offset),
        committedMetadata: options.metadata === undefined ? "" : options.metadata
      }))
    }]
  }).value.topics[0]!.partitions.map(({ errorCode }) => errorCode)
}

const commitInTransaction = (
  h: Harness,
  producerId: bigint,
  offset: number,
  member: Member = NOBODY,
  partition = 0,
  group = GROUP
) =>
  h.txnOffsetCommit(5, {
    transactionalId: `t${producerId}`,
    groupId: group,
    producerId,
    producerEpoch: 0,
    generationId: member.generation,
    memberId: member.memberId,
    groupInstanceId: member.instanceId ?? null,
    topics: [{
      name: "in",
      partitions: [{ partitionIndex: partition, committedOffset: BigInt(offset), committedMetadata: "" }]
    }]
  }).value.topics[0]!.partitions[0]!.errorCode

/** What is committed, or the error. */
const fetch = (h: Harness, partition = 0, requireStable = false, group = GROUP): string => {
  const topic = h.offsetFetch(7, {
    groupId: group,
    topics: [{ name: "in", partitionIndexes: [partition] }],
    requireStable
  })
    .value.topics[0]!
  const { committedOffset, errorCode } = topic.partitions[0]!
  return errorCode === 0 ? `${committedOffset}` : `error ${errorCode}`
}
const stable = (h: Harness, partition = 0) => fetch(h, partition, true)

const classicMember = (h: Harness, topics: ReadonlyArray<string> = ["in"]): Member => {
  const { generationId, memberId } = h.joinGroup(3, {
    groupId: GROUP,
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 10_000,
    memberId: "",
    protocolType: "consumer",
    protocols: [{ name: "range", metadata: subscription(...topics) }]
  }).value
  h.syncGroup(2, { groupId: GROUP, generationId, memberId, assignments: [] })
  return { memberId, generation: generationId }
}

const consumerHeartbeat = (h: Harness, memberId: string, epoch: number, owned: ReadonlyArray<number> | null) =>
  h.consumerHeartbeat(1, {
    groupId: GROUP,
    memberId,
    memberEpoch: epoch,
    rebalanceTimeoutMs: epoch === 0 ? 30_000 : -1,
    subscribedTopicNames: epoch === 0 ? ["in"] : null,
    topicPartitions: owned === null ? null : owned.length === 0 ? [] : [{ topicId: h.idOf("in"), partitions: owned }]
  }).value

describe("committing offsets", () => {
  it("without a group makes one that has only offsets", () => {
    const h = new Harness()
    assert.deepStrictEqual(commit(h, 5), [0])
    assert.strictEqual(fetch(h), "5")
    assert.deepStrictEqual(
      h.listGroups(5, { statesFilter: [], typesFilter: [] }).value.groups.map((it) => [
        it.groupId,
        it.groupState,
        it.protocolType,
        it.groupType
      ]),
      [[GROUP, "Empty", "", "classic"]]
    )
  })

  it("is refused to anyone but the members of the present generation", () => {
    const h = new Harness()
    const member = classicMember(h)
    assert.deepStrictEqual(commit(h, 1, member), [0])
    assert.deepStrictEqual(commit(h, 1, { ...member, generation: 2 }), [22])
    assert.deepStrictEqual(commit(h, 1, { ...member, generation: -1 }), [22])
    assert.deepStrictEqual(commit(h, 1, { ...member, memberId: "stranger" }), [25])
    assert.deepStrictEqual(commit(h, 1, { ...member, instanceId: "i" }), [25])
    assert.deepStrictEqual(commit(h, 1), [25])
  })

  it("with a generation to a group that is not there is refused, as each version can say it", () => {
    const h = new Harness()
    assert.deepStrictEqual(commit(h, 1, { memberId: "", generation: 3 }, { version: 8 }), [22])
    assert.deepStrictEqual(commit(h, 1, { memberId: "", generation: 3 }, { version: 9 }), [69])
    assert.strictEqual(h.coordinator.state(GROUP), "Dead")
  })

  it("waits for the assignment, but not for a rebalance to begin", () => {
    const h = new Harness()
    const member = classicMember(h)
    const join = () =>
      h.joinGroup(3, {
        groupId: GROUP,
        sessionTimeoutMs: 10_000,
        rebalanceTimeoutMs: 10_000,
        memberId: member.memberId,
        protocolType: "consumer",
        protocols: [{ name: "range", metadata: subscription("in") }]
      })
    const other = h.joinGroup(3, {
      groupId: GROUP,
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 10_000,
      memberId: "",
      protocolType: "consumer",
      protocols: [{ name: "range", metadata: subscription("in") }]
    })
    assert.deepStrictEqual(commit(h, 2, member), [0])
    const { generationId } = join().value
    assert.deepStrictEqual(commit(h, 3, { ...member, generation: generationId }), [27])
    assert.deepStrictEqual(commitInTransaction(h, 1n, 3, { ...member, generation: generationId }), 0)
    assert.strictEqual(other.value.errorCode, 0)
  })

  it("refuses partitions that do not exist and metadata that is too long, each for itself", () => {
    const h = new Harness()
    assert.deepStrictEqual(commit(h, 1, NOBODY, { partitions: [9, 0] }), [3, 0])
    assert.deepStrictEqual(commit(h, 1, NOBODY, { topic: "none" }), [3])
    assert.deepStrictEqual(commit(h, 1, NOBODY, { topic: "none", version: 10 }), [100])
    assert.deepStrictEqual(commit(h, 1, NOBODY, { version: 10 }), [0])
    assert.deepStrictEqual(commit(h, 1, NOBODY, { metadata: "m".repeat(4_097) }), [12])
    assert.deepStrictEqual(commit(h, 1, NOBODY, { metadata: "m".repeat(4_096) }), [0])
    assert.deepStrictEqual(commit(h, 1, NOBODY, { metadata: null }), [0])
  })

  it("by a member of a consumer group needs version 9 and its epoch", () => {
    const h = new Harness({ consumerAssignmentInterval: 0 })
    consumerHeartbeat(h, "a", 0, [])
    assert.deepStrictEqual(commit(h, 1, { memberId: "a", generation: 2 }, { version: 8 }), [35])
    assert.deepStrictEqual(commit(h, 1, { memberId: "a", generation: 2 }), [0])
    assert.deepStrictEqual(commit(h, 1, { memberId: "a", generation: 3 }), [113])
    assert.deepStrictEqual(commit(h, 1, { memberId: "a", generation: -1 }), [113])
    assert.deepStrictEqual(commit(h, 1, { memberId: "b", generation: 2 }), [25])
    assert.deepStrictEqual(commit(h, 1), [25])
  })

  it("in the epoch of their delivery works for partitions that stayed, and for none if one did not", () => {
    const h = new Harness({ consumerAssignmentInterval: 0 })
    consumerHeartbeat(h, "a", 0, [])
    consumerHeartbeat(h, "b", 0, [])
    consumerHeartbeat(h, "a", 2, [0, 1, 2, 3])
    const delivered = { memberId: "a", generation: 2 }
    assert.deepStrictEqual(commit(h, 1, delivered, { partitions: [3] }), [0])
    consumerHeartbeat(h, "a", 2, [0, 1])
    assert.deepStrictEqual(commit(h, 2, delivered, { partitions: [0] }), [0])
    assert.deepStrictEqual(commit(h, 2, delivered, { partitions: [3] }), [113])
    assert.deepStrictEqual(commit(h, 2, delivered, { partitions: [0, 3] }), [113, 113])
    assert.strictEqual(commitInTransaction(h, 1n, 2, delivered, 0), 0)
    assert.strictEqual(commitInTransaction(h, 1n, 2, delivered, 3), 22)
    // What a client may still do, and Kafka does not prevent.
    assert.deepStrictEqual(commit(h, 2, { memberId: "a", generation: 3 }, { partitions: [3] }), [0])
  })
})

describe("offsets of a transaction", () => {
  it("are seen when it commits, and never when it aborts", () => {
    const h = new Harness()
    commit(h, 1)
    assert.strictEqual(commitInTransaction(h, 7n, 5), 0)
    assert.strictEqual(fetch(h), "1")
    assert.strictEqual(stable(h), "error 88")
    assert.strictEqual(stable(h, 1), "-1")
    h.complete(7n, "abort")
    assert.strictEqual(stable(h), "1")
    commitInTransaction(h, 7n, 6)
    h.complete(7n, "commit")
    assert.strictEqual(stable(h), "6")
  })

  it("are checked like others, except that nobody in particular may commit to a live group", () => {
    const h = new Harness()
    const member = classicMember(h)
    assert.strictEqual(commitInTransaction(h, 1n, 1), 0)
    assert.strictEqual(commitInTransaction(h, 1n, 1, member), 0)
    assert.strictEqual(commitInTransaction(h, 1n, 1, { ...member, generation: 2 }), 22)
    assert.strictEqual(commitInTransaction(h, 1n, 1, { ...member, generation: 0 }), 22)
    assert.strictEqual(commitInTransaction(h, 1n, 1, { ...member, memberId: "stranger" }), 25)
    assert.strictEqual(commitInTransaction(h, 1n, 1, { memberId: "", generation: 1 }, 0, "none"), 22)
    assert.strictEqual(commitInTransaction(h, 1n, 1, NOBODY, 77), 3)
    assert.strictEqual(commitInTransaction(h, 1n, 1, NOBODY, 0, ""), 24)
  })

  it("of a static member that was replaced are fenced", () => {
    const h = new Harness()
    const join = () =>
      h.joinGroup(9, {
        groupId: GROUP,
        sessionTimeoutMs: 10_000,
        rebalanceTimeoutMs: 10_000,
        memberId: "",
        groupInstanceId: "i",
        protocolType: "consumer",
        protocols: [{ name: "range", metadata: subscription("in") }]
      }).value
    const { generationId, memberId } = join()
    h.syncGroup(3, { groupId: GROUP, generationId, memberId, groupInstanceId: "i", assignments: [] })
    const member = { memberId, generation: generationId, instanceId: "i" }
    assert.strictEqual(commitInTransaction(h, 1n, 1, member), 0)
    join()
    assert.strictEqual(commitInTransaction(h, 1n, 1, member), 82)
  })

  it("of two transactions: the one written last wins, whichever commits last", () => {
    const cases = [
      { writes: [["a", 10], ["b", 20]], ends: ["a", "b"], between: "10", final: "20" },
      { writes: [["a", 10], ["b", 20]], ends: ["b", "a"], between: "20", final: "20" },
      { writes: [["b", 20], ["a", 10]], ends: ["a", "b"], between: "10", final: "10" },
      { writes: [["a", 10], ["b", 20], ["a", 10]], ends: ["a", "b"], between: "10", final: "10" }
    ] as const
    for (const { between, ends, final, writes } of cases) {
      const h = new Harness()
      const producers = { a: 1n, b: 2n }
      for (const [producer, offset] of writes) commitInTransaction(h, producers[producer], offset)
      h.complete(producers[ends[0]], "commit")
      assert.strictEqual(fetch(h), between)
      assert.strictEqual(stable(h), "error 88")
      h.complete(producers[ends[1]], "commit")
      assert.strictEqual(stable(h), final)
    }
  })

  it("of an aborted transaction leave those of another", () => {
    const h = new Harness()
    commitInTransaction(h, 1n, 10)
    commitInTransaction(h, 2n, 20)
    h.complete(1n, "abort")
    assert.strictEqual(stable(h), "error 88")
    h.complete(2n, "commit")
    assert.strictEqual(stable(h), "20")
  })

  it("do not overwrite a plain commit that came after them", () => {
    const h = new Harness()
    commitInTransaction(h, 1n, 3)
    assert.deepStrictEqual(commit(h, 1), [0])
    assert.strictEqual(fetch(h), "1")
    h.complete(1n, "commit")
    assert.strictEqual(fetch(h), "1")
  })

  it("are completed per partition of the offsets topic", () => {
    const h = new Harness()
    commitInTransaction(h, 1n, 3)
    commitInTransaction(h, 1n, 4, NOBODY, 0, "h")
    assert.deepStrictEqual([...h.coordinator.pendingGroups(1n)].sort(), [GROUP, "h"])
    h.deliver(h.coordinator.completeTransaction(1n, "commit", (groupId) => groupId === "h", h.now))
    assert.strictEqual(fetch(h, 0, true, "h"), "4")
    assert.strictEqual(stable(h), "error 88")
    h.complete(1n, "commit")
    assert.strictEqual(stable(h), "3")
    assert.deepStrictEqual(h.coordinator.pendingGroups(1n), [])
  })

  it("outlive a restart of the coordinator", () => {
    const h = new Harness()
    commit(h, 1)
    commitInTransaction(h, 1n, 3)
    h.restart()
    assert.strictEqual(fetch(h), "1")
    assert.strictEqual(stable(h), "error 88")
    commitInTransaction(h, 2n, 2)
    h.complete(2n, "commit")
    h.complete(1n, "commit")
    assert.strictEqual(stable(h), "2")
  })
})

describe("fetching offsets", () => {
  it("answers -1 for what was never committed, also of topics and groups that are not there", () => {
    const h = new Harness()
    commit(h, 5)
    const answer = h.offsetFetch(1, { groupId: GROUP, topics: [{ name: "none", partitionIndexes: [0] }] }).value
    assert.strictEqual(answer.topics[0]!.partitions[0]!.committedOffset, -1n)
    assert.strictEqual(fetch(h, 0, false, "none"), "-1")
  })

  it("of all topics, and several groups, names topics by id in version 10", () => {
    const h = new Harness()
    commit(h, 5, NOBODY, { metadata: "where I was" })
    commit(h, 6, NOBODY, { topic: "other" })
    const answer = h.offsetFetch(10, {
      groups: [
        { groupId: GROUP, topics: null },
        { groupId: "none", topics: null },
        { groupId: GROUP, topics: [{ topicId: "AAAAAAAAAAAAAAAAAAAA_w", partitionIndexes: [0] }] }
      ]
    }).value
    assert.deepStrictEqual(
      answer.groups[0]!.topics.map((
        { partitions, topicId }
      ) => [topicId, partitions[0]!.committedOffset, partitions[0]!.metadata]),
      [[h.idOf("in"), 5n, "where I was"], [h.idOf("other"), 6n, ""]]
    )
    assert.deepStrictEqual(answer.groups[1]!.topics, [])
    assert.strictEqual(answer.groups[2]!.topics[0]!.partitions[0]!.errorCode, 100)
    assert.strictEqual(h.offsetFetch(2, { groupId: GROUP, topics: null }).value.topics.length, 2)
  })

  it("checks a member of a consumer group that says who it is", () => {
    const h = new Harness({ consumerAssignmentInterval: 0 })
    consumerHeartbeat(h, "a", 0, [])
    const error = (memberId: string | null, memberEpoch: number) =>
      h.offsetFetch(9, {
        groups: [{ groupId: GROUP, memberId, memberEpoch, topics: [{ name: "in", partitionIndexes: [0] }] }]
      }).value.groups[0]!.errorCode
    assert.deepStrictEqual([error("a", 2), error("a", 1), error("b", 2), error(null, -1), error("", -1)], [
      0,
      113,
      25,
      0,
      25
    ])
  })
})

describe("removing offsets", () => {
  it("of a topic that members subscribe to is refused", () => {
    const h = new Harness()
    const member = classicMember(h)
    commit(h, 1, member)
    commit(h, 1, member, { topic: "other" })
    const answer = h.offsetDelete(0, {
      groupId: GROUP,
      topics: ["in", "other", "none"].map((name) => ({ name, partitions: [{ partitionIndex: 0 }] }))
    }).value
    const errors = Object.fromEntries(answer.topics.map(({ name, partitions }) => [name, partitions[0]!.errorCode]))
    assert.deepStrictEqual(errors, { in: 86, other: 0, none: 3 })
    assert.strictEqual(h.coordinator.committed(GROUP).get("other"), undefined)
    const unknown = { groupId: "none", topics: [{ name: "in", partitions: [{ partitionIndex: 0 }] }] }
    assert.strictEqual(h.offsetDelete(0, unknown).value.errorCode, 69)
    assert.strictEqual(h.offsetDelete(0, { ...unknown, groupId: "" }).value.errorCode, 24)
    assert.strictEqual(h.offsetDelete(0, { groupId: "none", topics: [] }).value.errorCode, 69)
  })

  it("removes what transactions have pending as well", () => {
    const h = new Harness()
    commitInTransaction(h, 1n, 3)
    h.offsetDelete(0, { groupId: GROUP, topics: [{ name: "in", partitions: [{ partitionIndex: 0 }] }] })
    assert.strictEqual(stable(h), "-1")
    h.complete(1n, "commit")
    assert.strictEqual(stable(h), "-1")
  })

  it("goes with a group that is deleted, and a group with members is not", () => {
    const h = new Harness()
    const member = classicMember(h)
    commit(h, 1, member)
    const results = h.deleteGroups(2, { groupsNames: [GROUP, "none"] }).value.results
    assert.deepStrictEqual(results.map(({ errorCode }) => errorCode), [68, 69])
    h.leaveGroup(2, { groupId: GROUP, memberId: member.memberId })
    assert.strictEqual(h.deleteGroups(2, { groupsNames: [GROUP] }).value.results[0]!.errorCode, 0)
    assert.strictEqual(fetch(h), "-1")
    assert.strictEqual(h.coordinator.state(GROUP), "Dead")
    assert.strictEqual(h.describeGroups(5, { groups: [GROUP] }).value.groups[0]!.groupState, "Dead")
    assert.strictEqual(h.describeGroups(6, { groups: [GROUP] }).value.groups[0]!.errorCode, 69)
  })

  it("goes with a topic that is deleted", () => {
    const h = new Harness()
    commit(h, 1)
    commitInTransaction(h, 1n, 2, NOBODY, 1)
    h.dropTopic("in")
    h.topic("in", 4)
    h.complete(1n, "commit")
    assert.strictEqual(fetch(h), "-1")
    assert.strictEqual(fetch(h, 1), "-1")
  })
})

describe("the retention of offsets", () => {
  const week = 604_800_000

  it("counts from the commit for offsets without a group, and takes the group along", () => {
    const h = new Harness()
    commit(h, 1)
    h.pass(week - 1)
    assert.strictEqual(fetch(h), "1")
    h.pass(600_000)
    assert.strictEqual(fetch(h), "-1")
    assert.strictEqual(h.coordinator.state(GROUP), "Dead")
    assert.isUndefined(h.coordinator.nextDeadline())
  })

  it("counts from when a group lost its last member, and does not end while it has some", () => {
    const h = new Harness()
    const member = classicMember(h)
    commit(h, 1, member)
    for (let passed = 0; passed < 2 * week; passed += 9_000_000) {
      h.pass(9_000)
      h.heartbeat(4, { groupId: GROUP, generationId: member.generation, memberId: member.memberId })
      h.advance("expiry", 9_000_000)
    }
    assert.strictEqual(fetch(h), "1")
    h.leaveGroup(2, { groupId: GROUP, memberId: member.memberId })
    h.advance("expiry", week - 1)
    assert.strictEqual(fetch(h), "1")
    h.advance("expiry", 1)
    assert.strictEqual(fetch(h), "-1")
  })

  it("ends in a live group for topics that nobody subscribes to any more", () => {
    const h = new Harness()
    const member = classicMember(h, ["in"])
    commit(h, 1, member)
    commit(h, 1, member, { topic: "other" })
    h.advance("expiry", week)
    assert.deepStrictEqual([...h.coordinator.committed(GROUP).keys()], ["in"])
  })

  it("waits for open transactions", () => {
    const h = new Harness()
    commit(h, 1)
    commitInTransaction(h, 1n, 2)
    h.advance("expiry", week)
    h.complete(1n, "commit")
    assert.strictEqual(fetch(h), "2")
  })

  it("is as long as an old client says", () => {
    const h = new Harness()
    commit(h, 1, NOBODY, { version: 4, retention: 1_000n })
    h.advance("expiry", 999)
    assert.strictEqual(fetch(h), "1")
    h.advance("expiry", 1)
    assert.strictEqual(fetch(h), "-1")
  })
})

describe("listing groups", () => {
  it("takes state and type into account, in any case", () => {
    const h = new Harness()
    commit(h, 1, NOBODY, { group: "simple" })
    classicMember(h)
    h.consumerHeartbeat(1, {
      groupId: "modern",
      memberId: "a",
      memberEpoch: 0,
      rebalanceTimeoutMs: 1_000,
      subscribedTopicNames: ["in"],
      topicPartitions: []
    })
    const list = (statesFilter: Array<string>, typesFilter: Array<string>) =>
      h.listGroups(5, { statesFilter, typesFilter }).value.groups.map(({ groupId }) => groupId).sort()
    assert.deepStrictEqual(list([], []), [GROUP, "modern", "simple"])
    assert.deepStrictEqual(list(["sTable"], []), [GROUP, "modern"])
    assert.deepStrictEqual(list([], ["Consumer"]), ["modern"])
    assert.deepStrictEqual(list(["Empty"], ["classic"]), ["simple"])
    assert.deepStrictEqual(list([], ["share"]), [])
  })
})

describe("describing groups", () => {
  it("says what may be done with them, if asked", () => {
    const h = new Harness()
    commit(h, 1)
    const operations = (group: string, asked: boolean) =>
      h.describeGroups(6, { groups: [group], includeAuthorizedOperations: asked }).value.groups[0]!.authorizedOperations
    assert.deepStrictEqual([operations(GROUP, true), operations(GROUP, false), operations("none", true)], [
      3_400,
      -2_147_483_648,
      -2_147_483_648
    ])
  })

  it("answers those of the other protocol as if they were not there", () => {
    const h = new Harness()
    commit(h, 1)
    const classic = h.consumerDescribe(1, { groupIds: [GROUP, ""], includeAuthorizedOperations: false }).value.groups
    assert.deepStrictEqual(classic.map(({ errorCode }) => errorCode), [69, 24])
    h.deleteGroups(2, { groupsNames: [GROUP] })
    consumerHeartbeat(h, "a", 0, [])
    const consumer = h.describeGroups(6, { groups: [GROUP] }).value.groups[0]!
    assert.deepStrictEqual([consumer.errorCode, consumer.groupState], [69, "Dead"])
    assert.strictEqual(h.describeGroups(5, { groups: [GROUP] }).value.groups[0]!.errorCode, 0)
  })
})
