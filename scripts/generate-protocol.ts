/**
 * Writes packages/protocol/src/generated and docs/kafka/apis.md from the message schemas in packages/protocol/schema.
 *
 *   node scripts/generate-protocol.ts                 generate
 *   node scripts/generate-protocol.ts --check         exit 1 when what is committed differs from what would be generated
 *   node scripts/generate-protocol.ts --jar <path>    take the schemas out of a kafka-clients jar first (with --check: compare only)
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { emitFiles, emitPage } from "./generate-protocol/emit.ts"
import { readArchive } from "./generate-protocol/jar.ts"
import { type Schema, serialize, strip, wanted } from "./generate-protocol/schema.ts"

const root = new URL("../", import.meta.url)
const SCHEMA = "packages/protocol/schema/kafka.json"
const GENERATED = "packages/protocol/src/generated/"
const PAGE = "docs/kafka/apis.md"

const { values } = parseArgs({ options: { check: { type: "boolean" }, jar: { type: "string" } } })

const extract = (jar: string): Schema => {
  const entries = readArchive(
    jar,
    (name) => /^common\/message\/.*\.json$/.test(name) || name === "kafka/kafka-version.properties"
  )
  const version = /^version=(.*)$/m.exec(entries.get("kafka/kafka-version.properties") ?? "")?.[1]
  if (version === undefined) throw new Error(`${jar} does not say which Kafka it is`)
  const messages = [...entries]
    .filter(([name]) => name.endsWith(".json"))
    .map(([, text]) => strip(text))
    .filter(wanted)
    .sort((a, b) => (a.apiKey ?? 1000) - (b.apiKey ?? 1000) || (a.name < b.name ? -1 : 1))
  return { kafka: version, messages }
}

// Written by `serialize` alone; the emitter fails on a shape it does not know.
const committed = (): Schema => JSON.parse(readFileSync(new URL(SCHEMA, root), "utf8")) as Schema

const schema = values.jar === undefined ? committed() : extract(values.jar)
const outputs = new Map<string, string>([
  ...(values.jar === undefined ? [] : [[SCHEMA, serialize(schema)] as const]),
  ...[...emitFiles(schema)].map(([name, text]) => [GENERATED + name, text] as const),
  [PAGE, emitPage(schema)]
])
const generated = new URL(GENERATED, root)
const leftOver = (existsSync(generated) ? readdirSync(generated) : []).map((name) => GENERATED + name)
  .filter((path) => !outputs.has(path))

if (values.check === true) {
  const isStale = (path: string, text: string): boolean => {
    const file = new URL(path, root)
    return !existsSync(file) || readFileSync(file, "utf8") !== text
  }
  const stale = [...outputs].filter(([path, text]) => isStale(path, text)).map(([path]) => path)
  if (stale.length + leftOver.length > 0) {
    console.error(
      `Stale: ${[...stale, ...leftOver].join(", ")}. Run node scripts/generate-protocol.ts and commit the result.`
    )
    process.exitCode = 1
  }
} else {
  for (const path of leftOver) rmSync(new URL(path, root))
  for (const [path, text] of outputs) {
    const file = new URL(path, root)
    mkdirSync(new URL(".", file), { recursive: true })
    writeFileSync(file, text)
  }
  console.log(`${outputs.size} files from ${schema.messages.length} messages of Kafka ${schema.kafka}`)
}
