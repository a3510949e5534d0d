/** Rows to tables: min/median/max over the rounds, ratios taken inside a round. */
import type { Row } from "./workloads.ts"

type Spread = readonly [min: number, median: number, max: number]

const spread = (values: ReadonlyArray<number>): Spread | undefined => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const [min, max, upper, lower] = [sorted[0], sorted.at(-1), sorted[middle], sorted[middle - 1]]
  if (min === undefined || max === undefined || upper === undefined) return undefined
  return [min, sorted.length % 2 === 1 || lower === undefined ? upper : (upper + lower) / 2, max]
}

/** The first number of each workload is the one that peers are compared by. */
const columns: ReadonlyArray<readonly [prefix: string, names: ReadonlyArray<readonly [name: string, digits: number]>]> =
  [
    ["W2", [["p50_ms", 1], ["p90_ms", 1], ["p99_ms", 1], ["max_ms", 1], ["cpu_s", 2]]],
    ["W3", [["records_per_s", 0], ["cpu_s_per_million", 2], ["rss_mb", 0]]],
    ["W4", [["txn_per_s", 1], ["p50_ms", 2], ["p99_ms", 2], ["max_ms", 1], ["cpu_ms_per_txn", 2]]],
    ["W", [["records_per_s", 0], ["cpu_s_per_million", 2], ["rss_mb", 0], ["records_per_txn", 0], ["startup_s", 2]]]
  ]

const columnsOf = (workload: string) => columns.find(([prefix]) => workload.startsWith(prefix))?.[1] ?? []

const format = (values: Spread | undefined, digits: number): string =>
  values === undefined
    ? "-"
    : values.map((value) =>
      value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })
    ).join(" / ")

const valuesOf = (rows: ReadonlyArray<Row>, name: string): ReadonlyArray<number> =>
  rows.flatMap(({ numbers, ok }) => ok && numbers[name] !== undefined ? [numbers[name]] : [])

/** Each of the peer's rounds divided by the baseline's run in the same round. */
export const ratios = (rows: ReadonlyArray<Row>, peer: string, baseline: string, name: string): Spread | undefined => {
  const of = (who: string, round: number) =>
    valuesOf(rows.filter((row) => row.peer === who && row.round === round), name)[0]
  const rounds = [...new Set(rows.map(({ round }) => round))]
  return spread(rounds.flatMap((round) => {
    const mine = of(peer, round)
    const theirs = of(baseline, round)
    return mine === undefined || theirs === undefined ? [] : [mine / theirs]
  }))
}

/** Markdown. `baseline` is the peer that ratios are against. */
export const tables = (rows: ReadonlyArray<Row>, baseline: string): string =>
  [...new Set(rows.map(({ workload }) => workload))].toSorted().map((workload) => {
    const own = rows.filter((row) => row.workload === workload)
    const names = columnsOf(workload)
    const [first] = names[0] ?? ["records_per_s"]
    const head = ["peer", "ok", `ratio to ${baseline}`, ...names.map(([name]) => name), "inversions"]
    const body = [...new Set(own.map(({ peer }) => peer))].map((peer) => {
      const mine = own.filter((row) => row.peer === peer)
      return [
        peer,
        `${mine.filter(({ ok }) => ok).length}/${mine.length}`,
        format(ratios(own, peer, baseline, first), 2),
        ...names.map(([name, digits]) => format(spread(valuesOf(mine, name)), digits)),
        String(Math.max(...mine.map(({ verification }) => verification?.inversions ?? 0)))
      ]
    })
    const line = (cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`
    return [`### ${workload}`, "", line(head), line(head.map(() => "---")), ...body.map(line), ""].join("\n")
  }).join("\n")
