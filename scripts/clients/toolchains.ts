/**
 * Builds the programs under this folder, each with its language's own tools, into a git-ignored folder. A program that
 * is there already is built again only when its sources have changed.
 */
import { execFile, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { exclusively } from "../lib/processes.ts"

const root = join(import.meta.dirname, "..", "..")
const sources = import.meta.dirname
const built = join(root, ".lab", "clients")

const CONFLUENT_KAFKA = "2.16.1"

export interface Toolchain {
  readonly name: "javascript" | "python" | "java" | "go"
  /** Each of these has to succeed on a machine that can build it; the name says what is needed. */
  readonly needs: Readonly<Record<string, readonly [command: string, ...args: ReadonlyArray<string>]>>
  readonly build: (target: string) => Promise<void>
}

const exec = promisify(execFile)

const run = async (command: string, args: ReadonlyArray<string>, cwd = root, env: NodeJS.ProcessEnv = {}) => {
  try {
    await exec(command, [...args], { cwd, env: { ...process.env, ...env }, maxBuffer: 64 * 1024 * 1024 })
  } catch (error) {
    const output = error instanceof Error && "stderr" in error && "stdout" in error
      ? `${String(error.stdout)}${String(error.stderr)}`.trim()
      : String(error)
    throw new Error(`${command} ${args.join(" ")}: ${output}`, { cause: error })
  }
}

const pip = (target: string) => join(target, "venv", "bin", "pip")

export const toolchains: Readonly<Record<Toolchain["name"], Toolchain>> = {
  javascript: { name: "javascript", needs: {}, build: async () => {} },
  python: {
    name: "python",
    needs: { "Python 3 with venv and pip": ["python3", "-c", "import venv, ensurepip"] },
    build: async (target) => {
      await run("python3", ["-m", "venv", join(target, "venv")])
      await run(pip(target), ["install", "-q", "--disable-pip-version-check", `confluent-kafka==${CONFLUENT_KAFKA}`])
    }
  },
  java: {
    name: "java",
    needs: { "a JDK of 17 or later": ["javac", "--release", "17", "-version"], "Maven": ["mvn", "-v"] },
    build: async (target) => {
      const libs = join(target, "libs")
      const copy = (...flags: ReadonlyArray<string>) =>
        run("mvn", [
          ...flags,
          "-B",
          "-q",
          "-f",
          join(sources, "java", "pom.xml"),
          "dependency:copy-dependencies",
          `-DoutputDirectory=${libs}`
        ])
      await copy("-o").catch(() => copy())
      const files = readdirSync(join(sources, "java")).filter((name) => name.endsWith(".java"))
      const paths = files.map((name) => join(sources, "java", name))
      await run("javac", ["-cp", `${libs}/*`, "-d", join(target, "classes"), ...paths])
    }
  },
  go: {
    name: "go",
    // From 1.21 on Go fetches the version that go.mod names.
    needs: { "Go 1.21 or later": ["sh", "-c", "go version | grep -Eq 'go1\\.(2[1-9]|[3-9][0-9])'"] },
    build: (target) =>
      run(
        "go",
        ["build", "-buildvcs=false", "-mod=readonly", "-o", join(target, "clients"), "."],
        join(sources, "go"),
        {
          GOWORK: "off"
        }
      )
  }
}

/** Why a toolchain cannot be used on this machine; `undefined` when it can. */
export const missing = ({ name, needs }: Toolchain): string | undefined => {
  const absent = Object.entries(needs).filter(([, [command, ...args]]) =>
    spawnSync(command, args, { stdio: "ignore" }).status !== 0
  )
  return absent.length === 0 ? undefined : `${name} needs ${absent.map(([what]) => what).join(" and ")}`
}

const fingerprint = (name: string): string => {
  const hash = createHash("sha256").update(CONFLUENT_KAFKA)
  const folder = join(sources, name)
  // Python is not compiled: a change of its program is no reason to install the library again.
  if (name === "python") return hash.digest("hex")
  for (const file of readdirSync(folder).sort()) hash.update(file).update(readFileSync(join(folder, file)))
  return hash.digest("hex")
}

const ready = new Map<string, Promise<string>>()

/** The folder in which a toolchain's programs stand. */
export const prepare = (toolchain: Toolchain): Promise<string> => {
  const { name } = toolchain
  const known = ready.get(name)
  if (known !== undefined) return known
  const target = join(built, name)
  const stamp = join(target, ".built")
  const preparing = exclusively(join(built, `${name}.lock`), async () => {
    const wanted = fingerprint(name)
    if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return target
    mkdirSync(target, { recursive: true })
    await toolchain.build(target)
    writeFileSync(stamp, wanted)
    return target
  })
  ready.set(name, preparing)
  return preparing
}

/** Where the sources stand, for the languages that run them as they are. */
export const source = (...path: ReadonlyArray<string>): string => join(sources, ...path)
