import type { FieldModel, MessageModel, StructModel, Type } from "./model.ts"
import { contains, isEmpty, type Range } from "./versions.ts"

const PRIMITIVE_TYPES: Readonly<Record<string, string>> = {
  bool: "boolean",
  int64: "bigint",
  string: "string",
  uuid: "string",
  bytes: "Uint8Array",
  records: "Uint8Array"
}

const typeText = (type: Type, suffix: string): string => {
  if (type.kind === "array") return `ReadonlyArray<${typeText(type.of, suffix)}>`
  if (type.kind === "struct") return type.struct.name + suffix
  return PRIMITIVE_TYPES[type.name] ?? "number"
}

export const isNullable = (field: FieldModel): boolean => !isEmpty(field.nullable) || defaultValue(field) === "null"

export const fieldType = (field: FieldModel, suffix = ""): string =>
  typeText(field.type, suffix) + (isNullable(field) ? " | null" : "")

/** The default of a field as an expression. */
export const defaultValue = (field: FieldModel): string => {
  const given = field.default
  if (given === "null") return "null"
  if (field.type.kind === "array") return "[]"
  if (field.type.kind === "struct") return `default${field.type.struct.name}`
  switch (field.type.name) {
    case "bool":
      return String(given ?? false)
    case "string":
      return JSON.stringify(given ?? "")
    case "uuid":
      return "ZERO"
    case "bytes":
      return "new Uint8Array(0)"
    case "records":
      return "null"
    case "int64":
      return `${BigInt(given ?? 0)}n`
    default:
      return String(Number(given ?? 0))
  }
}

/** An expression that is true when `name` holds the field's default. */
export const isDefault = (field: FieldModel, name: string): string => {
  const value = defaultValue(field)
  if (value === "null") return `${name} === null`
  const notNull = isNullable(field) ? `${name} !== null && ` : ""
  if (field.type.kind === "struct") return `${notNull}isDefault${field.type.struct.name}(${name})`
  if (field.type.kind === "array" || field.type.name === "bytes") return `${notNull}${name}.length === 0`
  return `${name} === ${value}`
}

/** Whether a caller may leave the field out: it has a default of its own, is droppable, or is absent from some version. Not throttling needs no words. */
export const isOptional = (field: FieldModel, struct: StructModel): boolean =>
  field.name === "throttleTimeMs" || field.default !== undefined || field.ignorable || field.tag !== undefined ||
  !contains(field.versions, struct.context)

const rangeText = (range: Range, all: Range): string =>
  range.high === all.high ? `${range.low}+` : range.low === range.high ? `${range.low}` : `${range.low}-${range.high}`

const note = (field: FieldModel, message: MessageModel, struct: StructModel): string => {
  const parts = [
    contains(field.versions, struct.context) ? "" : `Versions ${rangeText(field.versions, message.served)}.`,
    field.tag === undefined ? "" : `Tag ${field.tag}.`,
    field.default === undefined || field.default === "" ? "" : `Default ${defaultValue(field)}.`
  ].filter((part) => part !== "")
  return parts.length === 0 ? "" : `  /** ${parts.join(" ")} */\n`
}

export const emitInterfaces = (message: MessageModel): string =>
  message.structs.toReversed().map((struct) => {
    const tags = isEmpty(message.flexible) ? "" : "  readonly unknownTags: ReadonlyArray<UnknownTag> | undefined\n"
    const inputTags = isEmpty(message.flexible)
      ? ""
      : "  readonly unknownTags?: ReadonlyArray<UnknownTag> | undefined\n"
    const fields = struct.fields.map((field) =>
      `${note(field, message, struct)}  readonly ${field.name}: ${fieldType(field)}\n`
    )
    const inputs = struct.fields.map((field) =>
      isOptional(field, struct)
        ? `  readonly ${field.name}?: ${fieldType(field, "Input")} | undefined\n`
        : `  readonly ${field.name}: ${fieldType(field, "Input")}\n`
    )
    return `export interface ${struct.name} {\n${fields.join("")}${tags}}\n\n` +
      `export interface ${struct.name}Input {\n${inputs.join("")}${inputTags}}\n`
  }).join("\n")
