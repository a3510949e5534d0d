/**
 * Keeps worker processes running as an operator's supervisor would: a worker that was killed, or that stopped as fenced
 * (exit code 3), is started again; one that stopped as a replica clash is not.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { closeSync, existsSync, openSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"

/** A fenced worker asks to be started again. */
const FENCED = 3
/** A worker whose replica name a newer process has must stay down. */
const REPLICA_CLASH = 4

export interface WorkerOptions {
  readonly index: number
  /** What to run, with its arguments. */
  readonly command: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  readonly log: string
}

/** An exit code, or SIGTERM's own effect on a process that was only just starting; `null`: it had to be killed. */
type End = number | "SIGTERM" | null

export interface Exits {
  killed: number
  fenced: number
  clashed: number
  /** Exit codes that no fault of ours explains. */
  readonly others: Array<number>
}

export class Worker {
  readonly exits: Exits = { killed: 0, fenced: 0, clashed: 0, others: [] }
  starts = 0
  private child: ChildProcess | undefined
  private stopping = false
  private frozen = false
  private ended: Promise<End> = Promise.resolve(null)
  private readonly options: WorkerOptions

  constructor(options: WorkerOptions) {
    this.options = options
  }

  start(): void {
    const { command: [file = "", ...rest], env, index, log } = this.options
    const out = openSync(log, "a")
    // The kernel ends the worker with us even if we are killed; a frozen worker would otherwise stay for ever.
    const bound = existsSync("/usr/bin/setpriv")
    const child = spawn(
      bound ? "/usr/bin/setpriv" : file,
      bound ? ["--pdeathsig", "KILL", file, ...rest] : rest,
      { stdio: ["ignore", out, out], env: { ...process.env, ...env, WORKER_INDEX: String(index) } }
    )
    closeSync(out)
    this.child = child
    this.starts++
    this.frozen = false
    this.ended = new Promise((resolve) => child.once("exit", (code, signal) => resolve(this.exited(code, signal))))
  }

  private exited(code: number | null, signal: NodeJS.Signals | null): End {
    this.child = undefined
    if (this.stopping) return signal === "SIGTERM" ? signal : code
    if (signal === "SIGKILL") this.exits.killed++
    else if (code === FENCED) this.exits.fenced++
    else if (code === REPLICA_CLASH) this.exits.clashed++
    else this.exits.others.push(code ?? -1)
    if (code !== REPLICA_CLASH) setTimeout(() => this.stopping || this.start(), 200)
    return code
  }

  /** Whether the process was there to be killed. */
  async kill(): Promise<boolean> {
    const { child, ended } = this
    if (child === undefined || !child.kill("SIGKILL")) return false
    await ended
    return true
  }

  /** Stops the process for so many milliseconds, or until something has come about. Whether it was there, and came back. */
  async freeze(span: number | Promise<unknown>): Promise<boolean> {
    const { child } = this
    if (child === undefined || !child.kill("SIGSTOP")) return false
    this.frozen = true
    await (typeof span === "number" ? sleep(span) : span)
    this.frozen = false
    return child.kill("SIGCONT")
  }

  async stop(withinMs: number): Promise<End> {
    this.stopping = true
    const { child } = this
    if (child === undefined) return 0
    if (this.frozen) child.kill("SIGCONT")
    child.kill("SIGTERM")
    const code = await Promise.race([this.ended, sleep(withinMs, "late" as const)])
    if (code !== "late") return code
    child.kill("SIGKILL")
    await this.ended
    return null
  }
}
