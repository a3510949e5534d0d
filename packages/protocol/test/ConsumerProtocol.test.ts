import { assert, describe, it } from "@effect/vitest"
import { Apis, ConsumerProtocol, Frame, MalformedBytes } from "@exactly-once/protocol"
import { capturedFrames, hex } from "./frames.ts"

describe("ConsumerProtocol", () => {
  it("reads and rewrites the subscriptions and assignments that clients sent", () => {
    let seen = 0
    for (const frame of capturedFrames) {
      if (frame.direction !== "request") continue
      if (frame.apiKey === Apis.JoinGroup.key) {
        for (const { metadata } of Frame.decodeRequest(Apis.JoinGroup, frame.payload).body.protocols) {
          const version = (metadata[0]! << 8) | metadata[1]!
          const again = ConsumerProtocol.encodeSubscription(ConsumerProtocol.decodeSubscription(metadata), version)
          assert.strictEqual(hex(again), hex(metadata), frame.client)
          seen++
        }
      }
      if (frame.apiKey === Apis.SyncGroup.key) {
        for (const { assignment } of Frame.decodeRequest(Apis.SyncGroup, frame.payload).body.assignments) {
          const version = (assignment[0]! << 8) | assignment[1]!
          const again = ConsumerProtocol.encodeAssignment(ConsumerProtocol.decodeAssignment(assignment), version)
          assert.strictEqual(hex(again), hex(assignment), frame.client)
          seen++
        }
      }
    }
    assert.isAtLeast(seen, 8)
  })

  it("reads what it knows of a newer version, and refuses a negative one", () => {
    const bytes = ConsumerProtocol.encodeAssignment({
      assignedPartitions: [{ topic: "t", partitions: [1, 2] }],
      userData: null
    })
    const newer = new Uint8Array([0, 99, ...bytes.subarray(2), 1, 2, 3])
    assert.deepStrictEqual(ConsumerProtocol.decodeAssignment(newer).assignedPartitions, [{
      topic: "t",
      partitions: [1, 2]
    }])
    assert.throws(() => ConsumerProtocol.decodeAssignment(new Uint8Array([255, 255])), MalformedBytes)
  })
})
