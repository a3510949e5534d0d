import { assert, describe, it } from "@effect/vitest"
import { Apis, Frame } from "@exactly-once/protocol"
import { Connection } from "../src/network/Connection.ts"
import type { Failure } from "../src/network/failure.ts"

/** A connection over a channel that records what is written, on a clock that the test moves. */
const made = (maxInFlight = 2) => {
  let now = 0
  const alarms = new Set<{ readonly at: number; readonly run: () => void }>()
  const written: Array<Uint8Array> = []
  const log: Array<string> = []
  const connection = new Connection({
    channel: { write: (bytes) => written.push(bytes), close: () => log.push("closed") },
    environment: {
      now: () => now,
      after: (millis, run) => {
        const alarm = { at: now + millis, run }
        alarms.add(alarm)
        return () => alarms.delete(alarm)
      },
      random: () => 0.5,
      fork: () => {}
    },
    clientId: "test",
    maxInFlight,
    maxFrameBytes: 1_000
  })
  connection.versions = new Map([[Apis.Heartbeat.key, { min: 0, max: 4 }]])
  const ask = (name: string, timeoutMs = 100) =>
    connection.request(
      Apis.Heartbeat,
      { groupId: name, generationId: 1, memberId: name },
      { timeoutMs },
      ({ errorCode }) => log.push(`${name} answered ${errorCode}`),
      (failure: Failure) => log.push(`${name} failed, ${failure.sent ? "sent" : "not sent"}`)
    )
  const answer = (correlationId: number, errorCode = 0) =>
    Frame.encodeResponse(Apis.Heartbeat, { errorCode }, { version: 4, correlationId })
  const advance = (millis: number) => {
    now += millis
    for (const alarm of [...alarms]) {
      if (alarm.at > now) continue
      alarms.delete(alarm)
      alarm.run()
    }
  }
  return { connection, ask, answer, advance, written, log }
}

describe("a connection", () => {
  it("hands answers out in the order of the requests, however their bytes are cut", () => {
    const { answer, ask, connection, log } = made()
    ask("a")
    ask("b")
    const bytes = [...answer(0), ...answer(1, 27)]
    for (const byte of bytes) connection.receive(Uint8Array.of(byte))
    assert.deepStrictEqual(log, ["a answered 0", "b answered 27"])
  })

  it("keeps no more requests on the wire than it may, and says of each whether it was sent", () => {
    const { answer, ask, connection, log, written } = made(2)
    for (const name of ["a", "b", "c", "d"]) ask(name)
    assert.strictEqual(written.length, 2)
    connection.receive(answer(0))
    assert.strictEqual(written.length, 3)
    connection.close(new Error("cut"))
    assert.deepStrictEqual(log, [
      "a answered 0",
      "closed",
      "b failed, sent",
      "c failed, sent",
      "d failed, not sent"
    ])
    assert.isFalse(connection.isOpen)
  })

  it("is given up when one answer is late, with all that waits behind it", () => {
    const { advance, ask, log } = made()
    ask("slow", 500)
    ask("quick", 100)
    advance(99)
    assert.deepStrictEqual(log, [])
    advance(1)
    assert.deepStrictEqual(log, ["closed", "slow failed, sent", "quick failed, sent"])
  })

  for (
    const [what, bytes] of [
      [
        "an answer to nobody's request",
        Frame.encodeResponse(Apis.Heartbeat, { errorCode: 0 }, {
          version: 4,
          correlationId: 77
        })
      ],
      ["text instead of a frame", new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n")],
      ["a frame of a negative size", Uint8Array.of(255, 255, 255, 255)],
      ["an answer that is cut short", Uint8Array.of(0, 0, 0, 5, 0, 0, 0, 0, 0)]
    ] as const
  ) {
    it(`ends on ${what}, and takes nothing from it`, () => {
      const { ask, connection, log } = made()
      ask("a")
      connection.receive(bytes)
      assert.deepStrictEqual(log, ["closed", "a failed, sent"])
      connection.receive(bytes)
      assert.strictEqual(log.length, 2)
    })
  }

  it("fails a request that comes after its end as not sent, and never at once", async () => {
    const { ask, connection, log } = made()
    connection.close(new Error("cut"))
    ask("late")
    assert.deepStrictEqual(log, ["closed"])
    await Promise.resolve()
    assert.deepStrictEqual(log, ["closed", "late failed, not sent"])
  })

  it("does not send what the broker does not speak", async () => {
    const { connection, written } = made()
    const failures: Array<Failure> = []
    connection.request(
      Apis.EndTxn,
      {
        transactionalId: "id",
        producerId: 1n,
        producerEpoch: 0,
        committed: true
      },
      { timeoutMs: 10 },
      () => {},
      (failure) => failures.push(failure)
    )
    await Promise.resolve()
    assert.strictEqual(failures[0]?.code, 35)
    assert.isFalse(failures[0]?.sent)
    assert.strictEqual(written.length, 0)
  })
})
