import { readFileSync } from "node:fs"

interface JavaBatch {
  readonly kind: "batch"
  readonly name: string
  readonly bytes: string
  readonly records: ReadonlyArray<{
    readonly timestamp: string
    readonly key: string
    /** The first 96 bytes of values longer than 1000. */
    readonly value: string
    readonly headers: ReadonlyArray<unknown>
  }>
}

const file = new URL("../../protocol/test/fixtures/java.jsonl", import.meta.url)

/** The compressed batches that the Java client 4.3.1 made; fixtures/Fixtures.java says how. */
export const javaBatches = readFileSync(file, "utf8").trim().split("\n")
  .map((line) => JSON.parse(line) as JavaBatch | { readonly kind: "murmur2" })
  .filter((line) => line.kind === "batch")

export const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex")

/** Numbers from 0 to `bound - 1`, the same ones for the same seed. */
export const randomFrom = (seed: number): (bound: number) => number => {
  let state = seed
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor(state / 4_294_967_296 * bound)
  }
}

export const randomBytes = (seed: number, length: number): Uint8Array => {
  const below = randomFrom(seed)
  return new Uint8Array(length).map(() => below(256))
}
