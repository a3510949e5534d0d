import { assert, describe, it } from "vitest"
import { complete, missing, platform } from "../lib/lockfile.ts"

const lock = {
  packages: {
    "": {},
    "node_modules/tool": {
      version: "2.0.0",
      dev: true,
      optionalDependencies: { "@tool/linux-x64-musl": "2.0.0", "@tool/linux-x64-glibc": "2.0.0", nested: "1.0.0" }
    },
    "node_modules/@tool/linux-x64-glibc": { version: "2.0.0" },
    "node_modules/tool/node_modules/nested": { version: "1.0.0" }
  }
}

describe("the lockfile", () => {
  it("an optional dependency is missing only where Node would not find it", () => {
    assert.deepStrictEqual(missing(lock).map(({ name }) => name), ["@tool/linux-x64-musl"])
  })

  it("what is added is skipped on every other platform, and completes the file", () => {
    const full = complete(lock)
    assert.deepStrictEqual(full.packages["node_modules/@tool/linux-x64-musl"], {
      version: "2.0.0",
      cpu: ["x64"],
      os: ["linux"],
      libc: ["musl"],
      dev: true,
      optional: true
    })
    assert.isEmpty(missing(full))
  })

  it("a name that says no platform is refused rather than guessed", () => {
    assert.isUndefined(platform("fsevents"))
    assert.throws(() => complete({ packages: { "": { optionalDependencies: { fsevents: "2.3.3" } } } }), /fsevents/)
  })

  it("Arm's 32-bit ABI names are told from 64 bits", () => {
    assert.deepStrictEqual(platform("@x/binding-linux-arm-musleabihf"), { cpu: ["arm"], os: ["linux"], libc: ["musl"] })
    assert.deepStrictEqual(platform("@x/binding-win32-arm64-msvc"), { cpu: ["arm64"], os: ["win32"] })
    assert.deepStrictEqual(platform("@x/binding-wasm32-wasi"), { cpu: ["wasm32"] })
  })
})
