import type { Field, Message } from "./schema.ts"
import { contains, intersect, isEmpty, NONE, parseRange, type Range, union } from "./versions.ts"

export type Type =
  | { readonly kind: "primitive"; readonly name: string }
  | { readonly kind: "struct"; readonly struct: StructModel }
  | { readonly kind: "array"; readonly of: Type }

export interface FieldModel {
  readonly name: string
  /** `Message.struct.field`, for errors. */
  readonly path: string
  readonly type: Type
  readonly versions: Range
  readonly nullable: Range
  readonly flexible: Range
  readonly tag: number | undefined
  readonly ignorable: boolean
  /** `undefined` when the schema names none and the type's own zero value is meant. */
  readonly default: string | number | boolean | undefined
}

export interface StructModel {
  readonly name: string
  /** The versions in which this struct can be met at all. */
  context: Range
  fields: ReadonlyArray<FieldModel>
}

export interface MessageModel {
  readonly name: string
  readonly apiKey: number | undefined
  readonly kind: string
  readonly served: Range
  readonly flexible: Range
  readonly root: StructModel
  /** Every struct, those that others contain before their containers, the root last. */
  readonly structs: ReadonlyArray<StructModel>
}

const PRIMITIVES = new Set([
  "bool",
  "int8",
  "int16",
  "uint16",
  "int32",
  "uint32",
  "int64",
  "float64",
  "string",
  "bytes",
  "records",
  "uuid"
])
const RESERVED = new Set([
  "r",
  "w",
  "m",
  "version",
  "tagCount",
  "tagIndex",
  "tag",
  "tagEnd",
  "tagStart",
  "known",
  "next",
  "item",
  "unknownTags"
])

const camel = (name: string): string => name.charAt(0).toLowerCase() + name.slice(1)

const served = (message: Message): Range => {
  const range = parseRange(message.validVersions)
  // The newest version is still in development: 4.3.1 neither advertises nor accepts it unless told to.
  return message.latestVersionUnstable === true ? { low: range.low, high: range.high - 1 } : range
}

export const model = (message: Message): MessageModel => {
  const versions = served(message)
  const flexible = intersect(parseRange(message.flexibleVersions), versions)
  const common = new Map((message.commonStructs ?? []).map((struct) => [struct.name, struct.fields]))
  const structs = new Map<string, StructModel>()
  const order: Array<StructModel> = []

  const structOf = (name: string, fields: ReadonlyArray<Field> | undefined, context: Range): StructModel => {
    const source = fields ?? common.get(name)
    if (source === undefined) throw new Error(`${message.name}: no definition of ${name}`)
    const existing = structs.get(name)
    if (existing !== undefined) {
      if (fields !== undefined) throw new Error(`${message.name}: two definitions of ${name}`)
      existing.context = union(existing.context, context)
      existing.fields = fieldsOf(name, source, existing.context)
      return existing
    }
    const struct: StructModel = { name, context, fields: [] }
    structs.set(name, struct)
    struct.fields = fieldsOf(name, source, context)
    order.push(struct)
    return struct
  }

  const typeOf = (text: string, field: Field, context: Range): Type => {
    if (text.startsWith("[]")) return { kind: "array", of: typeOf(text.slice(2), field, context) }
    if (PRIMITIVES.has(text)) return { kind: "primitive", name: text }
    if (text === message.name) throw new Error(`${message.name}: a struct has the message's own name`)
    return { kind: "struct", struct: structOf(text, field.fields, context) }
  }

  const fieldsOf = (owner: string, fields: ReadonlyArray<Field>, context: Range): ReadonlyArray<FieldModel> => {
    const models: Array<FieldModel> = []
    for (const field of fields) {
      const present = intersect(parseRange(field.versions), context)
      if (isEmpty(present)) continue
      const name = camel(field.name)
      const path = `${owner}.${name}`
      if (RESERVED.has(name)) throw new Error(`${path}: the generated code uses this name itself`)
      const tagged = intersect(parseRange(field.taggedVersions), present)
      if (field.taggedVersions !== undefined && !contains(tagged, present)) {
        throw new Error(`${path}: tagged in some of its versions only`)
      }
      const ownFlexible = field.flexibleVersions === undefined ? flexible : parseRange(field.flexibleVersions)
      models.push({
        name,
        path,
        type: typeOf(field.type, field, present),
        versions: present,
        nullable: field.nullableVersions === undefined ? NONE : intersect(parseRange(field.nullableVersions), present),
        flexible: intersect(ownFlexible, present),
        tag: field.taggedVersions === undefined ? undefined : field.tag,
        ignorable: field.ignorable === true,
        default: field.default
      })
    }
    return models
  }

  const root = structOf(message.name, message.fields, versions)
  return {
    name: message.name,
    apiKey: message.apiKey,
    kind: message.type,
    served: versions,
    flexible,
    root,
    structs: order
  }
}

const smallestOf = (type: Type, field: FieldModel, version: number, isFlexible: (range: Range) => boolean): number => {
  const compact = isFlexible(field.flexible)
  if (type.kind === "array") return compact ? 1 : 4
  if (type.kind === "struct") return smallestStruct(type.struct, version, isFlexible)
  switch (type.name) {
    case "string":
      return compact ? 1 : 2
    case "bytes":
    case "records":
      return compact ? 1 : 4
    case "bool":
    case "int8":
      return 1
    case "int16":
    case "uint16":
      return 2
    case "int32":
    case "uint32":
      return 4
    case "uuid":
      return 16
    default:
      return 8
  }
}

const smallestStruct = (struct: StructModel, version: number, isFlexible: (range: Range) => boolean): number => {
  const inVersion = (range: Range) => version >= range.low && version <= range.high
  let size = 0
  for (const field of struct.fields) {
    if (!inVersion(field.versions) || field.tag !== undefined) continue
    size += field.type.kind === "struct" && inVersion(field.nullable)
      ? 1
      : smallestOf(field.type, field, version, isFlexible)
  }
  return size
}

/** The fewest bytes one element of this array can take in any version: what bounds an array's length by the bytes left. */
export const smallestElement = (element: Type, field: FieldModel, flexible: Range): number => {
  let smallest = Infinity
  for (let version = field.versions.low; version <= field.versions.high; version++) {
    const inVersion = (range: Range) => version >= range.low && version <= range.high
    const tagSection = element.kind === "struct" && inVersion(flexible) ? 1 : 0
    smallest = Math.min(smallest, tagSection + smallestOf(element, field, version, inVersion))
  }
  if (smallest < 1) throw new Error(`${field.path}: an element may take no bytes`)
  return smallest
}
