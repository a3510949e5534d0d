/**
 * `npm ci` refuses a lockfile that lacks an optional dependency of a locked package, also one for another platform. npm
 * leaves such entries out when the registry it was written against could not serve them (a mirror that holds one
 * platform only). What is missing is known well enough to be added: the name says for which platform it is.
 */

interface Entry {
  readonly version?: string
  readonly dev?: boolean
  readonly optional?: boolean
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly os?: ReadonlyArray<string>
  readonly cpu?: ReadonlyArray<string>
  readonly libc?: ReadonlyArray<string>
}

export interface Lockfile {
  readonly packages: Readonly<Record<string, Entry>>
}

export interface Missing {
  readonly owner: string
  readonly name: string
  readonly version: string
  readonly dev: boolean
}

/** Where Node would find `name` from the package at `owner`, among what is locked. */
const resolve = (packages: Lockfile["packages"], owner: string, name: string): string | undefined => {
  for (let from = owner;;) {
    const candidate = `${from === "" ? "" : `${from}/`}node_modules/${name}`
    if (candidate in packages) return candidate
    if (from === "") return undefined
    const parent = from.lastIndexOf("/node_modules/")
    from = parent === -1 ? "" : from.slice(0, parent)
  }
}

export const missing = (lock: Lockfile): ReadonlyArray<Missing> =>
  Object.entries(lock.packages).flatMap(([owner, entry]) =>
    Object.entries(entry.optionalDependencies ?? {})
      .filter(([name]) => resolve(lock.packages, owner, name) === undefined)
      .map(([name, version]) => ({ owner, name, version, dev: entry.dev === true }))
  )

const systems = ["android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32"]
const processors = ["arm64", "x64", "ia32", "arm", "loong64", "ppc64", "riscv64", "s390x", "wasm32"]

/** os, cpu and libc as the parts of a platform package's name say; undefined when it names no platform. */
export const platform = (name: string): Pick<Entry, "os" | "cpu" | "libc"> | undefined => {
  const parts = new Set(name.replace(/^@[^/]+\//, "").split("-"))
  const os = systems.find((system) => parts.has(system))
  const cpu = processors.find((processor) => parts.has(processor))
  if (cpu === undefined || (os === undefined && cpu !== "wasm32")) return undefined
  const musl = [...parts].some((part) => part.startsWith("musl"))
  const glibc = [...parts].some((part) => part === "glibc" || part.startsWith("gnu"))
  return {
    cpu: [cpu],
    ...os === undefined ? {} : { os: [os] },
    ...os !== "linux" ? {} : musl ? { libc: ["musl"] } : glibc ? { libc: ["glibc"] } : {}
  }
}

/** The lockfile with what was missing. Throws on an optional dependency whose name says no exact version or platform. */
export const complete = (lock: Lockfile): Lockfile => {
  const added = missing(lock).map(({ dev, name, version }): readonly [string, Entry] => {
    const fits = platform(name)
    if (fits === undefined || !/^\d/.test(version)) {
      throw new Error(`${name}@${version} is not in the lockfile, and its name does not say for which platform it is`)
    }
    return [`node_modules/${name}`, { version, ...fits, ...dev ? { dev } : {}, optional: true }]
  })
  const entries = [...Object.entries(lock.packages), ...added]
  return { ...lock, packages: Object.fromEntries(entries.sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0)) }
}
