/** A closed range of versions; empty when `low > high`. */
export interface Range {
  readonly low: number
  readonly high: number
}

export const NONE: Range = { low: 0, high: -1 }
const OPEN = 32_767

export const parseRange = (text: string | undefined): Range => {
  if (text === undefined || text === "none") return NONE
  const [low, high] = text.endsWith("+") ? [text.slice(0, -1), String(OPEN)] : text.split("-")
  return { low: Number(low), high: Number(high ?? low) }
}

export const intersect = (a: Range, b: Range): Range => ({
  low: Math.max(a.low, b.low),
  high: Math.min(a.high, b.high)
})
export const union = (a: Range, b: Range): Range =>
  isEmpty(a) ? b : isEmpty(b) ? a : { low: Math.min(a.low, b.low), high: Math.max(a.high, b.high) }
export const isEmpty = (range: Range): boolean => range.low > range.high
export const contains = (outer: Range, inner: Range): boolean =>
  isEmpty(inner) || (outer.low <= inner.low && outer.high >= inner.high)

/** Whether a version known to lie in `context` lies in `range`: always, never, or by the expression. */
export const test = (range: Range, context: Range): true | false | string => {
  const inside = intersect(range, context)
  if (isEmpty(inside)) return false
  if (contains(range, context)) return true
  const low = inside.low > context.low ? `version >= ${inside.low}` : ""
  const high = inside.high < context.high ? `version <= ${inside.high}` : ""
  return low !== "" && high !== "" ? `${low} && ${high}` : low + high
}

/** What is left of `context` when a version is known to lie outside `range`; the whole of it when that is not one range. */
export const outside = (range: Range, context: Range): Range => {
  const inside = intersect(range, context)
  if (isEmpty(inside)) return context
  if (inside.low === context.low) return { low: inside.high + 1, high: context.high }
  if (inside.high === context.high) return { low: context.low, high: inside.low - 1 }
  return context
}
