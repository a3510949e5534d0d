import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { assert, describe, it } from "vitest"
import { NO_PID, Probe } from "./support/Probe.ts"

const BIN = new URL("../src/bin.ts", import.meta.url).pathname

const run = (...args: ReadonlyArray<string>) => {
  const child = spawn(process.execPath, [BIN, ...args], { stdio: ["ignore", "pipe", "pipe"] })
  return { child, exit: once(child, "exit"), lines: createInterface({ input: child.stdout }) }
}

describe("the broker as a command", () => {
  it("says where it listens, serves, and ends when it is told to", async () => {
    const { child, exit, lines } = run(
      "--port",
      "0",
      "--nodes",
      "2",
      "--topic",
      "orders:3",
      "--transaction-version",
      "1"
    )
    try {
      const [line] = await once(lines, "line")
      const [, addresses] = /^listening on (.+)$/.exec(String(line)) ?? []
      assert.lengthOf(addresses!.split(","), 2)
      const probe = await Probe.open(addresses!.split(",")[0]!)
      assert.strictEqual((await probe.produce(9, NO_PID, { topic: "orders" })).error, 0)
      assert.strictEqual((await probe.produce(9, NO_PID, { topic: "orders", partition: 1 })).error, 6)
      await probe.close()
      child.kill("SIGTERM")
      await exit
    } finally {
      child.kill("SIGKILL")
    }
  }, 60_000)

  it("refuses a transaction.version that there is not", async () => {
    const { child, exit } = run("--transaction-version", "3")
    let complaint = ""
    child.stderr.on("data", (chunk: Buffer) => complaint += chunk.toString())
    const [code] = await exit
    assert.strictEqual(code, 1)
    assert.include(complaint, "transaction-version")
  }, 60_000)
})
