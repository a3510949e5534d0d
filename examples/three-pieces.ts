/**
 * The three-pieces lab: exactly-once is an idempotent producer, a transaction that a zombie cannot commit, and a
 * committed reader. This runs a pipeline over real flights, over sockets, once whole and once with each piece taken out,
 * under the same faults, and counts.
 *
 *   npm start                                  on the embedded broker
 *   npm start -- --kafka                       on a real Kafka that it starts (JDK and Maven)
 *   KAFKA_BOOTSTRAP=localhost:9092 npm start   on one that is there
 *   npm start -- --json                        for machines
 *
 * Exit code 1 if the whole pipeline loses or doubles anything, or a stripped one does not.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Data, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { cluster } from "./lab/cluster.ts"
import type { Counts } from "./lab/count.ts"
import { describe } from "./lab/evidence.ts"
import { rows } from "./lab/rows.ts"
import { faults, type RowResult, runRow } from "./lab/scenario.ts"

class Differs extends Data.TaggedError("Differs")<{ readonly message: string }> {}

const wrong = ({ lost, phantoms, twice }: Counts) => lost + phantoms + twice

const cell = (counts: Counts): string =>
  wrong(counts) === 0 ? "ok" : [
    counts.twice > 0 ? `${counts.twice} twice` : "",
    counts.lost > 0 ? `${counts.lost} lost` : "",
    counts.phantoms > 0 ? `${counts.phantoms} phantom` : ""
  ].filter((part) => part !== "").join(", ")

const line = (columns: ReadonlyArray<string>) =>
  columns.map((column, index) => column.padEnd(index === 0 ? 70 : 13)).join("").trimEnd()

const print = ({ faults: byFault, row, total }: RowResult) =>
  Console.log([
    line([row.title, ...faults.map((fault) => cell(byFault[fault]))]),
    `  in ${total.in}, out ${total.out}, twice ${total.twice}, lost ${total.lost}, phantoms ${total.phantoms}`,
    `  what stood in the way: ${faults.map((fault) => `${fault}: ${describe(byFault[fault].evidence)}`).join("; ")}`,
    `  ${row.remark}`,
    ""
  ].join("\n"))

const asExpected = ({ row, total }: RowResult) => (wrong(total) === 0) === (row.name === "whole")

const lab = Command.make("three-pieces", {
  kafka: Flag.Boolean("kafka").pipe(
    Flag.withDefault(false),
    Flag.withDescription("run on a real Kafka, started from its Maven jars")
  ),
  json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("print one JSON document")),
  row: Flag.Literals("row", rows.map(({ name }) => name)).pipe(
    Flag.optional,
    Flag.withDescription("play this row alone")
  )
}, ({ json, kafka, row: only }) =>
  Effect.scoped(Effect.gen(function*() {
    const where = yield* cluster(kafka)
    if (!json) {
      yield* Console.log(`Flights through a pipeline, on ${where.name}: whole, and with each piece taken out.\n`)
      yield* Console.log(line(["", ...faults]))
    }
    const results: Array<RowResult> = []
    for (const row of rows.filter(({ name }) => Option.isNone(only) || only.value === name)) {
      const result = yield* runRow(row, where)
      results.push(result)
      if (!json) yield* print(result)
    }
    if (json) {
      yield* Console.log(JSON.stringify({
        cluster: where.name,
        rows: results.map((result) => ({
          name: result.row.name,
          ...result.total,
          faults: result.faults,
          expected: asExpected(result)
        }))
      }))
    }
    const different = results.filter((result) => !asExpected(result)).map(({ row }) => row.title)
    if (different.length > 0) return yield* new Differs({ message: `not as expected: ${different.join("; ")}` })
    if (!json) yield* Console.log("\nThe whole pipeline is exact; without any one of its pieces it is not.")
  })))

NodeRuntime.runMain(Command.run(lab, { version: "0.1.0" }).pipe(Effect.provide(NodeServices.layer)))
