import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { runProgram } from "../../../scripts/clients/run.ts"

/** A script of the benchmark, alone in a process: what it counts is its own. */
const alone = async (script: string, ...flags: ReadonlyArray<string>) => {
  const path = join(import.meta.dirname, "..", "..", "..", "bench", "lib", script)
  return (await runProgram([process.execPath, ...flags, path], {}, 60_000)).saw
}

describe("a broker", () => {
  it("starts within 50 ms", async () => {
    const { median } = await alone("brokerStarts.ts")
    assert.isAbove(Number(median), 0)
    assert.isBelow(Number(median), 50)
  }, 60_000)

  it("is collected with everything it held once it has stopped, a thousand times over", async () => {
    const { alive, heapMegabytes, resources } = await alone("brokerLeak.ts", "--expose-gc")
    assert.deepStrictEqual({ alive, resources }, { alive: 0, resources: 0 })
    assert.isBelow(Number(heapMegabytes), 5)
  }, 60_000)
})
