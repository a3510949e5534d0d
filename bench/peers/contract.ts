/** What every peer is told by its environment, and what it answers with: see bench/README.md. */

export { transform } from "./transform.ts"

const text = (name: string, otherwise?: string): string => {
  const value = process.env[name] ?? otherwise
  if (value === undefined) throw new Error(`${name} is not set`)
  return value
}

const number = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise)

export const settings = {
  brokers: text("KAFKA_BOOTSTRAP").split(","),
  mode: text("MODE", "copy"),
  input: text("IN_TOPIC", "-"),
  output: text("OUT_TOPIC"),
  group: text("GROUP", "-"),
  records: number("N", 0),
  commitMs: number("COMMIT_MS", 100),
  durationMs: number("DURATION_MS", 8000)
}

const PADDING = ".".repeat(87)
export const producedKey = (sequence: number): Buffer => Buffer.from(`k${String(sequence).padStart(15, "0")}`)
export const producedValue = (sequence: number): Buffer =>
  Buffer.from(`X${String(sequence).padStart(12, "0")}${PADDING}`)

/** The last line of a peer's output. */
export const answer = (result: Readonly<Record<string, number>>): void => console.log(JSON.stringify(result))

export const answerCopy = (firstMs: number, records: number, txns: number): void =>
  answer({ first_ms: firstMs, end_ms: Date.now(), records, txns })

export const answerLatencies = (latencies: ReadonlyArray<number>, elapsedMs: number): void => {
  const sorted = Float64Array.from(latencies).sort()
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
  answer({
    txns: sorted.length,
    records: sorted.length,
    elapsed_ms: Math.round(elapsedMs),
    p50_ms: at(0.5),
    p99_ms: at(0.99),
    max_ms: at(1)
  })
}
