/** `npm run check:lock`, and with `--fix` the repair: run it after `npm install` has changed package-lock.json. */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { complete, type Lockfile, missing } from "./lib/lockfile.ts"

const { values } = parseArgs({ options: { fix: { type: "boolean", default: false } } })
const file = join(import.meta.dirname, "..", "package-lock.json")
const lock: Lockfile = JSON.parse(readFileSync(file, "utf8"))
const gone = missing(lock)

if (gone.length === 0) console.log("package-lock.json is complete")
else if (values.fix) {
  writeFileSync(file, `${JSON.stringify(complete(lock), undefined, 2)}\n`)
  console.log(`package-lock.json: ${gone.length} optional packages of other platforms added`)
} else {
  console.error(`npm ci will refuse package-lock.json, which lacks ${gone.map(({ name }) => name).join(", ")}`)
  console.error("node scripts/lockfile.ts --fix adds them")
  process.exitCode = 1
}
