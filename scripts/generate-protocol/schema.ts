/**
 * The part of Kafka's message schemas that the generator reads. Prose (comments, `about`) and what no generated code depends on
 * (listeners, entity types) is left behind when a schema is taken out of the jar.
 */
export interface Field {
  readonly name: string
  readonly type: string
  readonly versions: string
  readonly nullableVersions?: string
  readonly taggedVersions?: string
  readonly flexibleVersions?: string
  readonly tag?: number
  readonly default?: string | number | boolean
  readonly ignorable?: boolean
  readonly fields?: ReadonlyArray<Field>
}

export interface Struct {
  readonly name: string
  readonly versions: string
  readonly fields: ReadonlyArray<Field>
}

export interface Message {
  readonly apiKey?: number
  readonly type: string
  readonly name: string
  readonly validVersions: string
  readonly flexibleVersions: string
  readonly latestVersionUnstable?: boolean
  readonly commonStructs?: ReadonlyArray<Struct>
  readonly fields: ReadonlyArray<Field>
}

export interface Schema {
  readonly kafka: string
  readonly messages: ReadonlyArray<Message>
}

/** The API keys a client or an embedded broker needs for exactly-once pipelines and for looking at them. */
const API_KEYS: ReadonlySet<number> = new Set([
  0,
  1,
  2,
  3,
  8,
  9,
  10,
  11,
  12,
  13,
  14,
  15,
  16,
  17,
  18,
  19,
  20,
  21,
  22,
  23,
  24,
  25,
  26,
  27,
  28,
  32,
  36,
  37,
  42,
  44,
  47,
  60,
  61,
  65,
  66,
  68,
  69,
  75
])

/** Messages without an API key: headers, and blobs inside other messages. */
const DATA: ReadonlySet<string> = new Set([
  "RequestHeader",
  "ResponseHeader",
  "ConsumerProtocolSubscription",
  "ConsumerProtocolAssignment",
  "EndTxnMarker",
  "ControlRecordTypeSchema"
])

const KEPT_OF_FIELD = [
  "name",
  "type",
  "versions",
  "nullableVersions",
  "taggedVersions",
  "tag",
  "flexibleVersions",
  "default",
  "ignorable"
]
const KEPT_OF_MESSAGE = ["apiKey", "type", "name", "validVersions", "flexibleVersions", "latestVersionUnstable"]

type Json = Record<string, unknown>

const keep = (json: Json, keys: ReadonlyArray<string>): Json =>
  Object.fromEntries(keys.filter((key) => key in json).map((key) => [key, json[key]]))

// The jar's files were written by hand and mix `"default": "-1"` and `"default": -1`; both are kept as they are.
const strippedField = (json: Json): Json => ({
  ...keep(json, KEPT_OF_FIELD),
  ...(json["fields"] === undefined ? {} : { fields: (json["fields"] as Array<Json>).map(strippedField) })
})

/** One schema file of the jar, as text with `//` comments, reduced to what is kept. */
export const strip = (text: string): Message => {
  const json = JSON.parse(text.replaceAll(/^\s*\/\/.*$/gm, "")) as Json
  const stripped = {
    ...keep(json, KEPT_OF_MESSAGE),
    ...(json["commonStructs"] === undefined ? {} : {
      commonStructs: (json["commonStructs"] as Array<Json>).map((struct) => ({
        ...keep(struct, ["name", "versions"]),
        fields: (struct["fields"] as Array<Json>).map(strippedField)
      }))
    }),
    fields: ((json["fields"] ?? []) as Array<Json>).map(strippedField)
  }
  // The shape was built from these very keys above; the emitter fails on any that is missing.
  return stripped as unknown as Message
}

export const wanted = (message: Message): boolean =>
  message.apiKey === undefined ? DATA.has(message.name) : API_KEYS.has(message.apiKey)

/** One line per field, so that a new Kafka version shows up as a readable diff. */
export const serialize = (schema: Schema): string => {
  const field = (value: Field, indent: string): string => {
    const { fields, ...own } = value
    if (fields === undefined) return indent + JSON.stringify(own)
    const head = JSON.stringify(own).slice(0, -1)
    return `${indent}${head}, "fields": [\n${
      fields.map((inner) => field(inner, `${indent}  `)).join(",\n")
    }\n${indent}]}`
  }
  const list = (fields: ReadonlyArray<Field>, indent: string): string =>
    fields.length === 0 ? "[]" : `[\n${fields.map((one) => field(one, `${indent}  `)).join(",\n")}\n${indent}]`
  const message = (value: Message): string => {
    const { commonStructs, fields, ...own } = value
    const structs = commonStructs === undefined
      ? ""
      : `, "commonStructs": [\n${
        commonStructs.map((struct) =>
          `    {"name": ${JSON.stringify(struct.name)}, "versions": ${JSON.stringify(struct.versions)}, "fields": ${
            list(struct.fields, "    ")
          }}`
        ).join(",\n")
      }\n  ]`
    return `  ${JSON.stringify(own).slice(0, -1)}${structs}, "fields": ${list(fields, "  ")}}`
  }
  return `{"kafka": ${JSON.stringify(schema.kafka)}, "messages": [\n${schema.messages.map(message).join(",\n")}\n]}\n`
}
