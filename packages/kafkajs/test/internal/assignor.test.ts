import { assert, describe, it } from "@effect/vitest"
import {
  assign,
  type Candidate,
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription
} from "../../src/internal/assignor.ts"

const member = (memberId: string, replica: string, incarnation: bigint, topics = ["t"]): Candidate => ({
  memberId,
  subscription: { topics, member: { replica, incarnation } }
})

const shares = (members: ReadonlyArray<Candidate>, counts: Record<string, number>) =>
  Object.fromEntries(
    [...assign(members, new Map(Object.entries(counts)))].map(([memberId, assignment]) => [
      memberId,
      assignment.flatMap(({ partitions, topic }) => partitions.map((partition) => `${topic}${partition}`)).join(" ")
    ])
  )

describe("the assignor", () => {
  it("gives every partition to one member, as evenly as it goes", () => {
    assert.deepStrictEqual(shares([member("2", "b", 1n), member("1", "a", 1n)], { t: 3 }), { 1: "t0 t2", 2: "t1" })
    assert.deepStrictEqual(
      shares([member("1", "a", 1n, ["t", "u"]), member("2", "b", 1n, ["t", "u"])], { u: 1, t: 1 }),
      { 1: "t0", 2: "u0" }
    )
  })

  it("asks only members that subscribed", () => {
    assert.deepStrictEqual(
      shares([member("1", "a", 1n, ["t"]), member("2", "b", 1n, ["t", "u"])], { t: 2, u: 2 }),
      { 1: "t0", 2: "t1 u0 u1" }
    )
  })

  it("gives nothing to a member whose replica has a newer incarnation, in whatever order they are listed", () => {
    const members = [member("old", "a", 1n), member("new", "a", 2n), member("other", "b", 1n)]
    const expected = { new: "t0 t2", old: "", other: "t1 t3" }
    assert.deepStrictEqual(shares(members, { t: 4 }), expected)
    assert.deepStrictEqual(shares(members.toReversed(), { t: 4 }), expected)
  })

  it("gives a replica its partitions back after a restart", () => {
    const before = shares([member("1", "a", 1n), member("2", "b", 1n)], { t: 5 })
    const after = shares([member("2", "b", 1n), member("9", "a", 7n)], { t: 5 })
    assert.strictEqual(after["9"], before["1"])
    assert.strictEqual(after["2"], before["2"])
  })

  it("includes members that announce nothing", () => {
    const silent: Candidate = { memberId: "m", subscription: { topics: ["t"], member: undefined } }
    assert.deepStrictEqual(shares([silent, member("1", "a", 1n)], { t: 2 }), { 1: "t0", m: "t1" })
  })

  it("carries subscriptions and assignments over the wire", () => {
    const subscription = { topics: ["t", "u"], member: { replica: "größe-0", incarnation: 2n ** 62n } }
    assert.deepStrictEqual(decodeSubscription(encodeSubscription(subscription)), subscription)
    const silent = { topics: ["t"], member: undefined }
    assert.deepStrictEqual(decodeSubscription(encodeSubscription(silent)), silent)
    assert.isUndefined(decodeSubscription(Buffer.alloc(0)))
    const assignment = [{ topic: "t", partitions: [0, 2, 10] }]
    assert.deepStrictEqual(decodeAssignment(encodeAssignment(assignment)), assignment)
    assert.deepStrictEqual(decodeAssignment(Buffer.alloc(0)), [])
  })
})
