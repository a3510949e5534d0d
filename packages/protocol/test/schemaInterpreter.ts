/**
 * A second, slow implementation of the wire format that walks the schemas at run time. The generated code is held against it:
 * the two were written apart, so that a mistake in one shows as different bytes.
 */
import { readFileSync } from "node:fs"
import type { Random } from "./random.ts"

interface Field {
  readonly name: string
  readonly type: string
  readonly versions: string
  readonly nullableVersions?: string
  readonly taggedVersions?: string
  readonly flexibleVersions?: string
  readonly tag?: number
  readonly default?: string | number | boolean
  readonly fields?: ReadonlyArray<Field>
}

export interface Message {
  readonly name: string
  readonly type: string
  readonly apiKey?: number
  readonly validVersions: string
  readonly flexibleVersions: string
  readonly latestVersionUnstable?: boolean
  readonly commonStructs?: ReadonlyArray<{ readonly name: string; readonly fields: ReadonlyArray<Field> }>
  readonly fields: ReadonlyArray<Field>
}

type Value = number | bigint | boolean | string | Uint8Array | null | ReadonlyArray<Value> | Struct
export interface Struct {
  readonly [name: string]: Value
}

const file = new URL("../schema/kafka.json", import.meta.url)
export const messages = (JSON.parse(readFileSync(file, "utf8")) as { messages: ReadonlyArray<Message> }).messages

const includes = (range: string | undefined, version: number): boolean => {
  if (range === undefined || range === "none") return false
  const [low, high] = range.replace("+", "-32767").split("-")
  return version >= Number(low) && version <= Number(high ?? low)
}

export const versionsOf = (message: Message): ReadonlyArray<number> => {
  const [low, high] = message.validVersions.split("-")
  const last = Number(high ?? low) - (message.latestVersionUnstable === true ? 1 : 0)
  return Array.from({ length: last - Number(low) + 1 }, (_, index) => Number(low) + index)
}

const camel = (name: string): string => name.charAt(0).toLowerCase() + name.slice(1)

const fieldsOf = (message: Message, field: Field, type: string): ReadonlyArray<Field> =>
  field.fields ?? message.commonStructs?.find((struct) => struct.name === type)?.fields ?? []

const randomOf = (
  message: Message,
  field: Field,
  type: string,
  version: number,
  random: Random,
  depth: number
): Value => {
  switch (type) {
    case "bool":
      return random.chance(50)
    case "int8":
      return random.int(8)
    case "int16":
      return random.int(16)
    case "int32":
      return random.int(32)
    case "int64":
      return random.int64()
    case "string":
      return random.text()
    case "uuid":
      return Buffer.from(random.chance(10) ? new Uint8Array(16) : random.bytes(16)).toString("base64url")
    case "bytes":
    case "records":
      return random.bytes(random.chance(5) ? 300 : random.below(20))
    default:
      return type.startsWith("[]")
        ? Array.from(
          { length: random.below(depth > 1 ? 3 : 4) },
          () => randomOf(message, field, type.slice(2), version, random, depth + 1)
        )
        : randomStruct(message, fieldsOf(message, field, type), version, random, depth + 1)
  }
}

/** A value with every field that exists in `version`, and none that does not. */
export const randomStruct = (
  message: Message,
  fields: ReadonlyArray<Field>,
  version: number,
  random: Random,
  depth = 0
): Struct => {
  const value: Record<string, Value> = {}
  for (const field of fields) {
    if (!includes(field.versions, version)) continue
    // Tagged fields keep their default half of the time, since then they must not be written at all.
    if (field.taggedVersions !== undefined && random.chance(50)) continue
    value[camel(field.name)] = includes(field.nullableVersions, version) && random.chance(25)
      ? null
      : randomOf(message, field, field.type, version, random, depth)
  }
  if (includes(message.flexibleVersions, version) && random.chance(15)) {
    const tags = random.chance(50) ? [77] : [77, 1000]
    value["unknownTags"] = tags.map((tag) => ({ tag, data: random.bytes(random.chance(10) ? 200 : 3) }))
  }
  return value
}

const uvarint = (value: number): Array<number> => value < 128 ? [value] : [(value & 127) | 128, ...uvarint(value >>> 7)]
const integer = (value: bigint, size: number): Array<number> =>
  Array.from({ length: size }, (_, index) => Number((value >> BigInt(8 * (size - 1 - index))) & 255n))

const sized = (length: number, compact: boolean, size: number): Array<number> =>
  compact ? uvarint(length + 1) : integer(BigInt(length), size)

const write = (
  message: Message,
  field: Field,
  type: string,
  value: Value,
  version: number,
  nullable: boolean
): Array<number> => {
  const compact = includes(field.flexibleVersions ?? message.flexibleVersions, version)
  if (type.startsWith("[]")) {
    const items = value as ReadonlyArray<Value> | null
    return items === null
      ? sized(-1, compact, 4)
      : [
        ...sized(items.length, compact, 4),
        ...items.flatMap((item) => write(message, field, type.slice(2), item, version, false))
      ]
  }
  switch (type) {
    case "bool":
      return [value === true ? 1 : 0]
    case "int8":
    case "int16":
    case "int32":
    case "int64":
      return integer(BigInt(value as number | bigint), Number(type.slice(3)) / 8)
    case "string": {
      const bytes = value === null ? null : Buffer.from(value as string, "utf8")
      return [...sized(bytes?.length ?? -1, compact, 2), ...(bytes ?? [])]
    }
    case "uuid":
      return [...Buffer.from(value as string, "base64url")]
    case "bytes":
    case "records":
      return [...sized((value as Uint8Array | null)?.length ?? -1, compact, 4), ...(value as Uint8Array | null ?? [])]
    default: {
      if (value === null) return [255]
      const bytes = writeStruct(message, fieldsOf(message, field, type), value as Struct, version)
      return nullable ? [1, ...bytes] : bytes
    }
  }
}

const zero = (field: Field): Value => {
  if (field.default === "null") return null
  if (field.type === "int64") return BigInt(field.default ?? 0)
  if (field.type === "uuid") return "AAAAAAAAAAAAAAAAAAAAAA"
  if (field.type === "string") return field.default ?? ""
  if (field.type === "bool") return String(field.default) === "true"
  return Number(field.default ?? 0)
}

const isZero = (message: Message, field: Field, value: Value): boolean => {
  if (Array.isArray(value)) return value.length === 0
  if (typeof value === "object" && value !== null) {
    const inner = fieldsOf(message, field, field.type)
    const struct = value as Struct
    return struct["unknownTags"] === undefined &&
      inner.every((one) => camel(one.name) in struct ? isZero(message, one, struct[camel(one.name)] ?? null) : true)
  }
  return value === zero(field)
}

export const writeStruct = (
  message: Message,
  fields: ReadonlyArray<Field>,
  value: Struct,
  version: number
): Array<number> => {
  const bytes: Array<number> = []
  const tags: Array<{ readonly tag: number; readonly data: ReadonlyArray<number> | Uint8Array }> = []
  for (const field of fields) {
    const own = value[camel(field.name)]
    if (own === undefined || !includes(field.versions, version)) continue
    const written = write(message, field, field.type, own, version, includes(field.nullableVersions, version))
    if (field.tag === undefined) bytes.push(...written)
    else if (!isZero(message, field, own)) tags.push({ tag: field.tag, data: written })
  }
  if (!includes(message.flexibleVersions, version)) return bytes
  const unknown = value["unknownTags"] as unknown as typeof tags | undefined
  const all = [...tags, ...(unknown ?? [])].toSorted((a, b) => a.tag - b.tag)
  return [
    ...bytes,
    ...uvarint(all.length),
    ...all.flatMap(({ data, tag }) => [...uvarint(tag), ...uvarint(data.length), ...data])
  ]
}

const plainOf = (message: Message, field: Field, type: string, version: number, overrides: Struct): Value => {
  if (type.startsWith("[]")) return [plainOf(message, field, type.slice(2), version, overrides)]
  switch (type) {
    case "string":
      return "probe"
    case "bytes":
    case "records":
      return new Uint8Array(0)
    case "bool":
    case "int8":
    case "int16":
    case "int32":
    case "int64":
    case "uuid":
      return zero({ ...field, type })
    default:
      return plainStruct(message, fieldsOf(message, field, type), version, overrides)
  }
}

/** A modest value of every untagged field in `version`: one element per array, defaults for numbers, `overrides` by name. */
export const plainStruct = (
  message: Message,
  fields: ReadonlyArray<Field>,
  version: number,
  overrides: Struct
): Struct => {
  const value: Record<string, Value> = {}
  for (const field of fields) {
    if (!includes(field.versions, version) || field.taggedVersions !== undefined) continue
    const name = camel(field.name)
    const given = overrides[name]
    const fits = given !== undefined && (given !== null || includes(field.nullableVersions, version))
    value[name] = fits ? given : plainOf(message, field, field.type, version, overrides)
  }
  return value
}
