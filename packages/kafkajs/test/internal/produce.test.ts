import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Exchange } from "../../src/internal/kafkajsInternals.ts"
import type { Link } from "../../src/internal/links.ts"
import { produce } from "../../src/internal/produce.ts"
import type { Wire } from "../../src/internal/wire.ts"

const unused = Effect.die("not asked for")

/** A wire whose brokers answer as told; `leaders` gives each partition's broker. */
const wireOf = (leaders: ReadonlyArray<number>, answer: (node: number) => unknown): Wire => ({
  // the link only carries the broker's number to `ask`, the answer has the shape of Produce version 7
  node: (node) => Effect.succeed({ node } as Link),
  ask: <Decoded>(link: Link, _exchange: Exchange<Decoded>) => Effect.succeed(answer(link.node) as Decoded),
  topic: () => Effect.succeed(leaders.map((leader, partition) => ({ partition, leader }))),
  any: unused,
  coordinator: () => unused,
  forgetCoordinator: () => {},
  forgetTopic: () => {},
  close: Effect.void
})

const batch = (partition: number) => ({ topic: "t", partition, bytes: Buffer.alloc(61) })

const answer = (...partitions: ReadonlyArray<readonly [partition: number, errorCode: number, baseOffset: string]>) => ({
  topics: [{
    topicName: "t",
    partitions: partitions.map(([partition, errorCode, baseOffset]) => ({ partition, errorCode, baseOffset }))
  }]
})

describe("produce", () => {
  it.effect("sends each partition to its leader and answers for all of them", () =>
    Effect.gen(function*() {
      const wire = wireOf([1, 2], (node) => answer([node - 1, 0, String(node * 10)]))
      const appended = yield* produce(wire, "id", 1_000, [batch(0), batch(1)])
      assert.deepStrictEqual(
        appended.map(({ baseOffset, partition }) => [partition, baseOffset]),
        [[0, 10n], [1, 20n]]
      )
    }))

  it.effect("H3: an answer that leaves a partition out is no success", () =>
    Effect.gen(function*() {
      // what the plain client takes for one: the broker it asked no longer leads the second partition
      const failure = yield* Effect.flip(
        produce(wireOf([1, 1], () => answer([0, 0, "0"])), "id", 1_000, [batch(0), batch(1)])
      )
      assert.deepStrictEqual([failure.sent, failure.code, failure.partition], [true, undefined, 1])
    }))

  it.effect("H3: one refused partition fails the send, whatever the others say", () =>
    Effect.gen(function*() {
      for (const codes of [[0, 6], [6, 0]] as const) {
        const wire = wireOf([1, 1], () => answer([0, codes[0], "0"], [1, codes[1], "0"]))
        const failure = yield* Effect.flip(produce(wire, "id", 1_000, [batch(0), batch(1)]))
        assert.deepStrictEqual([failure.code, failure.partition], [6, codes[0] === 6 ? 0 : 1])
      }
    }))

  it.effect("a partition without a leader is not sent to anybody", () =>
    Effect.gen(function*() {
      const failure = yield* Effect.flip(produce(wireOf([-1], () => unused), "id", 1_000, [batch(0)]))
      assert.deepStrictEqual([failure.code, failure.topic], [5, "t"])
    }))
})
