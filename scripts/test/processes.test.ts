import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, assert, describe, it } from "vitest"
import { end, exclusively, launch, runs } from "../lib/processes.ts"

const folder = mkdtempSync(join(tmpdir(), "processes-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const log = join(folder, "log")
const node = (code: string, mark: string) => ["-e", code, mark]
const until = async (holds: () => boolean) => {
  for (const deadline = Date.now() + 10_000; !holds();) {
    if (Date.now() > deadline) throw new Error("this did not happen within 10 s")
    await sleep(10)
  }
}

describe("processes by pid and mark", () => {
  it("a pid that runs something else is not ours, and is left alone", async () => {
    const pid = await launch(process.execPath, node("setInterval(() => {}, 1000)", "ours-1"), { log, outlives: false })
    assert.isTrue(runs(pid, "ours-1"))
    assert.isFalse(runs(pid, "theirs"))
    await end(pid, "theirs", 0)
    assert.isTrue(runs(pid, "ours-1"))
    await end(pid, "ours-1", 0)
    assert.isFalse(runs(pid, "ours-1"))
  })

  it("who does not end when asked is killed after its grace", async () => {
    const code = `process.on("SIGTERM", () => {}); console.log("deaf"); setInterval(() => {}, 1000)`
    const deaf = join(folder, "deaf.log")
    const pid = await launch(process.execPath, node(code, "ours-2"), { log: deaf, outlives: false })
    await until(() => readFileSync(deaf, "utf8").includes("deaf"))
    const asked = Date.now()
    await end(pid, "ours-2", 300)
    assert.isAtLeast(Date.now() - asked, 300)
    assert.isFalse(runs(pid, "ours-2"))
  })

  it("a command that does not exist is an error, not a pid", async () => {
    const started = launch(join(folder, "nothing"), [], { log, outlives: true })
    assert.match(String(await started.catch((error: unknown) => error)), /ENOENT/)
  })

  it.runIf(existsSync("/usr/bin/setpriv"))("a process ends with its parent, also when that is killed", async () => {
    const pidFile = join(folder, "pid")
    const script = join(folder, "parent.ts")
    writeFileSync(
      script,
      `import { launch } from ${JSON.stringify(join(import.meta.dirname, "..", "lib", "processes.ts"))}
       import { writeFileSync } from "node:fs"
       const pid = await launch("sleep", ["1000"], { log: ${JSON.stringify(log)}, outlives: false })
       writeFileSync(${JSON.stringify(pidFile)}, String(pid))
       setInterval(() => {}, 1000)`
    )
    const parent = spawn(process.execPath, [script], { stdio: "ignore" })
    await until(() => existsSync(pidFile) && readFileSync(pidFile, "utf8") !== "")
    const pid = Number(readFileSync(pidFile, "utf8"))
    assert.isTrue(runs(pid, "sleep 1000"))
    parent.kill("SIGKILL")
    await once(parent, "exit")
    await until(() => !runs(pid, "sleep 1000"))
  })
})

describe("a lock file", () => {
  it("lets one in at a time", async () => {
    const lock = join(folder, "lock")
    let inside = 0
    let most = 0
    const visit = () =>
      exclusively(lock, async () => {
        most = Math.max(most, ++inside)
        await sleep(20)
        inside--
      })
    await Promise.all([visit(), visit(), visit()])
    assert.strictEqual(most, 1)
    assert.isFalse(existsSync(lock))
  })

  it("left behind by a process that is gone counts for nothing", async () => {
    const lock = join(folder, "stale")
    const child = spawn("true")
    await once(child, "exit")
    writeFileSync(lock, String(child.pid))
    assert.strictEqual(await exclusively(lock, () => Promise.resolve("in")), "in")
  })

  it("is given back when the work fails", async () => {
    const lock = join(folder, "failing")
    const failed = exclusively(lock, () => Promise.reject(new Error("no")))
    assert.match(String(await failed.catch((error: unknown) => error)), /no/)
    assert.isFalse(existsSync(lock))
  })
})
