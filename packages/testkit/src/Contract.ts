/**
 * The contract between `core` and a driver, R1 to R25 by name, as cases that run against a driver over a cluster. Every
 * rule is listed; a case that a driver's capabilities make inapplicable is listed as skipped, with the reason.
 *
 * ```ts
 * Contract.register({ describe, it }, { name: "kafkajs", driver: (bootstrap) => KafkaJs.layer({ bootstrap }), ... })
 * ```
 */
import * as Effect from "effect/Effect"
import type { Case } from "./contract/Case.ts"
import { epochs } from "./contract/epochs.ts"
import { outcomes } from "./contract/outcomes.ts"
import { ownership } from "./contract/ownership.ts"
import { pipelining } from "./contract/pipelining.ts"
import { reading } from "./contract/reading.ts"
import { singleFaults } from "./contract/singleFaults.ts"
import { takeover } from "./contract/takeover.ts"
import { wiring } from "./contract/wiring.ts"
import { make, type Target } from "./contract/World.ts"

export type { Case, Rule } from "./contract/Case.ts"
export type { Target, WorkerOptions, World } from "./contract/World.ts"

const order = (rule: string): number => rule === "Port" ? 0 : Number(rule.slice(1))

/** Every case, by rule. */
export const cases: ReadonlyArray<Case> = [
  ...ownership,
  ...outcomes,
  ...epochs,
  ...reading,
  ...takeover,
  ...wiring,
  ...singleFaults,
  ...pipelining
].toSorted((a, b) => order(a.rule) - order(b.rule))

/** A case against a target. */
export interface Planned {
  readonly name: string
  /** Why it does not apply. */
  readonly skipped: string | undefined
  readonly run: Effect.Effect<void, unknown>
}

/** What there is to run for a target, skipped cases included. */
export const plan = (target: Target, only: ReadonlyArray<Case> = cases): ReadonlyArray<Planned> =>
  only.map((one) => ({
    name: `${one.rule}: ${one.name}`,
    skipped: one.inapplicable?.(target),
    run: Effect.scoped(Effect.flatMap(make(target, one.partitions ?? 2), one.run))
  }))

/** The parts of a test runner that `register` needs; Vitest's fit. */
export interface Runner {
  readonly describe: (name: string, body: () => void) => unknown
  readonly it: {
    (name: string, body: () => Promise<void>, timeoutMs: number): unknown
    readonly skip: (name: string, body: () => void) => unknown
  }
}

const caseTimeoutMs = 90_000

/** Registers all cases with a test runner. Inapplicable ones count as skipped, under names that hold the reason. */
export const register = (runner: Runner, target: Target, only: ReadonlyArray<Case> = cases): void => {
  const planned = plan(target, only)
  const applicable = planned.filter(({ skipped }) => skipped === undefined).length
  runner.describe(`driver contract: ${target.name} (${applicable} of ${planned.length} cases apply)`, () => {
    for (const { name, run, skipped } of planned) {
      if (skipped === undefined) runner.it(name, () => Effect.runPromise(run), caseTimeoutMs)
      else runner.it.skip(`${name} [does not apply: ${skipped}]`, () => {})
    }
  })
}
