import { defaultValue, isDefault, isNullable, isOptional } from "./emitTypes.ts"
import { branch, hasLength, indent, type Lines, methodName, not } from "./lines.ts"
import type { FieldModel, MessageModel, StructModel, Type } from "./model.ts"
import { intersect, NONE, type Range, test } from "./versions.ts"

/** Answers the body of a struct's encode function. `withVersion` is what a call of a nested one must pass on. */
export const encodeEmitter = (
  message: MessageModel,
  withVersion: (struct: StructModel) => string
): (struct: StructModel) => Lines => {
  const write = (
    type: Type,
    name: string,
    field: FieldModel,
    context: Range,
    nullable: Range,
    maybeNull: boolean
  ): Lines => {
    if (type.kind === "array") return writeArray(type.of, name, field, context)
    const refuseNull = maybeNull
      ? [`if (${name} === null) throw UnencodableValue.nullInVersion("${field.path}", version)`]
      : []
    if (type.kind === "struct") {
      const one = `encode${type.struct.name}(w, ${name}${withVersion(type.struct)})`
      return branch(
        nullable,
        context,
        () => [`if (${name} === null) w.int8(-1)`, "else {", "  w.int8(1)", `  ${one}`, "}"],
        () => [...refuseNull, one]
      )
    }
    const primitive = type.name
    if (!hasLength(primitive)) return [`w.${methodName(primitive, false, false)}(${name})`]
    const inner = (compact: boolean) => (at: Range): Lines =>
      branch(
        nullable,
        at,
        () => [`w.${methodName(primitive, compact, true)}(${name})`],
        () => [...refuseNull, `w.${methodName(primitive, compact, false)}(${name})`]
      )
    return branch(field.flexible, context, inner(true), inner(false))
  }

  const writeArray = (element: Type, name: string, field: FieldModel, context: Range): Lines => {
    const some = (at: Range): Lines => {
      const compact = test(field.flexible, at)
      const size = compact === true
        ? [`w.uvarint(${name}.length + 1)`]
        : compact === false
        ? [`w.int32(${name}.length)`]
        : [`if (${compact}) w.uvarint(${name}.length + 1)`, `else w.int32(${name}.length)`]
      const each = write(element, "item", field, at, NONE, false)
      return each.length === 1
        ? [...size, `for (const item of ${name}) ${each[0]}`]
        : [...size, `for (const item of ${name}) {`, ...indent(each), "}"]
    }
    if (!isNullable(field)) return some(context)
    return branch(
      field.nullable,
      context,
      (at) => {
        const compact = test(field.flexible, at)
        const none = compact === true
          ? "w.uvarint(0)"
          : compact === false
          ? "w.int32(-1)"
          : ""
        const nothing = typeof compact === "string"
          ? [`if (${name} === null) {`, `  if (${compact}) w.uvarint(0)`, "  else w.int32(-1)", "} else {"]
          : [`if (${name} === null) ${none}`, "else {"]
        return [...nothing, ...indent(some(at)), "}"]
      },
      (at) => [`if (${name} === null) throw UnencodableValue.nullInVersion("${field.path}", version)`, ...some(at)]
    )
  }

  const take = (field: FieldModel, struct: StructModel): string => {
    if (!isOptional(field, struct)) return `const ${field.name} = m.${field.name}`
    return isNullable(field)
      ? `const ${field.name} = m.${field.name} === undefined ? ${defaultValue(field)} : m.${field.name}`
      : `const ${field.name} = m.${field.name} ?? ${defaultValue(field)}`
  }

  const refuse = (field: FieldModel): Lines =>
    field.ignorable
      ? []
      : [`if (${not(isDefault(field, field.name))}) throw UnencodableValue.notInVersion("${field.path}", version)`]

  const encodeField = (field: FieldModel, struct: StructModel): Lines => {
    if (field.tag !== undefined) {
      return [take(field, struct), ...branch(field.versions, struct.context, () => [], () => refuse(field))]
    }
    return [
      take(field, struct),
      ...branch(
        field.versions,
        struct.context,
        (inner) => write(field.type, field.name, field, inner, field.nullable, isNullable(field)),
        () => refuse(field)
      )
    ]
  }

  const encodeTags = (struct: StructModel): Lines => {
    const tagged = struct.fields.filter((field) => field.tag !== undefined).toSorted((a, b) => a.tag! - b.tag!)
    return branch(message.flexible, struct.context, (inner) => {
      if (tagged.length === 0) return ["w.unknownTags(m.unknownTags)"]
      const present = (field: FieldModel) => {
        const condition = test(field.versions, inner)
        return `${typeof condition === "string" ? `${condition} && ` : ""}${not(isDefault(field, field.name))}`
      }
      return [
        "const unknownTags = m.unknownTags",
        "let known = 0",
        ...tagged.map((field) => `if (${present(field)}) known++`),
        "w.uvarint(known + (unknownTags === undefined ? 0 : unknownTags.length))",
        "let next = 0",
        ...tagged.flatMap((field) => [
          `if (${present(field)}) {`,
          ...indent([
            `next = w.unknownTagsBelow(unknownTags, next, ${field.tag})`,
            `const tagStart = w.beginTagged(${field.tag})`,
            ...write(
              field.type,
              field.name,
              field,
              intersect(field.versions, inner),
              field.nullable,
              isNullable(field)
            ),
            "w.endTagged(tagStart)"
          ]),
          "}"
        ]),
        "w.unknownTagsBelow(unknownTags, next, Infinity)"
      ]
    }, () => [])
  }

  return (struct) => [...struct.fields.flatMap((field) => encodeField(field, struct)), ...encodeTags(struct)]
}
