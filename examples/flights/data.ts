/**
 * Real flights of 2001 in the United States, from the package vega-datasets.
 */
import { readFileSync } from "node:fs"

export interface Flight {
  readonly id: number
  readonly date: string
  readonly delay: number
  readonly distance: number
  readonly origin: string
  readonly destination: string
}

/** 20,000 of them, in the order of their dates, keyed by their airport of departure. */
export const readFlights = (): ReadonlyArray<{ readonly key: string; readonly value: Flight }> => {
  // The package exports its code alone; its data lies beside it.
  const file = new URL("../data/flights-20k.json", import.meta.resolve("vega-datasets"))
  // The package's own file, whose fields are those of Flight but for the id.
  const rows = JSON.parse(readFileSync(file, "utf8")) as ReadonlyArray<Omit<Flight, "id">>
  return rows.map((row, id) => ({ key: row.origin, value: { id, ...row } }))
}
