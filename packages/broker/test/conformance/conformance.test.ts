/** Every case against the embedded broker, with transaction.version 1 and 2, each in a broker of its own. */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "vitest"
import { cases } from "./cases/index.ts"
import { differences } from "./differences.ts"
import { inEmbedded } from "./embedded.ts"
import { allMeasured, type Case, expected, plain } from "./suite.ts"

const differenceOf = (it: Case) => differences.find(({ name, section }) => section === it.section && name === it.name)

for (const version of [1, 2] as const) {
  describe(`${cases.length} cases as Kafka 4.3.1 answers them, transaction.version ${version}`, () => {
    for (const section of new Set(cases.map((it) => it.section))) {
      describe(section, () => {
        for (const each of cases.filter((it) => it.section === section)) {
          it(each.name, async () => {
            const difference = differenceOf(each)
            const answer = plain(await inEmbedded(each, version))
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
