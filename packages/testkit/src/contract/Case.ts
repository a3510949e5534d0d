/** A named case of the contract. */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Target, World } from "./World.ts"

/** R1 to R25; `Port` for what the driver port itself promises. */
export type Rule = `R${number}` | "Port"

export interface Case {
  readonly rule: Rule
  /** What is so, as a sentence. */
  readonly name: string
  /** Partitions of input and output. 2 unless told. */
  readonly partitions?: number
  /** Why the case says nothing about this driver or cluster; `undefined` when it applies. */
  readonly inapplicable?: (target: Target) => string | undefined
  readonly run: (world: World) => Effect.Effect<void, unknown, Scope.Scope>
}
