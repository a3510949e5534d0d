import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

const fixtures = join(import.meta.dirname, "fixtures/types")
const compiler = join(import.meta.dirname, "../../../../node_modules/.bin/tsc")

interface Diagnostic {
  readonly line: number
  readonly text: string
}

/** What the compiler prints, by file. */
const compile = new Promise<ReadonlyMap<string, ReadonlyArray<Diagnostic>>>((resolve) => {
  execFile(compiler, ["-p", fixtures, "--pretty", "false"], { cwd: fixtures }, (_error, stdout, stderr) => {
    const printed = new Map<string, Array<{ line: number; text: string }>>()
    let last: { line: number; text: string } | undefined
    for (const line of `${stdout}${stderr}`.split("\n").filter((line) => line !== "")) {
      const head = /^(.+?)\((\d+),\d+\): (.*)$/.exec(line)
      if (head === null && last !== undefined) {
        last.text += `\n${line}`
        continue
      }
      const [, file = "no file", at = "0", text = line] = head ?? []
      last = { line: Number(at), text }
      printed.set(file, [...printed.get(file) ?? [], last])
    }
    resolve(printed)
  })
})

/** Comments `// error: text`: an error whose message holds `text` is due between here and the next one. */
const expectations = (file: string): ReadonlyArray<Diagnostic> =>
  readFileSync(join(fixtures, file), "utf8").split("\n").flatMap((line, i) => {
    const text = /^\s*\/\/ error: (.*)$/.exec(line)?.[1]
    return text === undefined ? [] : [{ line: i + 1, text }]
  })

const behaviours: Readonly<Record<string, string>> = {
  "emitBesidePipeline.ts": "an emit before or after the transaction of a pipeline",
  "emitOutside.ts": "an emit without a transaction",
  "externalService.ts": "a service in a body that a transaction does not cover",
  "forgedBatch.ts": "a batch that was not read",
  "forgedSession.ts": "a session that no coordinator knows",
  "missingLayer.ts": "a program that lacks one of its layers",
  "nested.ts": "a transaction inside another one's body",
  "wrongRecord.ts": "a record that does not fit its topic"
}

describe("the compiler refuses, and says why", () => {
  it("every fixture is named here", () => {
    const files = readdirSync(fixtures).filter((file) => file.endsWith(".ts"))
    assert.deepStrictEqual(
      files.filter((file) => expectations(file).length > 0).toSorted(),
      Object.keys(behaviours).toSorted()
    )
  })

  it.each(Object.entries(behaviours))("%s: %s", async (file) => {
    const found = (await compile).get(file) ?? []
    const expected = expectations(file)
    assert.strictEqual(found.length, expected.length, found.map(({ line, text }) => `${line}: ${text}`).join("\n"))
    expected.forEach(({ line, text }, i) => {
      const diagnostic = found[i]
      assert.include(diagnostic?.text, text)
      assert.isAbove(diagnostic?.line ?? 0, line)
      assert.isBelow(diagnostic?.line ?? 0, expected[i + 1]?.line ?? Number.POSITIVE_INFINITY)
    })
  })
})

describe("the compiler accepts", () => {
  it("a program with all its layers, and nothing else complains", async () => {
    const printed = await compile
    assert.deepStrictEqual(Array.from(printed.keys()).filter((file) => behaviours[file] === undefined), [])
    assert.isAbove(printed.size, 0)
  })
})
