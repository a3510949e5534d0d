import { assert, describe, it } from "@effect/vitest"
import { Harness } from "./Harness.ts"
import { Random } from "./random.ts"

const PARTITIONS = 4
const PRODUCERS = [1n, 2n, 3n]

interface Write {
  readonly partition: number
  readonly offset: number
  readonly producer: bigint | undefined
}

/** What Kafka's log of offsets says, taken literally: of all writes that are not in an open or aborted transaction, the last one counts. */
class Model {
  private log: Array<Write> = []
  write(write: Write): void {
    this.log.push(write)
  }
  end(producer: bigint, committed: boolean): void {
    this.log = this.log.flatMap((write) =>
      write.producer !== producer ? [write] : committed ? [{ ...write, producer: undefined }] : []
    )
  }
  remove(partition: number): void {
    this.log = this.log.filter((write) => write.partition !== partition)
  }
  committed(partition: number): number {
    return this.log.findLast((write) => write.partition === partition && write.producer === undefined)?.offset ?? -1
  }
  isPending(partition: number): boolean {
    return this.log.some((write) => write.partition === partition && write.producer !== undefined)
  }
}

describe("committed offsets under random commits, transactions and removals", () => {
  it("are what the log of all writes says, at every step and after every restart", () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = new Random(seed)
      const h = new Harness()
      const model = new Model()
      for (let step = 0; step < 150; step++) {
        const partition = random.int(PARTITIONS)
        const producer = random.pick(PRODUCERS)
        const topics = [{
          name: "in",
          partitions: [{ partitionIndex: partition, committedOffset: BigInt(step), committedMetadata: `${step}` }]
        }]
        const what = random.next()
        if (what < 0.3) {
          h.offsetCommit(9, { groupId: "g", topics })
          model.write({ partition, offset: step, producer: undefined })
        } else if (what < 0.65) {
          h.txnOffsetCommit(5, { transactionalId: "t", groupId: "g", producerId: producer, producerEpoch: 0, topics })
          model.write({ partition, offset: step, producer })
        } else if (what < 0.9) {
          const outcome = random.chance(0.6) ? "commit" : "abort"
          h.complete(producer, outcome)
          model.end(producer, outcome === "commit")
        } else if (what < 0.95) {
          const removed = h.offsetDelete(0, {
            groupId: "g",
            topics: [{ name: "in", partitions: [{ partitionIndex: partition }] }]
          }).value
          if (removed.errorCode === 0) model.remove(partition)
        } else {
          h.restart()
        }
        const asked = { groupId: "g", topics: [{ name: "in", partitionIndexes: [0, 1, 2, 3] }] }
        const plain = h.offsetFetch(7, { ...asked, requireStable: false }).value.topics[0]!.partitions
        const stable = h.offsetFetch(7, { ...asked, requireStable: true }).value.topics[0]!.partitions
        for (let i = 0; i < PARTITIONS; i++) {
          const expected = model.committed(i)
          assert.strictEqual(Number(plain[i]!.committedOffset), expected, `seed ${seed}, step ${step}`)
          assert.strictEqual(plain[i]!.metadata, expected === -1 ? "" : `${expected}`)
          assert.strictEqual(stable[i]!.errorCode, model.isPending(i) ? 88 : 0, `seed ${seed}, step ${step}`)
        }
      }
      assert.deepStrictEqual(
        [...h.coordinator.pending("g")].some(() => true),
        [0, 1, 2, 3].some((partition) => model.isPending(partition))
      )
    }
  })
})
