/**
 * The conformance suite: what a client asks, and what Kafka 4.3.1 answered. The answers were measured and are kept in `measured`, a file for
 * each section (`record.main.ts` writes them); the embedded broker has to give the same ones, and a live run shows that Kafka still does.
 */
import { readFileSync } from "node:fs"
import type { World } from "./World.ts"

/** Codes and states, small enough to be read in a diff. */
export type Answer =
  | number
  | string
  | boolean
  | null
  | undefined
  | ReadonlyArray<Answer>
  | { readonly [name: string]: Answer }

export type TransactionVersion = 1 | 2

/** Two answers where `transaction.version` makes a difference. */
export type Measured = {
  readonly [name: string]: { readonly both: Answer } | { readonly one: Answer; readonly two: Answer }
}

export interface Case {
  readonly section: string
  readonly name: string
  readonly run: (world: World) => Promise<Answer>
}

export type Check = (name: string, run: (world: World) => Promise<Answer>) => void

/** A named group of cases. */
export const section = (title: string, body: (check: Check) => void): ReadonlyArray<Case> => {
  const cases: Array<Case> = []
  body((name, run) => cases.push({ section: title, name, run }))
  return cases
}

/** Where the answers of a section are kept. */
export const fileOf = (section: string): URL =>
  new URL(`./measured/${section.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}.json`, import.meta.url)

/** An answer as it comes back from a file. */
export const plain = (answer: Answer): Answer =>
  // What JSON.parse gives for a text that was made of an Answer is one.
  answer === undefined ? null : JSON.parse(JSON.stringify(answer)) as Answer

const files = new Map<string, Measured>()

/** The answers of a section; none before it was measured. */
const measured = (section: string): Measured => {
  let found = files.get(section)
  if (found === undefined) {
    // The file is written by record.main.ts and nothing else.
    found = JSON.parse(readFileSync(fileOf(section), "utf8")) as Measured
    files.set(section, found)
  }
  return found
}

/** What Kafka answered. */
export const expected = ({ name, section }: Case, version: TransactionVersion): Answer => {
  const found = measured(section)[name]
  if (found === undefined) throw new Error(`"${name}" was not measured`)
  return "both" in found ? found.both : version === 1 ? found.one : found.two
}

export const allMeasured = (section: string): ReadonlyArray<string> => Object.keys(measured(section))
