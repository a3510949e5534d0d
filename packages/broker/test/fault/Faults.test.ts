import { assert, describe, it } from "vitest"
import { type FaultRule, Faults, type Observed } from "../../src/fault/Faults.ts"

const observed = (over: Partial<Observed> = {}): Observed => ({
  key: 26,
  name: "EndTxn",
  clientId: "worker-1",
  connection: 1,
  node: 1,
  request: { transactionalId: "id" },
  ...over
})

const DROP = { type: "drop" } as const

const types = (faults: Faults, it: Observed, when: "before" | "after" = "before") =>
  faults.match(when, it).map(({ type }) => type)

describe("a fault rule", () => {
  const cases: ReadonlyArray<readonly [string, Omit<FaultRule, "action">, Partial<Observed>, boolean]> = [
    ["without conditions is about everything", {}, {}, true],
    ["names an API", { api: "EndTxn" }, {}, true],
    ["names an API by its key", { api: 26 }, {}, true],
    ["names several APIs", { api: ["Produce", 26] }, {}, true],
    ["is not about another API", { api: "Produce" }, {}, false],
    ["names a client", { clientId: "worker-1" }, {}, true],
    ["names clients by their beginning", { clientId: "worker-*" }, {}, true],
    ["is not about another client", { clientId: "worker" }, {}, false],
    ["names a connection", { connection: 1 }, {}, true],
    ["is not about another connection", { connection: 2 }, {}, false],
    ["is not about another node", { node: 2 }, {}, false],
    ["names a transactional id", { transactionalId: "id" }, {}, true],
    ["finds a transactional id in a batched request", { transactionalId: "x" }, {
      request: { transactions: [{ transactionalId: "x" }] }
    }, true],
    ["finds one of the older form", { transactionalId: "x" }, { request: { v3AndBelowTransactionalId: "x" } }, true],
    ["is not about another transactional id", { transactionalId: "other" }, {}, false],
    ["names a group", { groupId: "g" }, { request: { groupId: "g" } }, true],
    [
      "finds a group among several",
      { groupId: "g" },
      { request: { groups: [{ groupId: "f" }, { groupId: "g" }] } },
      true
    ],
    ["is not about requests without a group", { groupId: "g" }, {}, false]
  ]
  for (const [what, rule, over, expected] of cases) {
    it(what, () => {
      const faults = new Faults()
      faults.add({ ...rule, action: DROP })
      assert.deepStrictEqual(types(faults, observed(over)), expected ? ["drop"] : [])
    })
  }

  it("acts on the nth request only, counting those it is about", () => {
    const faults = new Faults()
    faults.add({ api: "EndTxn", nth: 2, action: DROP })
    const seen = [observed(), observed({ name: "Produce", key: 0 }), observed(), observed()]
    assert.deepStrictEqual(seen.map((it) => types(faults, it).length), [0, 0, 1, 0])
  })

  it("acts so many times, and can be removed", () => {
    const faults = new Faults()
    const rule = faults.add({ times: 2, action: DROP })
    assert.deepStrictEqual([1, 2, 3].map(() => types(faults, observed()).length), [1, 1, 0])
    assert.strictEqual(rule.hits, 2)
    const forever = faults.add({ action: DROP })
    assert.strictEqual(types(faults, observed()).length, 1)
    forever.remove()
    assert.strictEqual(types(faults, observed()).length, 0)
  })

  it("acts before the request unless it says after", () => {
    const faults = new Faults()
    faults.add({ when: "after", action: DROP })
    assert.deepStrictEqual(types(faults, observed()), [])
    assert.deepStrictEqual(types(faults, observed(), "after"), ["drop"])
  })

  it("that is a step lets later rules act too, another ends the search", () => {
    const faults = new Faults()
    faults.add({ action: { type: "step", step: { type: "fence", transactionalId: "id" } } })
    faults.add({ action: { type: "error", code: 7 } })
    faults.add({ action: DROP })
    assert.deepStrictEqual(types(faults, observed()), ["step", "error"])
  })

  it("tells when it has acted often enough", () => {
    const faults = new Faults()
    const rule = faults.add({ action: DROP })
    const told: Array<string> = []
    rule.onHits(2, () => told.push("two"))
    types(faults, observed())
    assert.deepStrictEqual(told, [])
    types(faults, observed())
    assert.deepStrictEqual(told, ["two"])
    rule.onHits(1, () => told.push("one"))
    assert.deepStrictEqual(told, ["two", "one"])
  })
})
