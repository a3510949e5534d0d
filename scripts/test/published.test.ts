import { assert, describe, it } from "vitest"
import { orphans, targets, toPublished } from "../lib/published.ts"

const manifest = {
  name: "@exactly-once/example",
  version: "0.1.0",
  exports: {
    ".": "./src/index.ts",
    "./Topic": { node: "./src/Topic.ts", default: "./src/sub/Topic.ts" },
    "./internal/*": null,
    "./package.json": "./package.json"
  },
  bin: { example: "./src/bin.ts" },
  scripts: { prepack: "x" },
  peerDependencies: { effect: "4.1.0" }
}

describe("what is published", () => {
  it("names built files with their types, keeps what is sealed, and drops the scripts", () => {
    assert.deepStrictEqual(toPublished(manifest), {
      name: "@exactly-once/example",
      version: "0.1.0",
      exports: {
        ".": { types: "./dist/index.d.ts", default: "./dist/index.js" },
        "./Topic": {
          node: { types: "./dist/Topic.d.ts", default: "./dist/Topic.js" },
          default: { types: "./dist/sub/Topic.d.ts", default: "./dist/sub/Topic.js" }
        },
        "./internal/*": null,
        "./package.json": "./package.json"
      },
      bin: { example: "./dist/bin.js" },
      peerDependencies: { effect: "4.1.0" }
    })
  })

  it("types come before code, since the first condition that fits wins", () => {
    const published = JSON.stringify(toPublished(manifest))
    assert.isBelow(published.indexOf("dist/index.d.ts"), published.indexOf("dist/index.js"))
  })

  it("every file that must exist is listed, a pattern is not", () => {
    assert.deepStrictEqual(
      targets({ name: "a", version: "1", exports: { ".": { default: "./a.js" }, "./*": "./b/*.js" } }),
      ["./a.js"]
    )
  })

  it("a built file without a source is an orphan", () => {
    const dist = ["a.js", "a.js.map", "a.d.ts", "a.d.ts.map", "gone.js", "sub/b.js"]
    assert.deepStrictEqual(orphans(dist, ["a.ts", "sub/b.ts"]), ["gone.js"])
  })
})
