/**
 * Faults as data: ordered rules, each saying which requests it is about, whether it acts before the request took effect or after, and what
 * happens. Matching is pure counting; what an action does is up to the caller.
 */
import type { TimeScope } from "../cluster/Options.ts"

/** Something that happens to the cluster at that moment. */
export type Step =
  /** Aborts the id's open transaction and fences its producer, as its timeout would. */
  | { readonly type: "fence"; readonly transactionalId: string }
  /** Moves deadlines nearer. */
  | { readonly type: "advance"; readonly millis: number; readonly scope: TimeScope }
  /** To `node`, or to the next one; with one node the coordinator comes back under a new epoch. */
  | { readonly type: "moveGroupCoordinator"; readonly groupId: string; readonly node?: number }
  | { readonly type: "moveTransactionCoordinator"; readonly transactionalId: string; readonly node?: number }
  | { readonly type: "moveLeader"; readonly topic: string; readonly partition: number; readonly node?: number }
  /** The others take over what this node led and coordinated. */
  | { readonly type: "stopNode"; readonly node: number }
  /** Cuts every connection, keeps the state, and does not listen for `down` milliseconds. */
  | { readonly type: "restart"; readonly down?: number }
  | { readonly type: "call"; readonly run: () => void }

export type FaultAction =
  /** Holds the request (before) or its answer (after) back. A held request takes effect even if its connection is gone by then. */
  | { readonly type: "delay"; readonly millis: number }
  /** Loses the request (before) or its answer (after); the connection stays. */
  | { readonly type: "drop" }
  /** Ends the connection: the request had no effect (before), or it had and nobody was told (after). */
  | { readonly type: "cut" }
  /** Answers this error code, instead of serving the request (before) or although it was served (after). */
  | { readonly type: "error"; readonly code: number }
  /** Lets something happen, and then goes on with the next rule. */
  | { readonly type: "step"; readonly step: Step }

export interface FaultRule {
  /** Protocol names or keys; every API when left out. */
  readonly api?: string | number | ReadonlyArray<string | number>
  /** The client id, or its beginning when it ends in an asterisk. */
  readonly clientId?: string
  /** Connections count from 1 in the order in which they were opened. */
  readonly connection?: number
  readonly node?: number
  /** Of requests that carry one. */
  readonly transactionalId?: string
  /** Of requests that carry one. */
  readonly groupId?: string
  /** Only the nth request that all of the above is true of, counted from 1. */
  readonly nth?: number
  /** At most so many times; for ever when left out. */
  readonly times?: number
  /** Before the request takes effect (the default), or after. */
  readonly when?: "before" | "after"
  readonly action: FaultAction
}

/** A request as rules see it. */
export interface Observed {
  readonly key: number
  readonly name: string
  readonly clientId: string
  readonly connection: number
  readonly node: number
  readonly request: unknown
}

/** A rule in force. */
export interface Injected {
  readonly rule: FaultRule
  /** How many requests it acted on. */
  readonly hits: number
  readonly remove: () => void
  /** Calls back once it has acted on `count` requests in all; at once if it has. */
  readonly onHits: (count: number, run: () => void) => void
}

class Rule implements Injected {
  readonly rule: FaultRule
  hits = 0
  seen = 0
  readonly remove: () => void
  private readonly apis: ReadonlySet<string | number> | undefined
  private listeners: Array<{ readonly count: number; readonly run: () => void }> = []

  constructor(rule: FaultRule, remove: (rule: Rule) => void) {
    this.rule = rule
    this.remove = () => remove(this)
    const { api } = rule
    this.apis = api === undefined ? undefined : new Set(typeof api === "object" ? api : [api])
  }

  onHits(count: number, run: () => void): void {
    if (this.hits >= count) run()
    else this.listeners.push({ count, run })
  }

  hit(): void {
    this.hits++
    const due = this.listeners.filter(({ count }) => count <= this.hits)
    this.listeners = this.listeners.filter(({ count }) => count > this.hits)
    for (const { run } of due) run()
  }

  concerns(it: Observed): boolean {
    const { clientId, connection, groupId, node, transactionalId } = this.rule
    if (this.apis !== undefined && !this.apis.has(it.name) && !this.apis.has(it.key)) return false
    if (connection !== undefined && connection !== it.connection) return false
    if (node !== undefined && node !== it.node) return false
    if (clientId !== undefined && !matches(clientId, it.clientId)) return false
    if (transactionalId !== undefined && !carries(it.request, transactionalIdKeys, transactionalId)) return false
    return groupId === undefined || carries(it.request, groupIdKeys, groupId)
  }
}

const matches = (wanted: string, clientId: string): boolean =>
  wanted.endsWith("*") ? clientId.startsWith(wanted.slice(0, -1)) : clientId === wanted

const transactionalIdKeys = ["transactionalId", "v3AndBelowTransactionalId", "transactionalIds"]
const groupIdKeys = ["groupId", "groups", "groupIds", "groupsNames"]

/** Whether a decoded request names `value` in one of the fields, alone or in a list. */
const carries = (request: unknown, keys: ReadonlyArray<string>, value: string): boolean => {
  if (typeof request !== "object" || request === null) return false
  return Object.entries(request).some(([key, field]: [string, unknown]) =>
    Array.isArray(field)
      ? key === "transactions"
        ? field.some((it) => carries(it, keys, value))
        : keys.includes(key) && field.some((it) => it === value || carries(it, keys, value))
      : keys.includes(key) && field === value
  )
}

export class Faults {
  private rules: ReadonlyArray<Rule> = []

  get isEmpty(): boolean {
    return this.rules.length === 0
  }

  add(rule: FaultRule): Injected {
    const added = new Rule(rule, (it) => {
      this.rules = this.rules.filter((other) => other !== it)
    })
    this.rules = [...this.rules, added]
    return added
  }

  clear(): void {
    this.rules = []
  }

  /** The actions on a request at this moment: any number of steps, then at most one that ends or delays it. */
  match(when: "before" | "after", observed: Observed): Array<FaultAction> {
    const actions: Array<FaultAction> = []
    for (const it of this.rules) {
      const { action, nth, times } = it.rule
      if ((it.rule.when ?? "before") !== when || !it.concerns(observed)) continue
      it.seen++
      if ((nth !== undefined && it.seen !== nth) || (times !== undefined && it.hits >= times)) continue
      it.hit()
      actions.push(action)
      if (action.type !== "step") break
    }
    return actions
  }
}
