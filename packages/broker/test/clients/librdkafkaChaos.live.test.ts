import { spawn } from "node:child_process"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { missing, prepare, source, toolchains } from "../../../../scripts/clients/toolchains.ts"
import { describeLive, liveKafka } from "../../../../scripts/vitest/live.ts"

const chaos = (...args: ReadonlyArray<string>): Promise<{ readonly code: number | null; readonly output: string }> =>
  new Promise((resolve, reject) => {
    const script = source("librdkafkaChaos.ts")
    const version = String(liveKafka.transactionVersion)
    const child = spawn(process.execPath, [script, "--seconds", "40", "--transaction-version", version, ...args], {
      cwd: join(import.meta.dirname, "..", ".."),
      stdio: ["ignore", "pipe", "pipe"]
    })
    let output = ""
    child.stdout.on("data", (chunk: Buffer) => output += chunk.toString())
    child.stderr.on("data", (chunk: Buffer) => output += chunk.toString())
    child.once("error", reject)
    child.once("close", (code) => resolve({ code, output }))
  })

const exact = async (...args: ReadonlyArray<string>): Promise<void> => {
  await prepare(toolchains.python)
  const { code, output } = await chaos(...args)
  assert.strictEqual(code, 0, output)
  assert.match(output, /^Exact: 10000 put in, 10000 visible/m)
}

const absent = missing(toolchains.python)

describe.skipIf(absent !== undefined)(
  `librdkafka workers that are killed and frozen${absent === undefined ? "" : ` [skipped: ${absent}]`}`,
  () => {
    it("copy exactly once on the embedded broker", () => exact(), 300_000)
    it("copy exactly once on the embedded broker in a KIP-848 group", () => exact("--protocol", "consumer"), 300_000)
    describeLive("on a real Kafka", () => {
      it("copy exactly once", () => exact("--kafka"), 300_000)
    })
  }
)
