import { readFileSync } from "node:fs"

export interface JavaRecord {
  readonly offset: string
  readonly timestamp: string
  readonly key: string | null
  /** The first 96 bytes of values longer than 1000. */
  readonly value: string | null
  readonly headers: ReadonlyArray<readonly [key: string, value: string | null]>
}

interface JavaBatch {
  readonly kind: "batch"
  readonly name: string
  readonly bytes: string
  readonly records: ReadonlyArray<JavaRecord>
}

interface JavaMurmur2 {
  readonly kind: "murmur2"
  readonly key: string
  readonly hash: number
  readonly of7: number
}

const file = new URL("fixtures/java.jsonl", import.meta.url)
const lines = readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line) as JavaBatch | JavaMurmur2)

/** What fixtures/Fixtures.java printed with the Java client 4.3.1. */
export const javaBatches = lines.filter((line) => line.kind === "batch")
export const javaMurmur2 = lines.filter((line) => line.kind === "murmur2")
