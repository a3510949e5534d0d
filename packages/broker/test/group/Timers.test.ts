import { assert, describe, it } from "@effect/vitest"
import { makeTimer, type Timer, Timers } from "../../src/group/Timers.ts"
import { Random } from "./random.ts"

const nothing = () => {}

describe("deadlines", () => {
  it("come up in order, and those of one moment in the order in which they were set", () => {
    const timers = new Timers()
    const [a, b, c] = [makeTimer("sessions", nothing), makeTimer("sessions", nothing), makeTimer("sessions", nothing)]
    timers.set(a, 20)
    timers.set(b, 10)
    timers.set(c, 20)
    assert.strictEqual(timers.next(), 10)
    assert.isUndefined(timers.take(9))
    assert.deepStrictEqual([timers.take(20)?.timer, timers.take(20)?.timer, timers.take(20)?.timer], [b, a, c])
    assert.isUndefined(timers.next())
  })

  it("are what was set last, as a plain list would have it", () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = new Random(seed)
      const timers = new Timers()
      const all = Array.from({ length: 8 }, (_, i) => makeTimer(i % 2 === 0 ? "sessions" : "rebalances", nothing))
      const model = new Map<Timer, number>()
      let now = 0
      for (let step = 0; step < 300; step++) {
        const timer = random.pick(all)
        const what = random.next()
        if (what < 0.5) {
          const at = now + random.int(100)
          timers.set(timer, at)
          model.set(timer, at)
        } else if (what < 0.6) {
          timers.cancel(timer)
          model.delete(timer)
        } else if (what < 0.65) {
          timers.advance("sessions", 30)
          for (const [each, at] of model) if (each.scope === "sessions") model.set(each, at - 30)
        } else {
          now += random.int(40)
          for (;;) {
            const due = timers.take(now)
            if (due === undefined) break
            assert.strictEqual(due.at, model.get(due.timer))
            assert.strictEqual(due.at, Math.min(...model.values()))
            model.delete(due.timer)
          }
        }
        assert.strictEqual(timers.next(), model.size === 0 ? undefined : Math.min(...model.values()))
        assert.strictEqual(timers.size, model.size)
      }
    }
  })
})
