import { decodeEmitter } from "./emitDecode.ts"
import { encodeEmitter } from "./emitEncode.ts"
import { defaultValue, isDefault, isOptional } from "./emitTypes.ts"
import { indent, type Lines } from "./lines.ts"
import type { MessageModel, StructModel } from "./model.ts"
import { isEmpty } from "./versions.ts"

/** The functions of a message: straight-line code, nested structs before those that contain them. */
export const emitCodec = (message: MessageModel): string => {
  const versioned = new Map<string, { decode: boolean; encode: boolean }>()
  const withVersion = (side: "decode" | "encode") => (struct: StructModel) =>
    versioned.get(struct.name)?.[side] === true ? ", version" : ""
  const decode = decodeEmitter(message, withVersion("decode"))
  const encode = encodeEmitter(message, withVersion("encode"))
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
    const decodeLines = decode(struct)
    const encodeLines = encode(struct)
    const uses = (lines: Lines) => lines.some((line) => /\bversion\b/.test(line))
    versioned.set(struct.name, { decode: uses(decodeLines), encode: uses(encodeLines) })
    const { low, high } = message.served
    const unserved = low === high ? `version !== ${low}` : `!(version >= ${low} && version <= ${high})`
    const guard = `if (${unserved}) throw new UnsupportedVersion("${message.name}", version, ${low}, ${high})`
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
