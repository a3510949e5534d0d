import { defaultValue, fieldType, isDefault, isNullable, isOptional } from "./emitTypes.ts"
import type { FieldModel, MessageModel, StructModel, Type } from "./model.ts"
import { smallestElement } from "./model.ts"
import { intersect, isEmpty, outside, type Range, test } from "./versions.ts"

type Lines = ReadonlyArray<string>

const indent = (lines: Lines): Lines => lines.map((line) => `  ${line}`)

/** Statements that depend on whether the version lies in `range`; no test is emitted where the context already decides. */
const branch = (
  range: Range,
  context: Range,
  then: (context: Range) => Lines,
  otherwise: (context: Range) => Lines
): Lines => {
  const condition = test(range, context)
  if (condition === true) return then(context)
  if (condition === false) return otherwise(context)
  const yes = then(intersect(range, context))
  const no = otherwise(outside(range, context))
  if (yes.length === 0 && no.length === 0) return []
  if (yes.length === 0) return guarded(`!(${condition})`, no)
  if (no.length === 0) return guarded(condition, yes)
  return [
    ...guarded(condition, yes),
    ...(no.length === 1 && isSimple(no[0]!) ? [`else ${no[0]}`] : ["else {", ...indent(no), "}"])
  ]
}

const isSimple = (line: string): boolean => !/^(const|let|for|if|else|\}|\s)/.test(line)

const guarded = (condition: string, lines: Lines): Lines =>
  lines.length === 1 && isSimple(lines[0]!)
    ? [`if (${condition}) ${lines[0]}`]
    : [`if (${condition}) {`, ...indent(lines), "}"]

/** Drops the parentheses around a whole expression. */
const bare = (value: string): string =>
  value.startsWith("(") && value.endsWith(")") && balanced(value) ? value.slice(1, -1) : value

const select = (
  range: Range,
  context: Range,
  then: (context: Range) => string,
  otherwise: (context: Range) => string
): string => {
  const condition = test(range, context)
  if (condition === true) return then(context)
  if (condition === false) return otherwise(context)
  return `(${condition} ? ${then(intersect(range, context))} : ${otherwise(outside(range, context))})`
}

const METHODS: Readonly<Record<string, string>> = { bool: "boolean", records: "bytes" }
const hasLength = (name: string): boolean => name === "string" || name === "bytes" || name === "records"

const methodName = (name: string, compact: boolean, nullable: boolean): string => {
  const base = METHODS[name] ?? name
  const nullablePart = nullable ? `nullable${base.charAt(0).toUpperCase()}${base.slice(1)}` : base
  return compact ? `compact${nullablePart.charAt(0).toUpperCase()}${nullablePart.slice(1)}` : nullablePart
}

export const emitCodec = (message: MessageModel): string => {
  const versioned = new Map<string, { decode: boolean; encode: boolean }>()
  const withVersion = (struct: StructModel, side: "decode" | "encode") =>
    versioned.get(struct.name)?.[side] === true ? ", version" : ""

  const read = (type: Type, field: FieldModel, context: Range, nullable: Range): string => {
    if (type.kind === "array") throw new Error(`${field.path}: an array of arrays`)
    if (type.kind === "struct") {
      const one = `decode${type.struct.name}(r${withVersion(type.struct, "decode")})`
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

  const NEVER: Range = { low: 0, high: -1 }

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
    const push = `${field.name}.push(${read(element, field, context, NEVER)})`
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

  const write = (
    type: Type,
    name: string,
    field: FieldModel,
    context: Range,
    nullable: Range,
    maybeNull: boolean
  ): Lines => {
    if (type.kind === "array") return writeArray(type.of, name, field, context)
    const refuseNull = maybeNull ? [`if (${name} === null) throw nullInVersion("${field.path}", version)`] : []
    if (type.kind === "struct") {
      const one = `encode${type.struct.name}(w, ${name}${withVersion(type.struct, "encode")})`
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
      const each = write(element, "item", field, at, NEVER, false)
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
      (at) => [`if (${name} === null) throw nullInVersion("${field.path}", version)`, ...some(at)]
    )
  }

  const take = (field: FieldModel, struct: StructModel): string => {
    if (!isOptional(field, struct)) return `const ${field.name} = m.${field.name}`
    return isNullable(field)
      ? `const ${field.name} = m.${field.name} === undefined ? ${defaultValue(field)} : m.${field.name}`
      : `const ${field.name} = m.${field.name} ?? ${defaultValue(field)}`
  }

  const refuse = (field: FieldModel): Lines =>
    field.ignorable ? [] : [`if (${not(isDefault(field, field.name))}) throw notInVersion("${field.path}", version)`]

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

  const parts: Array<string> = []
  const defaults = new Set<StructModel>()
  for (const struct of message.structs) {
    for (const field of struct.fields) {
      if (field.type.kind === "struct" && isOptional(field, struct) && defaultValue(field) !== "null") {
        defaults.add(field.type.struct)
      }
    }
  }

  for (const struct of message.structs) {
    const isRoot = struct === message.root
    const decodeLines = decodeBody(struct)
    const encodeLines = [...struct.fields.flatMap((field) => encodeField(field, struct)), ...encodeTags(struct)]
    const uses = (lines: Lines) => lines.some((line) => /\bversion\b/.test(line))
    versioned.set(struct.name, { decode: uses(decodeLines), encode: uses(encodeLines) })
    const { low, high } = message.served
    const unserved = low === high ? `version !== ${low}` : `!(version >= ${low} && version <= ${high})`
    const guard = `if (${unserved}) throw unsupportedVersion("${message.name}", version, ${low}, ${high})`
    const empty = struct.fields.length === 0 && encodeLines.length === 0
    const name = isRoot ? "" : struct.name
    const head = isRoot ? "export " : ""
    const version = (used: boolean) => (isRoot || used ? ", version: number" : "")
    const reader = decodeLines.some((line) => /\br\./.test(line) || /\(r\b/.test(line)) ? "r" : "_r"
    parts.push(
      [
        `${head}const decode${name} = (${reader}: Reader${version(uses(decodeLines))}): ${struct.name} => {`,
        ...indent([...(isRoot ? [guard] : []), ...decodeLines]),
        "}"
      ].join("\n"),
      [
        `${head}const encode${name} = (${empty ? "_w" : "w"}: Writer, ${empty ? "_m" : "m"}: ${struct.name}Input${
          version(uses(encodeLines))
        }): void => {`,
        ...indent([...(isRoot ? [guard] : []), ...encodeLines]),
        "}"
      ].join("\n")
    )
    if (defaults.has(struct)) {
      const tags = !isEmpty(message.flexible)
      parts.push(
        `const default${struct.name}: ${struct.name} = { ${
          [
            ...struct.fields.map((field) => `${field.name}: ${defaultValue(field)}`),
            ...(tags ? ["unknownTags: undefined"] : [])
          ].join(", ")
        } }`,
        `const isDefault${struct.name} = (m: ${struct.name}Input): boolean =>\n  ${
          [
            "m === default" + struct.name,
            `(${
              [
                ...struct.fields.map((field) =>
                  isOptional(field, struct)
                    ? `(m.${field.name} === undefined || ${isDefault(field, `m.${field.name}`)})`
                    : isDefault(field, `m.${field.name}`)
                ),
                ...(tags ? ["(m.unknownTags === undefined || m.unknownTags.length === 0)"] : [])
              ].join(" && ")
            })`
          ].join(" || ")
        }`
      )
    }
  }
  return parts.join("\n\n")
}

/** The negation of a condition that `isDefault` emitted. */
const not = (condition: string): string =>
  /^[\w.]+ === \S+$/.test(condition) ? condition.replace("===", "!==") : `!(${condition})`

const balanced = (text: string): boolean => {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "(") depth++
    if (text[i] === ")") depth--
    if (depth === 0 && i < text.length - 1) return false
  }
  return true
}
