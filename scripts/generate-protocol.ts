/**
 * Writes packages/protocol/src/generated from the message schemas in packages/protocol/schema.
 *
 *   node scripts/generate-protocol.ts                 generate
 *   node scripts/generate-protocol.ts --check         exit 1 when what is committed differs from what would be generated
 *   node scripts/generate-protocol.ts --jar <path>    take the schemas out of a kafka-clients jar first
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { emitFiles } from "./generate-protocol/emit.ts"
import { readArchive } from "./generate-protocol/jar.ts"
import { type Schema, serialize, strip, wanted } from "./generate-protocol/schema.ts"

const root = new URL("../packages/protocol/", import.meta.url)
const schemaFile = new URL("schema/kafka.json", root)
const output = new URL("src/generated/", root)

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

if (values.jar !== undefined) {
  mkdirSync(new URL(".", schemaFile), { recursive: true })
  writeFileSync(schemaFile, serialize(extract(values.jar)))
}

// Written by `serialize` above, and nothing else writes it; the emitter fails on a shape it does not know.
const schema = JSON.parse(readFileSync(schemaFile, "utf8")) as Schema
const files = emitFiles(schema)

if (values.check === true) {
  const present = new Set(readdirSync(output))
  const stale = [...files].filter(([name, text]) =>
    !present.has(name) || readFileSync(new URL(name, output), "utf8") !== text
  ).map(([name]) => name)
  const left = [...present].filter((name) => !files.has(name))
  if (stale.length + left.length > 0) {
    console.error(
      `packages/protocol/src/generated is stale (${
        [...stale, ...left].join(", ")
      }): run node scripts/generate-protocol.ts`
    )
    process.exitCode = 1
  }
} else {
  rmSync(output, { recursive: true, force: true })
  mkdirSync(output, { recursive: true })
  for (const [name, text] of files) writeFileSync(new URL(name, output), text)
  console.log(`${files.size} files from ${schema.messages.length} messages of Kafka ${schema.kafka}`)
}
