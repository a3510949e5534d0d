/**
 * Which rule applies to a request: matching and counting, without I/O.
 */
import type * as Duration from "effect/Duration"
import * as Api from "../Api.ts"
import type { RequestHead } from "./codec.ts"

/**
 * What happens to the request or its answer.
 * - `cut`: the connection is closed in both directions.
 * - `drop`: the frame vanishes; the connection stays.
 * - `hold`: the frame waits until the rule is released.
 * - `{ delay }`: the frame waits that long.
 * - `duplicate`: the broker gets the request twice; `before`, back to back; `after`, a second time once the first was
 *   answered. The client sees one answer.
 * - `{ error }`: the client is answered with this code; `before`, the broker never sees the request.
 * - `{ answer }`: the client gets this answer to its decoded request, and the broker never sees it; `before` only.
 * - `{ rewrite }`: the decoded body is replaced: `before`, the request's; `after`, the answer's.
 */
export type Action =
  | "cut"
  | "drop"
  | "hold"
  | "duplicate"
  | { readonly delay: Duration.Input }
  | { readonly error: number }
  | { readonly answer: (request: unknown) => unknown }
  | { readonly rewrite: (body: unknown) => unknown }

export interface Rule {
  /** The request, by name or key. */
  readonly api: Api.ApiName | number
  readonly version?: number
  /** Equality, or a pattern. */
  readonly clientId?: string | RegExp
  /** The proxy's own number of the connection. */
  readonly connection?: number
  /** Further conditions on the request's decoded body. */
  readonly where?: (body: unknown) => boolean
  /** Which of the matching requests, counted from 1. The first unless told. */
  readonly nth?: number | "every"
  /** `before`: the broker has not seen the request. `after`: it has answered. */
  readonly when: "before" | "after"
  readonly do: Action
  /** Whether what follows on the same connection waits behind a held or delayed frame. `true` unless told. */
  readonly blocks?: boolean
}

/** A rule with its counters. */
export interface ArmedRule {
  readonly rule: Rule
  readonly apiKey: number
  seen: number
  fired: number
  armed: boolean
}

export const arm = (rule: Rule): ArmedRule => ({ rule, apiKey: Api.keyOf(rule.api), seen: 0, fired: 0, armed: true })

const matches = (armed: ArmedRule, head: RequestHead, connection: number, body: () => unknown): boolean => {
  const { clientId, connection: wanted, version, where } = armed.rule
  if (!armed.armed || armed.apiKey !== head.apiKey) return false
  if (version !== undefined && version !== head.version) return false
  if (wanted !== undefined && wanted !== connection) return false
  if (clientId !== undefined) {
    if (head.clientId === null) return false
    if (typeof clientId === "string" ? clientId !== head.clientId : head.clientId.search(clientId) < 0) return false
  }
  return where === undefined || where(body())
}

/**
 * The rule that applies to a request, if any: the first that matches and whose turn it is. Every matching rule counts
 * the request, so that two rules on the first and the second EndTxn can stand side by side.
 */
export const select = (
  rules: ReadonlyArray<ArmedRule>,
  head: RequestHead,
  connection: number,
  body: () => unknown
): ArmedRule | undefined => {
  let chosen: ArmedRule | undefined
  for (const armed of rules) {
    if (!matches(armed, head, connection, body)) continue
    armed.seen++
    const nth = armed.rule.nth ?? 1
    if (chosen === undefined && (nth === "every" || nth === armed.seen)) chosen = armed
  }
  return chosen
}
