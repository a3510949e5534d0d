/** Kafka's jars, fetched by Maven once and kept in a git-ignored folder. */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { exclusively } from "./processes.ts"

const root = join(import.meta.dirname, "..", "..")

/** Everything that a broker leaves behind lies under this folder. */
export const home = join(root, ".kafka")

const pom = join(root, "scripts", "kafka", "pom.xml")

const elsewhere = "Or point KAFKA_BOOTSTRAP at a cluster that is already there (docker compose up -d --wait gives one)."

/** A tool that this machine lacks; the message says what to install. */
export class MissingTool extends Error {
  override readonly name = "MissingTool"
}

const works = (command: string, args: ReadonlyArray<string>) =>
  spawnSync(command, args, { stdio: "ignore" }).status === 0

export interface Java {
  readonly command: string
  /** What it says of itself. */
  readonly version: string
}

let known: Java | undefined

/** The Java to run brokers with: that of JAVA_HOME, else the one on the path. */
export const java = (): Java => {
  if (known !== undefined) return known
  const javaHome = process.env["JAVA_HOME"]
  const command = javaHome === undefined || javaHome === "" ? "java" : join(javaHome, "bin", "java")
  const { status, stderr } = spawnSync(command, ["-version"], { encoding: "utf8" })
  if (status === 0) return known = { command, version: stderr }
  throw new MissingTool(
    `A real Kafka needs a JDK 17 or later, and ${command} does not run. ` +
      `Install one (Debian: apt-get install openjdk-17-jre-headless maven). ${elsewhere}`
  )
}

/** The folder of jars, complete. Asks Maven's local repository first, so that it works offline once it has worked. */
export const jars = async (): Promise<string> => {
  const libs = join(home, "libs")
  const complete = join(libs, ".complete")
  const version = createHash("sha256").update(readFileSync(pom)).digest("hex")
  const isComplete = () => existsSync(complete) && readFileSync(complete, "utf8") === version
  if (isComplete()) return libs
  return exclusively(join(home, "libs.lock"), async () => {
    if (isComplete()) return libs
    if (!works("mvn", ["-v"])) {
      throw new MissingTool(
        `Kafka's jars are not in ${libs} yet and Maven, which fetches them, is missing. ` +
          `Install it (Debian: apt-get install maven). ${elsewhere}`
      )
    }
    const fresh = join(home, "libs.new")
    const copy = (...flags: ReadonlyArray<string>) => {
      rmSync(fresh, { recursive: true, force: true })
      mkdirSync(fresh, { recursive: true })
      const goal = ["dependency:copy-dependencies", `-DoutputDirectory=${fresh}`]
      const result = spawnSync("mvn", [...flags, "-B", "-q", "-f", pom, ...goal], { encoding: "utf8" })
      return { ok: result.status === 0 && readdirSync(fresh).length > 0, output: result.stdout + result.stderr }
    }
    const offline = copy("-o")
    if (!offline.ok) {
      const online = copy()
      if (!online.ok) throw new Error(`Maven could not fetch Kafka's jars:\n${online.output.trim()}`)
    }
    rmSync(libs, { recursive: true, force: true })
    renameSync(fresh, libs)
    writeFileSync(complete, version)
    return libs
  })
}
