/** Peers: commands that do the work, each in a process of its own. */
import { spawn } from "node:child_process"
import { existsSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"

export const root = join(import.meta.dirname, "..", "..")
export const results = join(root, ".bench")

export type Mode = "copy" | "txn" | "produce"

export interface Peer {
  readonly name: string
  /** `$NODE` and what the environment holds are replaced. */
  readonly command: ReadonlyArray<string>
  readonly modes: ReadonlyArray<Mode>
  readonly env: Readonly<Record<string, string>>
}

type PeerFile = Readonly<Record<string, Omit<Peer, "name" | "env"> & Partial<Pick<Peer, "env">>>>

/** The peers of bench/peers.json, and of the files that PEERS_EXTRA lists by commas. */
export const readPeers = (): ReadonlyMap<string, Peer> => {
  const files = [
    join(root, "bench", "peers.json"),
    ...(process.env["PEERS_EXTRA"] ?? "").split(",").filter((name) => name !== "")
  ]
  const peers = new Map<string, Peer>()
  for (const file of files) {
    const parsed: PeerFile = JSON.parse(readFileSync(file, "utf8"))
    for (const [name, peer] of Object.entries(parsed)) peers.set(name, { env: {}, ...peer, name })
  }
  return peers
}

export interface PeerRun {
  /** The last line of its output that is an object. */
  readonly answer: Readonly<Record<string, number>>
  readonly status: string
  /** When the process was started, in milliseconds since 1970. */
  readonly startedMs: number
  /** User and system time of the process and everything that it waited for, start-up included. */
  readonly cpuSeconds: number
  readonly peakMegabytes: number
  readonly log: string
}

/** `times` of bash knows the processor time of a child that has ended, which Node does not; its own share is negligible. */
const wrapper = `"$@" & echo $! >"$BENCH_PID"; wait $!; code=$?; times >"$BENCH_TIMES"; exit $code`

const seconds = (clock: string): number => {
  const [, minutes = "0", rest = "0"] = /^(\d+)m([\d.]+)s$/.exec(clock) ?? []
  return Number(minutes) * 60 + Number(rest)
}

/** The second line of `times`: user and system time of the children. */
const childSeconds = (file: string): number => {
  const line = existsSync(file) ? readFileSync(file, "utf8").split("\n")[1] ?? "" : ""
  return line.trim().split(/\s+/).reduce((sum, clock) => sum + seconds(clock), 0)
}

const peakMegabytes = (pidFile: string): number | undefined => {
  try {
    const status = readFileSync(`/proc/${readFileSync(pidFile, "utf8").trim()}/status`, "utf8")
    return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024
  } catch {
    return undefined
  }
}

const lastObject = (log: string): Readonly<Record<string, number>> => {
  const line = readFileSync(log, "utf8").split("\n").findLast((text) => text.startsWith("{"))
  try {
    return line === undefined ? {} : JSON.parse(line)
  } catch {
    return {}
  }
}

const expand = (word: string): string =>
  word.replace(/\$([A-Z_]+)/g, (whole, name: string) => name === "NODE" ? process.execPath : process.env[name] ?? whole)

let runs = 0

/** Runs a peer to its end, or kills it and everything it started when the time is over. */
export const runPeer = async (
  peer: Peer,
  env: Readonly<Record<string, string | number>>,
  timeoutMs: number
): Promise<PeerRun> => {
  const logs = join(results, "logs")
  mkdirSync(logs, { recursive: true })
  const base = join(logs, `${String(++runs).padStart(3, "0")}-${peer.name}-${env["MODE"]}`)
  const files = { log: `${base}.log`, pid: `${base}.pid`, times: `${base}.times` }
  rmSync(files.pid, { force: true })
  rmSync(files.times, { force: true })
  const output = openSync(files.log, "w")
  const startedMs = Date.now()
  const child = spawn("bash", ["-c", wrapper, "peer", ...peer.command.map(expand)], {
    cwd: root,
    detached: true,
    stdio: ["ignore", output, output],
    env: {
      ...process.env,
      ...Object.fromEntries(Object.entries(env).map(([name, value]) => [name, String(value)])),
      ...peer.env,
      BENCH_PID: files.pid,
      BENCH_TIMES: files.times
    }
  })
  const killGroup = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL")
    } catch {
      // gone already
    }
  }
  process.once("exit", killGroup)
  const ended = new Promise<string>((resolve, reject) => {
    child.once("error", reject)
    child.once("exit", (code, signal) => resolve(signal ?? String(code)))
  })
  let status: string | undefined
  void ended.then((value) => status = value, () => status = "not started")
  let peak = 0
  let timedOut = false
  while (status === undefined) {
    if (!timedOut && Date.now() - startedMs > timeoutMs) {
      timedOut = true
      killGroup()
    }
    await Promise.race([sleep(100), ended.catch(() => "")])
    peak = Math.max(peak, peakMegabytes(files.pid) ?? 0)
  }
  killGroup()
  process.off("exit", killGroup)
  const run = {
    answer: lastObject(files.log),
    status: timedOut ? `killed after ${timeoutMs} ms` : status,
    startedMs,
    cpuSeconds: childSeconds(files.times),
    peakMegabytes: peak,
    log: files.log
  }
  rmSync(files.pid, { force: true })
  rmSync(files.times, { force: true })
  return run
}
