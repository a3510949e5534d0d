/**
 * Flights in, late and punctual flights out.
 */
import { Topic } from "@exactly-once/core"
import { Schema } from "effect"

const Flight = Schema.Struct({
  id: Schema.Int,
  date: Schema.String,
  delay: Schema.Int,
  distance: Schema.Int,
  origin: Schema.String,
  destination: Schema.String
})

const Verdict = Schema.Struct({
  id: Schema.Int,
  route: Schema.String,
  delay: Schema.Int,
  verdict: Schema.Literals(["early", "on time", "late", "very late"])
})

/** Topics and group of one run; flights are keyed by their airport of departure. */
export const topics = (run: string) => ({
  flights: Topic.json(`flights-${run}`, { key: Schema.String, value: Flight }),
  late: Topic.json(`flights-${run}-late`, { key: Schema.String, value: Verdict }),
  punctual: Topic.json(`flights-${run}-punctual`, { key: Schema.String, value: Verdict }),
  groupId: `flights-${run}-classifier`
})

const verdict = (delay: number): typeof Verdict.Type["verdict"] =>
  delay < 0 ? "early" : delay <= 15 ? "on time" : delay <= 60 ? "late" : "very late"

export const classify = (
  { key, value: { delay, destination, id, origin } }: { readonly key: string; readonly value: typeof Flight.Type }
) => ({
  key,
  value: { id, route: `${origin}-${destination}`, delay, verdict: verdict(delay) }
})
