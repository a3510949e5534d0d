import { assert, describe, it } from "@effect/vitest"
import { type Call, Harness, subscription } from "./Harness.ts"
import { Random } from "./random.ts"

const PARTITIONS = 12
const SESSION = 6_000
const REBALANCE = 9_000

interface Joined {
  readonly errorCode: number
  readonly generationId: number
  readonly leader: string
  readonly memberId: string
  readonly skipAssignment: boolean
  readonly members: ReadonlyArray<{ readonly memberId: string }>
}
interface Synced {
  readonly errorCode: number
  readonly assignment: Uint8Array
}

/** A consumer of the classic protocol that may stop answering, or come back, at any moment. */
class Client {
  memberId = ""
  generation = -1
  owned: ReadonlyArray<number> = []
  joining: Call<Joined> | undefined
  syncing: Call<Synced> | undefined
  frozen = false
  readonly instanceId: string | null
  constructor(instanceId: string | null) {
    this.instanceId = instanceId
  }
}

class Run {
  readonly h: Harness
  readonly random: Random
  readonly clients: Array<Client>
  /** Who has which partition, by generation: what must never overlap. */
  readonly owners = new Map<number, Map<number, string>>()
  highest = 0
  private joins: Array<Call<Joined>> = []

  constructor(seed: number) {
    this.random = new Random(seed)
    this.h = new Harness({
      initialRebalanceDelay: this.random.pick([0, 2_000]),
      newMemberJoinTimeout: 20_000
    })
    this.clients = Array.from({ length: 5 }, (_, i) => new Client(this.random.chance(0.3) ? `i${i}` : null))
  }

  forget(client: Client): void {
    client.memberId = ""
    client.generation = -1
    client.owned = []
  }

  join(client: Client): void {
    const protocols = this.random.chance(0.9) ? ["range", "sticky"] : ["sticky"]
    client.joining = this.h.joinGroup(this.random.pick([5, 9]), {
      groupId: "g",
      sessionTimeoutMs: SESSION,
      rebalanceTimeoutMs: REBALANCE,
      memberId: client.memberId,
      groupInstanceId: client.instanceId,
      protocolType: "consumer",
      protocols: protocols.map((name) => ({ name, metadata: subscription("in") }))
    })
    this.joins.push(client.joining)
  }

  /** Whether or not a client reads its answer, the generations that are given out only rise. */
  watch(): void {
    const answered = this.joins.filter((call) => !call.isWaiting).map((call) => call.value)
    this.joins = this.joins.filter((call) => call.isWaiting)
    const generations = answered.filter(({ errorCode }) => errorCode === 0).map(({ generationId }) => generationId)
    for (const generation of generations) assert.isAtLeast(generation, this.highest)
    this.highest = Math.max(this.highest, ...generations)
  }

  onJoined(client: Client, answer: Joined): void {
    client.joining = undefined
    if (answer.errorCode === 79) {
      client.memberId = answer.memberId
      return this.join(client)
    }
    if (answer.errorCode !== 0) return this.forget(client)
    client.memberId = answer.memberId
    client.generation = answer.generationId
    client.owned = []
    const leads = answer.leader === answer.memberId && !answer.skipAssignment
    if (leads) assert.isTrue(answer.members.some(({ memberId }) => memberId === answer.memberId))
    const shares = new Map<string, Array<number>>()
    if (leads) {
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const { memberId } = answer.members[partition % answer.members.length]!
        const share = shares.get(memberId)
        if (share === undefined) shares.set(memberId, [partition])
        else share.push(partition)
      }
    }
    client.syncing = this.h.syncGroup(3, {
      groupId: "g",
      generationId: client.generation,
      memberId: client.memberId,
      groupInstanceId: client.instanceId,
      assignments: Array.from(shares, ([memberId, share]) => ({ memberId, assignment: Uint8Array.from(share) }))
    })
  }

  onSynced(client: Client, answer: Synced): void {
    client.syncing = undefined
    if (answer.errorCode === 27) return
    if (answer.errorCode !== 0) return this.forget(client)
    client.owned = [...answer.assignment]
    let owners = this.owners.get(client.generation)
    if (owners === undefined) this.owners.set(client.generation, owners = new Map())
    // A static member's successor has a new id, and the partitions of the old one.
    const name = client.instanceId ?? client.memberId
    for (const partition of client.owned) {
      assert.strictEqual(owners.get(partition) ?? name, name, `partition ${partition} in ${client.generation}`)
      owners.set(partition, name)
    }
  }

  settle(): void {
    this.watch()
    for (const client of this.clients) {
      if (client.frozen) continue
      if (client.joining?.isWaiting === false) this.onJoined(client, client.joining.value)
      if (client.syncing?.isWaiting === false) this.onSynced(client, client.syncing.value)
    }
  }

  act(client: Client): void {
    const { h, random } = this
    if (client.frozen) {
      if (random.chance(0.2)) client.frozen = false
      return
    }
    if (random.chance(0.08)) {
      client.frozen = true
      return
    }
    if (client.joining !== undefined || client.syncing !== undefined) {
      // A client that gave up waiting, and asks again over another connection.
      if (random.chance(0.05) && client.joining !== undefined) this.join(client)
      return
    }
    if (client.generation === -1 || random.chance(0.05)) return this.join(client)
    if (random.chance(0.05)) {
      h.leaveGroup(3, { groupId: "g", members: [{ memberId: client.memberId, groupInstanceId: client.instanceId }] })
      return this.forget(client)
    }
    if (random.chance(0.1) && client.instanceId !== null) return this.forget(client)
    if (random.chance(0.3)) return this.commit(client)
    const { errorCode } = h.heartbeat(3, {
      groupId: "g",
      generationId: client.generation,
      memberId: client.memberId,
      groupInstanceId: client.instanceId
    }).value
    if (errorCode === 27) this.join(client)
    else if (errorCode !== 0) this.forget(client)
  }

  commit(client: Client): void {
    const { errorCode } = this.h.offsetCommit(7, {
      groupId: "g",
      generationIdOrMemberEpoch: client.generation,
      memberId: client.memberId,
      groupInstanceId: client.instanceId,
      topics: [{ name: "in", partitions: [{ partitionIndex: 0, committedOffset: 1n, committedMetadata: null }] }]
    }).value.topics[0]!.partitions[0]!
    if (errorCode === 0) {
      assert.strictEqual(client.generation, this.highest, "a commit of an old generation was accepted")
    }
  }

  go(steps: number): void {
    for (let step = 0; step < steps; step++) {
      if (this.random.chance(0.5)) this.h.pass(this.random.int(1_500))
      else this.act(this.random.pick(this.clients))
      this.settle()
    }
  }
}

describe("a classic group under random joins, syncs, heartbeats, leaves and silences", () => {
  it("never gives a partition to two members of one generation, and leaves no request without an answer", () => {
    for (let seed = 1; seed <= 100; seed++) {
      const run = new Run(seed)
      run.go(400)
      assert.isAbove(run.highest, 0, `seed ${seed}`)
      // Everyone falls silent: whatever waits is answered by some deadline, and everyone is out.
      for (const client of run.clients) client.frozen = true
      run.h.pass(20_000 + 2 * (REBALANCE + SESSION))
      assert.strictEqual(run.h.waiting, 0, `requests without an answer, seed ${seed}`)
      assert.strictEqual(run.h.coordinator.state("g"), "Empty", `seed ${seed}`)
    }
  })

  it("comes to rest when nobody is silent any more", () => {
    for (let seed = 1_000; seed < 1_050; seed++) {
      const run = new Run(seed)
      run.go(200)
      const { clients, h } = run
      for (const client of clients) client.frozen = false
      let waited = 0
      const rests = () =>
        h.coordinator.state("g") === "Stable" &&
        clients.every((client) =>
          client.generation === run.highest && client.syncing === undefined && client.joining === undefined
        )
      while (!rests()) {
        assert.isBelow(waited, 120_000, `no rest, seed ${seed}`)
        for (const client of clients) {
          if (client.joining !== undefined || client.syncing !== undefined) continue
          if (client.generation === -1) run.join(client)
          else {
            const { errorCode } = h.heartbeat(3, {
              groupId: "g",
              generationId: client.generation,
              memberId: client.memberId,
              groupInstanceId: client.instanceId
            }).value
            if (errorCode === 27) run.join(client)
            else if (errorCode !== 0) run.forget(client)
          }
        }
        run.settle()
        h.pass(500)
        run.settle()
        waited += 500
      }
      assert.strictEqual(h.waiting, 0)
      const owned = clients.flatMap((client) => client.owned)
      assert.strictEqual(new Set(owned).size, PARTITIONS, `seed ${seed}`)
      assert.strictEqual(owned.length, PARTITIONS, `seed ${seed}`)
    }
  })
})
