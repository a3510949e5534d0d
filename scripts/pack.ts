/**
 * npm's prepack and postpack hooks, run in a package's folder: `pre` turns package.json into what is published, `post`
 * puts the repository's own back. Run `npm run build` before `npm pack` or `npm publish`.
 */
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { type Manifest, orphans, targets, toPublished } from "./lib/published.ts"

const manifestFile = "package.json"
const original = ".package.json.original"
const license = "LICENSE"
const rootLicense = join(import.meta.dirname, "..", license)

const files = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) => statSync(join(folder, path)).isFile())

const post = () => {
  if (!existsSync(original)) return
  renameSync(original, manifestFile)
  rmSync(license, { force: true })
}

const pre = () => {
  post()
  const own: Manifest = JSON.parse(readFileSync(manifestFile, "utf8"))
  const manifest = toPublished(own)
  const missing = targets(manifest).filter((path) => !existsSync(path))
  if (missing.length > 0) throw new Error(`${manifest.name}: ${missing.join(", ")} not built; npm run build first`)
  for (const path of orphans(files("dist"), files("src"))) rmSync(join("dist", path))
  copyFileSync(manifestFile, original)
  copyFileSync(rootLicense, license)
  writeFileSync(manifestFile, `${JSON.stringify(manifest, undefined, 2)}\n`)
}

switch (process.argv[2]) {
  case "pre":
    pre()
    break
  case "post":
    post()
    break
  default:
    throw new Error("pack.ts pre | post")
}
