/** What the programs of the JavaScript clients have in common. */
import { setTimeout as sleep } from "node:timers/promises"

const setting = (name: string): string => {
  const value = process.env[name]
  if (value === undefined || value === "") throw new Error(`${name} is not set`)
  return value
}

export const bootstrap = setting("KAFKA_BOOTSTRAP").split(",")
const scope = setting("SCOPE")
export const input = `${scope}-in`
export const output = `${scope}-out`
export const group = `${scope}-group`
export const id = `${scope}-id`
export const records = Number(process.env["RECORDS"] ?? "0")
export const PARTITIONS = 3
export const PER_TRANSACTION = 50

let readers = 0
export const readerGroup = () => `${scope}-reader-${process.pid}-${++readers}`

export const numbered = (prefix: string, count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, index) => `${prefix}${String(index).padStart(3, "0")}`)

let readings = 0

/**
 * One reading of the output: `end` is to be written to every partition, and then `add` is given what is read until it
 * says that this was the last one. Neither client can tell where a log ends whose last record is a control record.
 */
export const reading = () => {
  const values: Array<string> = []
  const end = `end ${++readings}`
  let ends = 0
  return {
    end,
    add: (value: string): boolean => {
      if (value === end) ends++
      else if (!value.startsWith("end ")) values.push(value)
      return ends === PARTITIONS
    },
    values: (): ReadonlyArray<string> => values.sort()
  }
}

export const summary = (visible: ReadonlyArray<string>, written: ReadonlyArray<string>) => ({
  committed: [...new Set(visible.map((value) => value.slice(0, 1)))].sort().join(""),
  visible: visible.length,
  written: written.length
})

export const until = async (what: string, condition: () => boolean | Promise<boolean>): Promise<void> => {
  const deadline = Date.now() + 30_000
  while (!await condition()) {
    if (Date.now() > deadline) throw new Error(`${what} did not come about within 30 s`)
    await sleep(25)
  }
}

type Flow = () => Promise<Readonly<Record<string, unknown>>>

/** Runs the flow that the command line names, prints what it saw and ends, whatever is still open. */
export const main = async (flows: Readonly<Record<string, Flow>>): Promise<void> => {
  const flow = flows[process.argv[2] ?? ""]
  if (flow === undefined) throw new Error(`there is no flow ${process.argv[2]}`)
  const line = `${JSON.stringify(await flow())}\n`
  process.stdout.write(line, () => process.exit(0))
}
