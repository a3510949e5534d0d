import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { type Right, rights } from "./rights.ts"

const page = readFileSync(join(import.meta.dirname, "../../../../docs/operations/acls.md"), "utf8")

describe("docs/operations/acls.md", () => {
  it("has the rights that are tried on real Kafka, and none besides", () => {
    const rows = page.split("\n").flatMap((line) => {
      const [use, operation, resource, name, pattern] = line.split("|").slice(1).map((cell) =>
        cell.trim().replaceAll("`", "")
      )
      return use !== undefined && use in rights ? [[use, operation, resource, name, pattern]] : []
    })
    const expected = Object.entries(rights).flatMap(([use, needed]) =>
      needed.map(({ name, operation, prefixed, resource }: Right) => [
        use,
        operation,
        resource,
        name,
        prefixed === true ? "prefixed" : "literal"
      ])
    )
    assert.deepStrictEqual(rows, expected)
  })
})
