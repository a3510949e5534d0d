import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it, vi } from "vitest"
import { random } from "./random.ts"
import { Worker } from "./supervisor.ts"

let directory = ""
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "supervisor-"))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const worker = (name: string, program: string) => {
  const script = join(directory, `${name}.mjs`)
  const log = join(directory, `${name}.log`)
  writeFileSync(script, program)
  writeFileSync(log, "")
  const made = new Worker({ index: 7, command: [process.execPath, script], env: {}, log })
  made.start()
  return { made, said: () => readFileSync(log, "utf8") }
}

const stays = `
  process.on("SIGTERM", () => process.exit(0))
  console.log("up " + process.env.WORKER_INDEX)
  setInterval(() => {}, 1000)
`
const times = (text: string, what: string) => text.split(what).length - 1

describe("a supervised worker", () => {
  it("is started again after it was killed, and ends with 0 when it is told to", async () => {
    const { made, said } = worker("killed", stays)
    await vi.waitUntil(() => times(said(), "up 7") === 1, 10_000)
    assert.isTrue(await made.kill())
    await vi.waitUntil(() => times(said(), "up 7") === 2, 10_000)
    assert.strictEqual(await made.stop(5_000), 0)
    assert.strictEqual(made.exits.killed, 1)
    assert.strictEqual(made.starts, 2)
  })

  it("is started again when it stopped as fenced", async () => {
    const { made } = worker("fenced", "process.exit(3)")
    await vi.waitUntil(() => made.exits.fenced >= 2, 10_000)
    await made.stop(5_000)
    assert.deepStrictEqual(made.exits.others, [])
  })

  it("stays down when it stopped as a replica clash", async () => {
    const { made } = worker("clash", "process.exit(4)")
    await vi.waitUntil(() => made.exits.clashed === 1, 10_000)
    assert.isFalse(await made.kill())
    assert.strictEqual(await made.stop(1_000), 0)
    assert.strictEqual(made.starts, 1)
  })

  it("comes back from a freeze", async () => {
    const { made, said } = worker("frozen", `${stays}\nsetInterval(() => console.log("tick"), 20)`)
    await vi.waitUntil(() => said().includes("tick"), 10_000)
    const frozen = made.freeze(400)
    await vi.waitUntil(() => {
      const before = said().length
      const until = Date.now() + 100
      while (Date.now() < until);
      return said().length === before
    }, 5_000)
    assert.isTrue(await frozen)
    const after = said().length
    await vi.waitUntil(() => said().length > after, 5_000)
    assert.strictEqual(await made.stop(5_000), 0)
  })

  it("is killed when it does not end", async () => {
    const { made, said } = worker(
      "deaf",
      `process.on("SIGTERM", () => {})\nconsole.log("up")\nsetInterval(() => {}, 1000)`
    )
    await vi.waitUntil(() => said().includes("up"), 10_000)
    assert.isNull(await made.stop(200))
  })
})

describe("random", () => {
  const draw = (seed: number) => {
    const chance = random(seed)
    return Array.from({ length: 50 }, () => chance.between(1, 6))
  }

  it("draws the same from the same seed, and within its bounds", () => {
    assert.deepStrictEqual(draw(7), draw(7))
    assert.notDeepEqual(draw(7), draw(8))
    assert.deepStrictEqual([...new Set(draw(7))].toSorted(), [1, 2, 3, 4, 5, 6])
  })

  it("a fork does not depend on what its parent has drawn", () => {
    const one = random(7)
    const other = random(7)
    other.next()
    assert.strictEqual(one.fork(2).next(), other.fork(2).next())
    assert.notStrictEqual(one.fork(1).next(), one.fork(2).next())
  })
})
