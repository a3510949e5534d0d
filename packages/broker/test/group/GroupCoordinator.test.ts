import { assert, describe, it } from "@effect/vitest"
import { Harness, subscription } from "./Harness.ts"

const join = (h: Harness, groupId: string, memberId = "") =>
  h.joinGroup(3, {
    groupId,
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 5_000,
    memberId,
    protocolType: "consumer",
    protocols: [{ name: "range", metadata: subscription("in") }]
  })

const consumerHeartbeat = (h: Harness, groupId: string, memberId: string, epoch: number) =>
  h.consumerHeartbeat(1, {
    groupId,
    memberId,
    memberEpoch: epoch,
    rebalanceTimeoutMs: epoch === 0 ? 5_000 : -1,
    subscribedTopicNames: epoch === 0 ? ["in"] : null,
    topicPartitions: epoch === 0 ? [] : null
  }).value

const commit = (h: Harness, groupId: string, offset: number) =>
  h.offsetCommit(9, {
    groupId,
    topics: [{
      name: "in",
      partitions: [{ partitionIndex: 0, committedOffset: BigInt(offset), committedMetadata: "" }]
    }]
  }).value.topics[0]!.partitions[0]!.errorCode

const fetch = (h: Harness, groupId: string) =>
  h.offsetFetch(7, { groupId, topics: [{ name: "in", partitionIndexes: [0] }] }).value.topics[0]!.partitions[0]!
    .committedOffset

describe("the coordinator's time", () => {
  it("goes from deadline to deadline, however late it is looked at", () => {
    const h = new Harness()
    commit(h, "g", 1)
    const first = join(h, "g").value
    const second = join(h, "g")
    const again = join(h, "g", first.memberId)
    // Nobody sends SyncGroup: at 5 s the members are put out, and the group is empty. Noticed an hour later, that is when it happened.
    const started = h.now
    h.now += 3_600_000
    h.deliver(h.coordinator.tick(h.now))
    assert.strictEqual(second.value.generationId, 2)
    assert.strictEqual(again.value.generationId, 2)
    assert.strictEqual(h.coordinator.state("g"), "Empty")
    h.advance("expiry", 604_800_000 - (h.now - started - 5_000) - 1)
    assert.strictEqual(fetch(h, "g"), 1n)
    h.advance("expiry", 1)
    assert.strictEqual(fetch(h, "g"), -1n)
  })

  it("puts out a member whose heartbeat comes too late, though nobody looked at the clock in between", () => {
    const h = new Harness()
    const { generationId, memberId } = join(h, "g").value
    h.syncGroup(2, { groupId: "g", generationId, memberId, assignments: [] })
    h.now += 10_000
    assert.strictEqual(h.heartbeat(2, { groupId: "g", generationId, memberId }).value.errorCode, 25)
  })

  it("has no deadline while there is no group", () => {
    const h = new Harness()
    assert.isUndefined(h.coordinator.nextDeadline())
    assert.strictEqual(h.heartbeat(2, { groupId: "g", generationId: 1, memberId: "m" }).value.errorCode, 25)
    assert.isUndefined(h.coordinator.nextDeadline())
  })
})

describe("a snapshot", () => {
  it("shares nothing with the coordinator it was taken from, and can be restored twice", () => {
    const h = new Harness({ consumerAssignmentInterval: 0 })
    consumerHeartbeat(h, "modern", "a", 0)
    const { generationId, memberId } = join(h, "classic").value
    h.syncGroup(2, { groupId: "classic", generationId, memberId, assignments: [] })
    commit(h, "simple", 1)
    const snapshot = structuredClone(h.coordinator.snapshot())
    for (let i = 0; i < 2; i++) {
      commit(h, "simple", 2)
      consumerHeartbeat(h, "modern", "b", 0)
      consumerHeartbeat(h, "modern", "a", -1)
      h.leaveGroup(2, { groupId: "classic", memberId })
      h.restart(snapshot)
      assert.strictEqual(fetch(h, "simple"), 1n)
      assert.strictEqual(h.coordinator.state("classic"), "Stable")
      assert.strictEqual(h.heartbeat(2, { groupId: "classic", generationId, memberId }).value.errorCode, 0)
      assert.strictEqual(consumerHeartbeat(h, "modern", "a", 2).memberEpoch, 2)
      assert.strictEqual(consumerHeartbeat(h, "modern", "b", 3).errorCode, 25)
    }
  })
})

describe("a group that changes its protocol", () => {
  it("keeps its offsets", () => {
    const h = new Harness()
    const { memberId } = join(h, "g").value
    h.leaveGroup(2, { groupId: "g", memberId })
    commit(h, "g", 7)
    consumerHeartbeat(h, "g", "a", 0)
    assert.strictEqual(fetch(h, "g"), 7n)
    consumerHeartbeat(h, "g", "a", -1)
    join(h, "g")
    assert.strictEqual(fetch(h, "g"), 7n)
  })
})

describe("a coordinator that moves", () => {
  it("takes only the groups that move with it", () => {
    const h = new Harness()
    const stays = join(h, "stays").value
    const moves = join(h, "moves").value
    const waitStays = h.syncGroup(2, { groupId: "stays", generationId: 1, memberId: "nobody", assignments: [] })
    assert.strictEqual(waitStays.value.errorCode, 25)
    const [joining, moving] = [join(h, "stays"), join(h, "moves")]
    h.deliver(h.coordinator.moved((groupId) => groupId === "moves", h.now))
    assert.isTrue(joining.isWaiting)
    assert.strictEqual(moving.value.errorCode, 16)
    // Its first assignment had not arrived: of that generation nothing is left.
    assert.strictEqual(h.coordinator.state("moves"), "Empty")
    assert.strictEqual(join(h, "moves", moves.memberId).value.errorCode, 25)
    assert.strictEqual(join(h, "stays", stays.memberId).value.generationId, 2)
  })
})
