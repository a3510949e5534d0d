/**
 * What is checked before the first connection: that kafkajs is the version this driver was written for, and that the
 * abort filter, the checksum and the record codec give known answers. Pure data, about a millisecond.
 */
import { crc32c } from "@exactly-once/codecs"
import { Driver } from "@exactly-once/core"
import * as Effect from "effect/Effect"
import { type AbortedTransaction, makeAbortFilter } from "./abortFilter.ts"
import { makeRegistry } from "./compression.ts"
import { internals, problems } from "./kafkajsInternals.ts"
import { readRecords } from "./recordReader.ts"
import { writeBatch } from "./recordWriter.ts"

type Line = readonly [producerId: bigint, offset: bigint, kind: "data" | "abort" | "commit"]

const visible = (aborted: ReadonlyArray<AbortedTransaction>, log: ReadonlyArray<Line>): string => {
  const filter = makeAbortFilter(aborted)
  return log.filter(([producerId, lastOffset, kind]) =>
    filter({ producerId, lastOffset, transactional: true, control: kind !== "data", abortMarker: kind === "abort" })
  ).map(([, offset]) => offset).join(" ")
}

const cases: ReadonlyArray<readonly [name: string, aborted: ReadonlyArray<AbortedTransaction>, Line[], seen: string]> =
  [
    [
      "interleaved transactions, listed in the order of their ends",
      [{ producerId: 2n, firstOffset: 1n }, { producerId: 1n, firstOffset: 0n }],
      [[1n, 0n, "data"], [2n, 1n, "data"], [2n, 2n, "abort"], [1n, 3n, "data"], [3n, 4n, "data"], [1n, 5n, "abort"]],
      "4"
    ],
    [
      "one producer aborts again and again",
      [{ producerId: 1n, firstOffset: 0n }, { producerId: 1n, firstOffset: 4n }],
      [[1n, 0n, "data"], [1n, 1n, "abort"], [1n, 2n, "data"], [1n, 3n, "commit"], [1n, 4n, "data"], [1n, 5n, "abort"]],
      "2"
    ],
    ["a marker behind the response", [{ producerId: 1n, firstOffset: 0n }], [[1n, 0n, "data"], [1n, 1n, "data"]], ""],
    ["a marker without data", [{ producerId: 1n, firstOffset: 0n }], [[1n, 0n, "abort"], [1n, 1n, "data"]], "1"]
  ]

const failing = (): ReadonlyArray<string> => {
  const found: Array<string> = []
  for (const [name, aborted, log, seen] of cases) {
    const got = visible(aborted, log)
    if (got !== seen) found.push(`abort filter, ${name}: "${got}" instead of "${seen}"`)
  }
  if (crc32c(Buffer.from("123456789")) !== 0xe3069283) found.push("crc32c")
  // A user's key that looks like a marker's, in an aborted transaction followed by a committed record.
  const zeroKey = {
    key: Buffer.alloc(4),
    value: Buffer.from("v"),
    headers: [["h", null], ["h", Buffer.of(1)]]
  } as const
  const options = { epoch: 0, firstSequence: 0, transactional: true, now: 1, compression: undefined }
  const first = writeBatch([zeroKey], { ...options, producerId: 1n })
  const second = writeBatch([{ key: null, value: null }], { ...options, producerId: 2n })
  second.writeBigInt64BE(1n, 0)
  const read = readRecords({
    topic: "self-test",
    partition: 0,
    bytes: Buffer.concat([first, second]),
    fetchOffset: 0n,
    aborted: [{ producerId: 1n, firstOffset: 0n }],
    codecs: makeRegistry({})
  })
  if ("failure" in read || read.records.length !== 1 || read.records[0]?.offset !== 1n || read.nextOffset !== 2n) {
    found.push("record codec")
  }
  return found
}

/** Fails with `Misconfigured`, naming everything that is not as it should be. */
export const selfTest: Effect.Effect<void, Driver.DriverError> = Effect.suspend(() => {
  let found: ReadonlyArray<string>
  try {
    found = [...problems(internals()), ...failing()]
  } catch (cause) {
    found = [`kafkajs cannot be loaded: ${cause instanceof Error ? cause.message : String(cause)}`]
  }
  return found.length === 0 ? Effect.void : Effect.fail(
    new Driver.DriverError({
      operation: "selfTest",
      failure: "Misconfigured",
      setting: "kafkajs",
      description: `the kafkajs driver does not fit its kafkajs: ${found.join("; ")}. Install kafkajs 2.2.4 exactly`
    })
  )
})
