/**
 * Does what is published work where nothing of this repository is? Builds and packs every public package, installs the
 * tarballs in an empty project, type-checks a program that uses each of them and the example worker, and runs both.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Manifest } from "./lib/published.ts"

const root = join(import.meta.dirname, "..")
const work = mkdtempSync(join(tmpdir(), "exactly-once-pack-"))
const stage = join(work, "stage")
const project = join(work, "project")

const readManifest = (folder: string): Manifest => JSON.parse(readFileSync(join(folder, "package.json"), "utf8"))

const run = (cwd: string, command: string, ...args: ReadonlyArray<string>): string => {
  try {
    return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })
  } catch (error) {
    const output = error instanceof Error && "stdout" in error && "stderr" in error
      ? `${error.stdout}${error.stderr}`
      : ""
    throw new Error(`${command} ${args.join(" ")} failed in ${cwd}\n${output}`, { cause: error })
  }
}

const folders = readdirSync(join(root, "packages")).filter((name) =>
  readManifest(join(root, "packages", name)).private !== true
)

/**
 * Packed in a copy: while the hooks run, package.json is not the repository's own, and whoever works in the repository
 * at that moment would see it.
 */
const pack = (): ReadonlyArray<string> => {
  mkdirSync(stage, { recursive: true })
  cpSync(join(root, "scripts"), join(stage, "scripts"), { recursive: true })
  cpSync(join(root, "LICENSE"), join(stage, "LICENSE"))
  symlinkSync(join(root, "node_modules"), join(stage, "node_modules"))
  return folders.map((name) => {
    const folder = join(stage, "packages", name)
    cpSync(join(root, "packages", name), folder, {
      recursive: true,
      filter: (path) => !path.includes("node_modules") && !path.endsWith(".tsbuildinfo")
    })
    const before = readFileSync(join(folder, "package.json"), "utf8")
    const tarball = run(folder, "npm", "pack", "--silent", "--pack-destination", work).trim().split("\n").at(-1) ?? ""
    if (readFileSync(join(folder, "package.json"), "utf8") !== before) {
      throw new Error(`${name}: postpack left its mark`)
    }
    return join(work, tarball)
  })
}

/** Packages of the repository need each other in exactly the version that is published with them. */
const checkVersions = () => {
  const manifests = folders.map((name) => readManifest(join(root, "packages", name)))
  const versions = new Map(manifests.map(({ name, version }) => [name, version]))
  for (const { dependencies = {}, name, peerDependencies = {} } of manifests) {
    for (const [other, range] of Object.entries({ ...dependencies, ...peerDependencies })) {
      if (!other.startsWith("@exactly-once/")) continue
      if (versions.get(other) !== range) {
        throw new Error(`${name} needs ${other} ${range}, which is not published (${versions.get(other)})`)
      }
    }
  }
}

const consumer = (names: ReadonlyArray<string>): string =>
  [
    ...names.map((name, index) => `import * as P${index} from "${name}"`),
    // An `any` here would mean that TypeScript found no declarations behind the entry point.
    "type IsAny<T> = 0 extends 1 & T ? true : false",
    "const typed = <T>(_: T, __: IsAny<T> extends true ? never : true) => {}",
    ...names.flatMap((_, index) => [`for (const name of Object.keys(P${index})) console.log("${names[index]}", name)`]),
    ...exported(names)
  ].join("\n")

/** One line for each exported value: it has a type that is not `any`. */
const exported = (names: ReadonlyArray<string>): ReadonlyArray<string> =>
  names.flatMap((name, index) => {
    const listed = run(
      project,
      process.execPath,
      "--input-type=module",
      "-e",
      `console.log(Object.keys(await import("${name}")).join())`
    )
    return listed.trim().split(",").filter((key) => key !== "").map((key) => `typed(P${index}.${key}, true)`)
  })

const sealed = (name: string): string =>
  `import("${name}/internal/x").then(() => process.exit(1), (e) => process.exit(e.code === "ERR_PACKAGE_PATH_NOT_EXPORTED" ? 0 : 1))`

try {
  checkVersions()
  run(root, join(root, "node_modules", ".bin", "tsc"), "-b", ...folders.map((name) => `packages/${name}`))
  const tarballs = pack()
  mkdirSync(project)
  const own = readManifest(root) as Manifest & { readonly devDependencies: Readonly<Record<string, string>> }
  const names = folders.map((name) => readManifest(join(root, "packages", name)).name)
  const versionOf = (name: string) => own.devDependencies[name] ?? "latest"
  const dependencies = {
    ...Object.fromEntries(names.map((name, index) => [name, `file:${tarballs[index]}`])),
    effect: versionOf("effect"),
    "@effect/platform-node": versionOf("@effect/platform-node"),
    typescript: versionOf("typescript"),
    "@types/node": versionOf("@types/node")
  }
  writeFileSync(
    join(project, "package.json"),
    JSON.stringify({ name: "empty", version: "1.0.0", private: true, type: "module", dependencies })
  )
  run(project, "npm", "install", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
  writeFileSync(
    join(project, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        strict: true,
        exactOptionalPropertyTypes: true,
        module: "NodeNext",
        target: "ES2024",
        types: ["node"],
        rewriteRelativeImportExtensions: true,
        skipLibCheck: true,
        outDir: "out"
      },
      files: ["main.ts", "worker.ts"]
    })
  )
  writeFileSync(join(project, "main.ts"), consumer(names))
  for (const name of readdirSync(join(root, "examples")).filter((file) => file.endsWith(".ts"))) {
    cpSync(join(root, "examples", name), join(project, name))
  }
  run(project, join(project, "node_modules", ".bin", "tsc"), "-p", ".")
  const output = run(project, process.execPath, "out/main.js").trim().split("\n")
  // The example worker, told nothing: it has to get as far as naming the setting that it misses.
  const worker = spawnSync(process.execPath, ["out/worker.js"], { cwd: project, encoding: "utf8", env: {} })
  if (worker.status !== 2 || !`${worker.stdout}${worker.stderr}`.includes("IN_TOPIC")) {
    throw new Error(`the example worker ended with ${worker.status}, not with 2\n${worker.stdout}${worker.stderr}`)
  }
  for (const name of names) run(project, process.execPath, "--input-type=module", "-e", sealed(name))
  console.log(`${names.length} packages install, type-check and run in an empty project (${output.length} exports)`)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  rmSync(work, { recursive: true, force: true })
}
