/**
 * Asks two Kafkas, of transaction.version 1 and 2, every case, and writes what they answered to `measured`:
 *
 *     node packages/broker/test/conformance/record.main.ts <host:port of version 1> <host:port of version 2> [part of a section's name]
 *
 * A case is asked until it is answered in the same way twice running. One that never is, is not written but named.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { isDeepStrictEqual } from "node:util"
import { cases } from "./cases/index.ts"
import { runCase, runsAlone } from "./run.ts"
import { type Answer, type Case, fileOf, plain, type TransactionVersion } from "./suite.ts"

const AT_ONCE = 4
const ATTEMPTS = 6
const [one, two, filter = ""] = process.argv.slice(2)
if (one === undefined || two === undefined) throw new Error("record.main.ts <host:port> <host:port> [section]")

let asked = 0
const run = Math.random().toString(36).slice(2, 8)
const ask = async (it: Case, transactionVersion: TransactionVersion): Promise<Answer> =>
  plain(
    await runCase(it, {
      address: transactionVersion === 1 ? one : two,
      transactionVersion,
      prefix: `${run}-${asked++}`
    })
  )

const twiceTheSame = async (it: Case): Promise<readonly [one: Answer, two: Answer]> => {
  let last: readonly [Answer, Answer] | undefined
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const answers = await Promise.all([ask(it, 1), ask(it, 2)])
    if (isDeepStrictEqual(answers, last)) return answers
    if (last !== undefined) {
      console.error(`${it.section} / ${it.name}: ${JSON.stringify(last)}, then ${JSON.stringify(answers)}`)
    }
    last = answers
  }
  throw new Error("never the same twice")
}

const lines = new Map<Case, string>()
const chosen = cases.filter(({ section }) => section.includes(filter))
const waiting = chosen.filter((it) => !runsAlone(it))
let failures = 0

const work = async (): Promise<void> => {
  for (let it = waiting.shift(); it !== undefined; it = waiting.shift()) {
    try {
      const [first, second] = await twiceTheSame(it)
      const answer = isDeepStrictEqual(first, second) ? { both: first } : { one: first, two: second }
      lines.set(it, `  ${JSON.stringify(it.name)}: ${JSON.stringify(answer)}`)
    } catch (error) {
      failures++
      console.error(`${it.section} / ${it.name}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, work))
waiting.push(...chosen.filter(runsAlone))
await work()
mkdirSync(new URL("./measured/", import.meta.url), { recursive: true })
for (const title of new Set(chosen.map(({ section }) => section))) {
  const text = chosen.flatMap((it) => it.section === title ? lines.get(it) ?? [] : []).join(",\n")
  writeFileSync(fileOf(title), `{\n${text}\n}\n`)
}
console.log(`${lines.size} cases written, ${failures} not`)
process.exit(failures === 0 ? 0 : 1)
