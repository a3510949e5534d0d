import { spawnSync } from "node:child_process"
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"

const root = join(import.meta.dirname, "..", "..")
let folder = ""

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "import-rules-"))
  copyFileSync(join(root, ".oxlintrc.json"), join(folder, ".oxlintrc.json"))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Which of the modules a file at this path must not import. */
const refused = (path: string, modules: ReadonlyArray<string>): ReadonlyArray<string> => {
  const file = join(folder, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, modules.map((module, index) => `export * as x${index} from "${module}"\n`).join(""))
  const { stderr, stdout } = spawnSync(
    join(root, "node_modules", ".bin", "oxlint"),
    ["-f", "unix", path],
    { cwd: folder, encoding: "utf8" }
  )
  rmSync(file)
  const lines = new Set([...stdout.matchAll(/:(\d+):\d+: .*no-restricted-imports/g)].map((match) => Number(match[1])))
  assert.match(stdout + stderr, /problem|^$/, "oxlint itself failed")
  return modules.filter((_, index) => lines.has(index + 1))
}

const everything = [
  "./Sibling.ts",
  "../Parent.ts",
  "effect/Effect",
  "effect",
  "effect/FileSystem",
  "effect/sql/SqlClient",
  "node:net",
  "kafkajs",
  "@exactly-once/protocol",
  "@exactly-once/core",
  "@exactly-once/broker",
  "@exactly-once/kafkajs",
  "@exactly-once/core/internal/session",
  "../../broker/src/Broker.ts"
]
const never = [
  "effect",
  "effect/FileSystem",
  "effect/sql/SqlClient",
  "@exactly-once/core/internal/session",
  "../../broker/src/Broker.ts"
]
const refusedBesides = (path: string) => refused(path, everything).filter((module) => !never.includes(module))

describe("who may import whom", () => {
  it("core knows effect's stable modules and itself", () => {
    assert.deepStrictEqual(refused("packages/core/src/Topic.ts", everything), everything.slice(3))
  })

  it("protocol knows nothing", () => {
    assert.deepStrictEqual(refused("packages/protocol/src/Reader.ts", everything), everything.slice(2))
  })

  it("the kafkajs driver knows core, kafkajs and Node, no broker and no protocol", () => {
    assert.deepStrictEqual(refusedBesides("packages/kafkajs/src/KafkaJs.ts"), [
      "@exactly-once/protocol",
      "@exactly-once/broker"
    ])
  })

  it("the broker knows the protocol, and sockets in one file only", () => {
    const others = ["kafkajs", "@exactly-once/core", "@exactly-once/broker", "@exactly-once/kafkajs"]
    assert.deepStrictEqual(refusedBesides("packages/broker/src/log/PartitionLog.ts"), ["node:net", ...others])
    assert.notInclude(refusedBesides("packages/broker/src/wire/Tcp.ts"), "node:net")
    assert.include(refused("packages/broker/src/wire/Tcp.ts", ["node:tls"]), "node:tls")
  })

  it("the testkit is given its driver as a layer, and imports none", () => {
    assert.deepStrictEqual(refusedBesides("packages/testkit/src/Proxy.ts"), ["kafkajs", "@exactly-once/kafkajs"])
  })

  it("nobody reaches into another package", () => {
    for (const path of ["examples/worker.ts", "packages/core/test/sub/Topic.test.ts", "bench/run.ts"]) {
      assert.deepStrictEqual(refused(path, ["@exactly-once/core", "@exactly-once/core/internal/session"]), [
        "@exactly-once/core/internal/session"
      ])
    }
    assert.deepStrictEqual(
      refused("packages/core/test/sub/Topic.test.ts", ["../../src/Topic.ts", "../../../broker/src/Broker.ts"]),
      [
        "../../../broker/src/Broker.ts"
      ]
    )
  })
})
