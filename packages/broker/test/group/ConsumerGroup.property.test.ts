import { assert, describe, it } from "@effect/vitest"
import { Harness } from "./Harness.ts"
import { Random } from "./random.ts"

const GROUP = "g"
const REBALANCE = 20_000

/** A consumer of KIP-848 that may stop calling, start over, or lose an answer, at any moment. */
class Client {
  readonly memberId: string
  readonly instanceId: string | null
  readonly assignor: string | null
  epoch = 0
  owned = new Set<string>()
  /** What it must give up, and has not yet. */
  revoking = new Set<string>()
  topics: ReadonlyArray<string> = ["in"]
  frozen = false
  constructor(name: number, random: Random) {
    this.memberId = `m${name}`
    this.instanceId = random.chance(0.3) ? `i${name}` : null
    this.assignor = random.pick([null, "uniform", "range"])
  }
}

class Run {
  readonly h: Harness
  readonly random: Random
  readonly clients: Array<Client>
  groupEpoch = 0

  constructor(seed: number) {
    this.random = new Random(seed)
    this.h = new Harness({ consumerAssignmentInterval: this.random.pick([0, 1_000]), consumerSessionTimeout: 10_000 })
    this.clients = Array.from({ length: 5 }, (_, i) => new Client(i, this.random))
  }

  private partitionsOf(client: Client) {
    const byTopic = new Map<string, Array<number>>()
    for (const owned of client.owned) {
      const [topicId, partition] = owned.split(":") as [string, string]
      const list = byTopic.get(topicId)
      if (list === undefined) byTopic.set(topicId, [Number(partition)])
      else list.push(Number(partition))
    }
    return Array.from(byTopic, ([topicId, partitions]) => ({ topicId, partitions }))
  }

  startOver(client: Client): void {
    client.epoch = 0
    client.owned.clear()
    client.revoking.clear()
  }

  call(client: Client, loseAnswer = false): void {
    const joins = client.epoch === 0
    const answer = this.h.consumerHeartbeat(1, {
      groupId: GROUP,
      memberId: client.memberId,
      memberEpoch: client.epoch,
      instanceId: client.instanceId,
      rebalanceTimeoutMs: REBALANCE,
      subscribedTopicNames: client.topics,
      serverAssignor: client.assignor,
      topicPartitions: joins ? [] : this.partitionsOf(client)
    }).value
    if (loseAnswer) return
    if (answer.errorCode === 111) return
    if (answer.errorCode !== 0) return this.startOver(client)
    if (!joins) assert.isAtLeast(answer.memberEpoch, client.epoch)
    client.epoch = answer.memberEpoch
    if (answer.assignment === null) return
    const assigned = new Set(
      answer.assignment.topicPartitions.flatMap((it) => it.partitions.map((partition) => `${it.topicId}:${partition}`))
    )
    for (const owned of client.owned) if (!assigned.has(owned)) client.revoking.add(owned)
    for (const partition of assigned) client.owned.add(partition)
  }

  /** A client goes on with its records for a while before it gives a partition up. */
  revoke(client: Client): void {
    for (const partition of client.revoking) client.owned.delete(partition)
    client.revoking.clear()
  }

  /** Whoever the group counts as a member, in the epoch that the client has, has its partitions alone. */
  check(): void {
    const group = this.h.consumerDescribe(1, { groupIds: [GROUP], includeAuthorizedOperations: false }).value.groups[0]!
    if (group.errorCode === 69) return
    assert.isAtLeast(group.groupEpoch, this.groupEpoch)
    this.groupEpoch = group.groupEpoch
    const owner = new Map<string, string>()
    for (const member of group.members) {
      for (const { partitions, topicId } of member.assignment.topicPartitions) {
        for (const partition of partitions) {
          assert.isUndefined(owner.get(`${topicId}:${partition}`))
          owner.set(`${topicId}:${partition}`, member.memberId)
        }
      }
    }
    for (const client of this.clients) {
      const member = group.members.find(({ memberId }) => memberId === client.memberId)
      if (member === undefined || member.memberEpoch !== client.epoch) continue
      for (const partition of client.owned) assert.strictEqual(owner.get(partition), client.memberId)
    }
  }

  act(client: Client): void {
    const { random } = this
    if (client.frozen) {
      client.frozen = !random.chance(0.2)
      return
    }
    const what = random.next()
    if (what < 0.05) client.frozen = true
    else if (what < 0.1) this.startOver(client)
    else if (what < 0.15) this.leave(client)
    else if (what < 0.2) client.topics = random.pick([["in"], ["other"], ["in", "other"]])
    else if (what < 0.4) this.revoke(client)
    else this.call(client, random.chance(0.1))
  }

  private leave(client: Client): void {
    const leaveEpoch = client.instanceId !== null && this.random.chance(0.5) ? -2 : -1
    this.h.consumerHeartbeat(1, {
      groupId: GROUP,
      memberId: client.memberId,
      memberEpoch: leaveEpoch,
      instanceId: client.instanceId,
      rebalanceTimeoutMs: -1
    })
    this.startOver(client)
  }

  go(steps: number): void {
    const { h, random } = this
    for (let step = 0; step < steps; step++) {
      const what = random.next()
      if (what < 0.3) h.pass(random.int(2_000))
      else if (what < 0.31) h.topic("in", h.topics.get("in")!.partitions + 1)
      else if (what < 0.32) h.restart()
      else if (what < 0.33) h.deliver(h.coordinator.moved(() => true, h.now))
      else this.act(random.pick(this.clients))
      this.check()
    }
  }
}

describe("a consumer group under random joins, heartbeats, revocations, leaves, silences and restarts", () => {
  it("never has two members own a partition, and raises its epochs only", () => {
    for (let seed = 1; seed <= 60; seed++) new Run(seed).go(300)
  })

  it("comes to its target when nobody is silent any more", () => {
    for (let seed = 500; seed < 540; seed++) {
      const run = new Run(seed)
      run.go(150)
      const { clients, h } = run
      for (const client of clients) client.frozen = false
      for (let round = 0; round < 60; round++) {
        for (const client of clients) {
          run.call(client)
          run.revoke(client)
        }
        h.pass(1_000)
        run.check()
      }
      assert.strictEqual(h.coordinator.state(GROUP), "Stable", `seed ${seed}`)
      const wanted = new Set(clients.flatMap((client) => client.topics))
      for (const topic of wanted) {
        const { id, partitions } = h.topics.get(topic)!
        for (let partition = 0; partition < partitions; partition++) {
          const owners = clients.filter(({ owned }) => owned.has(`${id}:${partition}`))
          assert.strictEqual(owners.length, 1, `${topic}-${partition}, seed ${seed}`)
          assert.include(owners[0]!.topics, topic)
        }
      }
    }
  })

  it("puts everyone out who falls silent", () => {
    const run = new Run(9_000)
    run.go(200)
    run.h.pass(60_000)
    assert.strictEqual(run.h.coordinator.state(GROUP), "Empty")
  })
})
