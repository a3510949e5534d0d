import { defaultValue, fieldType, isNullable } from "./emitTypes.ts"
import { bare, branch, hasLength, indent, type Lines, methodName, select } from "./lines.ts"
import { type FieldModel, type MessageModel, smallestElement, type StructModel, type Type } from "./model.ts"
import { intersect, isEmpty, NONE, type Range, test } from "./versions.ts"

/** Answers the body of a struct's decode function. `withVersion` is what a call of a nested one must pass on. */
export const decodeEmitter = (
  message: MessageModel,
  withVersion: (struct: StructModel) => string
): (struct: StructModel) => Lines => {
  const read = (type: Type, field: FieldModel, context: Range, nullable: Range): string => {
    if (type.kind === "array") throw new Error(`${field.path}: an array of arrays`)
    if (type.kind === "struct") {
      const one = `decode${type.struct.name}(r${withVersion(type.struct)})`
      return select(nullable, context, () => `(r.int8() < 0 ? null : ${one})`, () => one)
    }
    const name = type.name
    if (!hasLength(name)) return `r.${methodName(name, false, false)}()`
    return select(
      field.flexible,
      context,
      (inner) =>
        select(
          nullable,
          inner,
          () => `r.${methodName(name, true, true)}()`,
          () => `r.${methodName(name, true, false)}()`
        ),
      (inner) =>
        select(
          nullable,
          inner,
          () => `r.${methodName(name, false, true)}()`,
          () => `r.${methodName(name, false, false)}()`
        )
    )
  }

  const readArray = (field: FieldModel, element: Type, context: Range): Lines => {
    const smallest = smallestElement(element, field, message.flexible)
    const length = select(
      field.flexible,
      context,
      (inner) =>
        select(
          field.nullable,
          inner,
          () => `r.compactNullableArrayLength(${smallest})`,
          () => `r.compactArrayLength(${smallest})`
        ),
      (inner) =>
        select(field.nullable, inner, () => `r.nullableArrayLength(${smallest})`, () => `r.arrayLength(${smallest})`)
    )
    const push = `${field.name}.push(${read(element, field, context, NONE)})`
    const loop = [`for (let i = 0; i < ${field.name}Length; i++) ${push}`]
    const nullable = isNullable(field) && test(field.nullable, context) !== false
    return [
      `const ${field.name}Length = ${bare(length)}`,
      ...(nullable
        ? [`if (${field.name}Length < 0) ${field.name} = null`, "else {", `  ${field.name} = []`, ...indent(loop), "}"]
        : defaultValue(field) === "[]" && field.tag === undefined
        ? loop
        : [`${field.name} = []`, ...loop])
    ]
  }

  const mutableType = (field: FieldModel): string => fieldType(field).replace("ReadonlyArray<", "Array<")

  const decodeField = (field: FieldModel, context: Range): Lines => {
    const element = field.type.kind === "array" ? field.type.of : undefined
    if (field.tag !== undefined) return [`let ${field.name}: ${mutableType(field)} = ${defaultValue(field)}`]
    if (element !== undefined) {
      return [
        `let ${field.name}: ${mutableType(field)} = ${defaultValue(field)}`,
        ...branch(field.versions, context, (inner) => readArray(field, element, inner), () => [])
      ]
    }
    const value = select(
      field.versions,
      context,
      (inner) => read(field.type, field, inner, field.nullable),
      () => defaultValue(field)
    )
    return [`const ${field.name} = ${bare(value)}`]
  }

  const decodeTags = (struct: StructModel, context: Range): Lines => {
    const tagged = struct.fields.filter((field) => field.tag !== undefined)
    if (tagged.length === 0) {
      return [
        `const unknownTags = ${bare(select(message.flexible, context, () => "r.unknownTags()", () => "undefined"))}`
      ]
    }
    return [
      "let unknownTags: Array<UnknownTag> | undefined = undefined",
      ...branch(message.flexible, context, (inner) => {
        const cases = tagged.map((field) => {
          const condition = test(field.versions, inner)
          const element = field.type.kind === "array" ? field.type.of : undefined
          const at = intersect(field.versions, inner)
          return [
            `if (tag === ${field.tag}${typeof condition === "string" ? ` && ${condition}` : ""}) {`,
            ...indent(
              element === undefined
                ? [`${field.name} = ${read(field.type, field, at, field.nullable)}`]
                : readArray(field, element, at)
            ),
            "} else "
          ]
        })
        const chain: Array<string> = []
        for (const one of cases) {
          const first = one[0]!
          if (chain.length === 0) chain.push(first)
          else chain[chain.length - 1] += first
          chain.push(...one.slice(1))
        }
        chain[chain.length - 1] += "(unknownTags ??= []).push(r.unknownTag(tag, tagEnd))"
        return [
          "const tagCount = r.tagCount()",
          "for (let tagIndex = 0; tagIndex < tagCount; tagIndex++) {",
          ...indent(["const tag = r.uvarint()", "const tagEnd = r.taggedEnd()", ...chain, "r.endTagged(tagEnd)"]),
          "}"
        ]
      }, () => [])
    ]
  }

  const decodeBody = (struct: StructModel): Lines => {
    const context = struct.context
    const flexible = test(message.flexible, context) !== false
    const names = struct.fields.map((field) => field.name)
    const hasTags = !isEmpty(message.flexible)
    return [
      ...struct.fields.flatMap((field) => decodeField(field, context)),
      ...(flexible
        ? decodeTags(struct, context)
        : hasTags
        ? ["const unknownTags = undefined"]
        : []),
      `return { ${[...names, ...(hasTags ? ["unknownTags"] : [])].join(", ")} }`
    ]
  }

  return decodeBody
}
