/**
 * A package as npm gets it. In the repository `exports` names the TypeScript sources, so that nothing has to be built to
 * run or test; what is published names the built files. npm, unlike pnpm, has no setting for this difference.
 */

type Exports = string | null | { readonly [key: string]: Exports }

export interface Manifest {
  readonly name: string
  readonly version: string
  readonly private?: boolean
  readonly exports?: Exports
  readonly bin?: Readonly<Record<string, string>>
  readonly scripts?: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}

const source = /^\.\/src\/(.+)\.ts$/

const built = (target: Exports): Exports => {
  if (target === null) return null
  if (typeof target !== "string") {
    return Object.fromEntries(Object.entries(target).map(([key, value]) => [key, built(value)]))
  }
  const name = source.exec(target)?.[1]
  return name === undefined ? target : { types: `./dist/${name}.d.ts`, default: `./dist/${name}.js` }
}

/** The manifest for npm. The scripts stay behind: they belong to the repository. */
export const toPublished = (manifest: Manifest): Manifest => {
  const { scripts: _, ...rest } = manifest
  const bin = manifest.bin === undefined ? {} : {
    bin: Object.fromEntries(
      Object.entries(manifest.bin).map(([name, path]) => [name, path.replace(source, "./dist/$1.js")])
    )
  }
  return { ...rest, ...manifest.exports === undefined ? {} : { exports: built(manifest.exports) }, ...bin }
}

/** Every file that the manifest names and that has to exist. Patterns with `*` are left out. */
export const targets = (manifest: Manifest): ReadonlyArray<string> => {
  const found: Array<string> = [...Object.values(manifest.bin ?? {})]
  const visit = (value: Exports | undefined): void => {
    if (typeof value === "string") {
      if (!value.includes("*")) found.push(value)
    } else if (value !== null && value !== undefined) Object.values(value).forEach(visit)
  }
  visit(manifest.exports)
  return found
}

/** Built files whose source is gone: `tsc -b` leaves them lying. Paths relative to dist and src. */
export const orphans = (dist: ReadonlyArray<string>, src: ReadonlyArray<string>): ReadonlyArray<string> => {
  const sources = new Set(src.map((path) => path.replace(/\.ts$/, "")))
  return dist.filter((path) => !sources.has(path.replace(/(\.d\.ts|\.js)(\.map)?$/, "")))
}
