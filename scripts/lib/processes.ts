/**
 * Processes by pid. A pid alone proves nothing, since the system hands it out again: what is asked here is whether the
 * pid still runs a command line that holds a mark of ours.
 */
import { execFileSync, spawn } from "node:child_process"
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"

const pause = new Int32Array(new SharedArrayBuffer(4))

const procCommandLine = (pid: number): string => {
  // While a process is in exec its command line is empty for a moment, which would look like its end. It is over when
  // there is no such process, or only its exit status is left (Z, X).
  for (let attempt = 0; attempt < 40; attempt++) {
    const text = readFileSync(`/proc/${pid}/cmdline`, "utf8")
    if (text !== "") return text.replaceAll("\0", " ")
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    if (/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2))) return ""
    Atomics.wait(pause, 0, 0, 5)
  }
  return ""
}

/** The command line of a process, empty when there is none (or only its exit status is left). */
export const commandLine = (pid: number): string => {
  try {
    if (existsSync("/proc/self/cmdline")) return procCommandLine(pid)
    return execFileSync("ps", ["-ww", "-o", "args=", "-p", String(pid)], { encoding: "utf8", stdio: "pipe" })
  } catch {
    return ""
  }
}

export const runs = (pid: number, mark: string): boolean => commandLine(pid).includes(mark)

/** Resolves to whether the process was gone within the time. */
const awaitEnd = async (pid: number, mark: string, timeoutMs: number): Promise<boolean> => {
  const deadline = Date.now() + timeoutMs
  while (runs(pid, mark)) {
    if (Date.now() > deadline) return false
    await sleep(20)
  }
  return true
}

/** Asks the process to end, and kills it when it has not within the grace period. No grace: killed at once. */
export const end = async (pid: number, mark: string, graceMs: number): Promise<void> => {
  if (!runs(pid, mark)) return
  const send = (signal: NodeJS.Signals) => {
    try {
      process.kill(pid, signal)
    } catch {
      // it ended between the question and the signal
    }
  }
  if (graceMs > 0) {
    send("SIGTERM")
    if (await awaitEnd(pid, mark, graceMs)) return
  }
  send("SIGKILL")
  if (!await awaitEnd(pid, mark, 10_000)) throw new Error(`process ${pid} survived SIGKILL`)
}

/**
 * Starts a process whose output goes to a file. `outlives`: it stays when we end. Otherwise the kernel kills it with us,
 * even when we are killed ourselves and can clean up nothing (Linux with `setpriv`; elsewhere our own exit handler has to do).
 */
export const launch = (
  command: string,
  args: ReadonlyArray<string>,
  options: { readonly log: string; readonly outlives: boolean; readonly env?: Readonly<Record<string, string>> }
): Promise<number> => {
  const out = openSync(options.log, "a")
  const bound = !options.outlives && existsSync("/usr/bin/setpriv")
  const child = spawn(
    bound ? "/usr/bin/setpriv" : command,
    [...bound ? ["--pdeathsig", "KILL", command] : [], ...args],
    {
      stdio: ["ignore", out, out],
      detached: true,
      env: { ...process.env, ...options.env }
    }
  )
  closeSync(out)
  if (!options.outlives) {
    const kill = () => child.kill("SIGKILL")
    process.once("exit", kill)
    child.once("exit", () => process.off("exit", kill))
  }
  child.unref()
  return new Promise((resolve, reject) => {
    child.once("error", reject)
    child.once("spawn", () => child.pid === undefined ? reject(new Error(`no pid for ${command}`)) : resolve(child.pid))
  })
}

/** Runs `body` while no other process does so under the same lock file. A lock whose owner is gone counts for nothing. */
export const exclusively = async <A>(lock: string, body: () => Promise<A>): Promise<A> => {
  mkdirSync(dirname(lock), { recursive: true })
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" })
      break
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error
      const owner = existsSync(lock) ? Number(readFileSync(lock, "utf8")) : 0
      if (owner > 0 && commandLine(owner) === "") rmSync(lock, { force: true })
      else await sleep(100)
    }
  }
  try {
    return await body()
  } finally {
    rmSync(lock, { force: true })
  }
}
