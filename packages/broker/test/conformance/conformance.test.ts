/** Every case against the embedded broker, with transaction.version 1 and 2, each in a broker of its own. */
import { Broker } from "@exactly-once/broker"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { assert, describe, it } from "vitest"
import { EXHAUSTION } from "./cases/exhaustion.ts"
import { cases } from "./cases/index.ts"
import { differences } from "./differences.ts"
import { runCase } from "./run.ts"
import { allMeasured, type Answer, type Case, expected, type TransactionVersion } from "./suite.ts"

const differenceOf = (it: Case) => differences.find(({ name, section }) => section === it.section && name === it.name)

const ask = (it: Case, transactionVersion: TransactionVersion): Promise<Answer> =>
  Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const broker = yield* Broker.make({
      transactionVersion,
      autoCreateTopics: false,
      internalPartitions: 5,
      groups: { minSessionTimeout: 1_000, consumerAssignmentInterval: 50 },
      // What a case needs a minute for with Kafka.
      ...(it.section === EXHAUSTION ? { firstEpoch: 32_700 } : {})
    })
    const [address] = broker.addresses
    const answer = yield* Effect.promise(() =>
      runCase(it, { address: address ?? "", transactionVersion, broker, prefix: "case" })
    )
    assert.deepStrictEqual(yield* broker.defects, [])
    return answer
  })))

/** As it would come back from a file. */
const plain = (answer: Answer): Answer => answer === undefined ? null : JSON.parse(JSON.stringify(answer)) as Answer

for (const version of [1, 2] as const) {
  describe(`${cases.length} cases as Kafka 4.3.1 answers them, transaction.version ${version}`, () => {
    for (const section of new Set(cases.map((it) => it.section))) {
      describe(section, () => {
        for (const each of cases.filter((it) => it.section === section)) {
          it(each.name, async () => {
            const difference = differenceOf(each)
            const answer = plain(await ask(each, version))
            assert.deepStrictEqual(answer, difference === undefined ? expected(each, version) : difference.embedded)
          })
        }
      })
    }
  })
}

describe("the suite", () => {
  it("has a name of its own for every case, and no answer without one", () => {
    const names = cases.map(({ name, section }) => `${section}: ${name}`)
    const known = [...new Set(cases.map(({ section }) => section))].flatMap((section) =>
      allMeasured(section).map((name) => `${section}: ${name}`)
    )
    assert.deepStrictEqual(names.toSorted(), known.toSorted())
  })

  it("explains every difference, and lists no other", () => {
    const text = readFileSync(new URL("../../../../docs/kafka/differences.md", import.meta.url), "utf8")
    const explained = [...text.matchAll(/^- Case: \*(.*)\*$/gm)].map(([, name]) => name)
    assert.deepStrictEqual(explained.toSorted(), differences.map(({ name }) => name).toSorted())
    for (const it of differences) {
      const [found] = cases.filter(({ name, section }) => section === it.section && name === it.name)
      assert.isDefined(found, it.name)
      assert.notDeepEqual(expected(found!, 2), it.embedded, it.name)
    }
  })
})
