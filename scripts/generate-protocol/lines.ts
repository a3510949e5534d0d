import { intersect, outside, type Range, test } from "./versions.ts"

/** Lines of code, without a common indentation. */
export type Lines = ReadonlyArray<string>

export const indent = (lines: Lines): Lines => lines.map((line) => `  ${line}`)

/** Statements that depend on whether the version lies in `range`; no test is emitted where the context already decides. */
export const branch = (
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
export const bare = (value: string): string =>
  value.startsWith("(") && value.endsWith(")") && balanced(value) ? value.slice(1, -1) : value

/** As `branch`, for an expression. */
export const select = (
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
export const hasLength = (name: string): boolean => name === "string" || name === "bytes" || name === "records"

export const methodName = (name: string, compact: boolean, nullable: boolean): string => {
  const base = METHODS[name] ?? name
  const nullablePart = nullable ? `nullable${base.charAt(0).toUpperCase()}${base.slice(1)}` : base
  return compact ? `compact${nullablePart.charAt(0).toUpperCase()}${nullablePart.slice(1)}` : nullablePart
}

/** The negation of a condition that `isDefault` emitted. */
export const not = (condition: string): string =>
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
