/**
 * Random walks: two transactional ids, one idempotent producer, two partitions and a group, used by clients that now and then go on with an
 * epoch, a sequence or a protocol version that is not theirs to use. Each step is written down with its answer.
 */
import type { Producer, Sent } from "../Batch.ts"
import { randomFrom } from "../random.ts"
import { section } from "../suite.ts"
import type { World } from "../World.ts"

const WALKS = 80
const STEPS = 30

interface Handle {
  readonly name: string
  readonly producer: Producer
  readonly sequences: Map<number, number>
}

const told = (sent: Sent): string => "offset" in sent ? `at ${sent.offset}` : `error ${sent.error}`

class Walk {
  private readonly world: World
  private readonly topic: string
  private readonly random: ReturnType<typeof randomFrom>
  private readonly handles: Array<Handle> = []
  readonly steps: Array<string> = []

  constructor(world: World, topic: string, seed: number) {
    this.world = world
    this.topic = topic
    this.random = randomFrom(seed)
  }

  private know(name: string, producer: Producer): void {
    this.handles.push({ name: `${name}/${producer.epoch}`, producer, sequences: new Map() })
  }

  /** Mostly the newest handle of an id, sometimes an old one. */
  private handle(): Handle {
    const { random } = this
    const recent = this.handles.slice(-3)
    return random.chance(0.8) ? random.pick(recent) : random.pick(this.handles)
  }

  async begin(): Promise<void> {
    for (const name of ["A", "B"]) this.know(name, await this.world.init(this.world.name(name)))
    this.know("idempotent", await this.world.init(null))
  }

  async step(): Promise<void> {
    const { random } = this
    const dice = random.below(100)
    if (dice < 8) return this.init()
    if (dice < 18) return this.add()
    if (dice < 50) return this.send()
    if (dice < 66) return this.end()
    if (dice < 72) return this.addOffsets()
    if (dice < 84) return this.commit()
    if (dice < 87) return this.plainCommit()
    return this.look()
  }

  private async init(): Promise<void> {
    const { random, world } = this
    const name = random.pick(["A", "B"])
    const known = this.handles.filter((it) => it.name.startsWith(`${name}/`))
    const pid = random.chance(0.5) ? random.pick(known) : undefined
    const version = random.pick([3, 5])
    const id = world.name(name)
    const answer = await world.raw.init(id, { version, ...(pid === undefined ? {} : { pid: pid.producer }) })
    await world.settled(id)
    this.steps.push(
      `init ${version} ${name}${pid === undefined ? "" : ` from ${pid.name}`}: ${
        answer.error === 0 ? answer.epoch : `error ${answer.error}`
      }`
    )
    if (answer.error === 0) this.know(name, answer)
  }

  private async add(): Promise<void> {
    const { random, world } = this
    const { name, producer } = this.handle()
    const [partition, version] = [random.below(2), random.pick([1, 3, 5])]
    const codes = await world.raw.add(producer, { [this.topic]: [partition] }, version)
    this.steps.push(`add ${version} ${name} ${partition}: ${codes.join()}`)
  }

  private async send(): Promise<void> {
    const { random, world } = this
    const { name, producer, sequences } = this.handle()
    const [partition, version, count] = [random.below(2), random.pick([11, 12, 12]), 1 + random.below(2)]
    const next = sequences.get(partition) ?? 0
    const sequence = random.chance(0.8) ? next : random.pick([0, Math.max(0, next - 1), next + 1])
    const values = Array.from({ length: count }, (_, i) => `${this.steps.length}.${i}`)
    const sent = await world.raw.send(producer, { topic: this.topic, partition, sequence, values }, version)
    if ("offset" in sent) sequences.set(partition, sequence + count)
    this.steps.push(`send ${version} ${name} ${partition} sequence ${sequence}+${count}: ${told(sent)}`)
  }

  private async end(): Promise<void> {
    const { random, world } = this
    const { name, producer } = this.handle()
    const [committed, version] = [random.chance(0.6), random.pick([1, 4, 5, 5])]
    if (producer.id === null) return this.look()
    const answer = await world.end(producer, committed, version)
    const result = answer.error === 0 ? answer.epoch : `error ${answer.error}`
    this.steps.push(`${committed ? "commit" : "abort"} ${version} ${name}: ${result}`)
    if (answer.error === 0 && version >= 5) this.know(name.split("/")[0]!, { ...producer, epoch: answer.epoch })
  }

  private async addOffsets(): Promise<void> {
    const { name, producer } = this.handle()
    this.steps.push(`add offsets ${name}: ${await this.world.raw.addOffsets(producer, this.world.group)}`)
  }

  private async commit(): Promise<void> {
    const { random, world } = this
    const { name, producer } = this.handle()
    const [partition, version, offset] = [random.below(2), random.pick([2, 3, 4, 5, 5]), random.below(100)]
    const error = await world.raw.txnCommit(
      producer,
      { group: world.group, topic: this.topic, partition, offset },
      version
    )
    this.steps.push(`offset ${version} ${name} ${partition} ${offset}: ${error}`)
  }

  private async plainCommit(): Promise<void> {
    const { random, world } = this
    const [partition, offset] = [random.below(2), random.below(100)]
    const error = await world.raw.commit({ group: world.group, topic: this.topic, partition, offset })
    this.steps.push(`plain offset ${partition} ${offset}: ${error}`)
  }

  /** What can be seen from outside. */
  async look(): Promise<void> {
    const { group, raw } = this.world
    const seen: Array<string> = []
    for (const partition of [0, 1]) {
      const { end, lastStable } = await raw.ends(this.topic, partition)
      const producers = (await raw.producers(this.topic, partition)).map((it) => Object.values(it).join("/"))
      const plain = await raw.committed(group, this.topic, { partition })
      const stable = await raw.committed(group, this.topic, { partition, stable: true })
      seen.push(
        `${partition}: ${lastStable} of ${end} [${producers.join()}] ${JSON.stringify(plain)} ${JSON.stringify(stable)}`
      )
    }
    const states = []
    for (const name of ["A", "B"]) {
      const { epoch, partitions, state } = await raw.describe(this.world.name(name))
      states.push(`${name} ${String(state)}/${String(epoch)} ${JSON.stringify(partitions)}`)
    }
    this.steps.push(`look ${seen.join("; ")}; ${states.join("; ")}`)
  }

  async logs(): Promise<void> {
    for (const partition of [0, 1]) {
      this.steps.push(...await this.world.raw.log(this.topic, partition))
      this.steps.push(`visible ${(await this.world.raw.visible(this.topic, partition)).join()}`)
    }
  }
}

/** Takes `steps` random steps and answers what each brought, and then what the logs hold. */
export const walk = async (world: World, seed: number, steps: number): Promise<ReadonlyArray<string>> => {
  const it = new Walk(world, await world.topic(2), seed)
  await it.begin()
  for (let step = 0; step < steps; step++) await it.step()
  await it.look()
  await it.logs()
  return it.steps
}

export const walks = section("random walks", (check) => {
  for (let seed = 1; seed <= WALKS; seed++) check(`seed ${seed}`, (world) => walk(world, seed, STEPS))
})
