/**
 * CRC-32C implementations, side by side: `npx node bench/crc.ts`. The two packages are measured when they are installed
 * (`npm install --no-save @node-rs/crc32@1.10.8 @chainsafe/fast-crc32c@4.2.0`); the decision and its numbers are in docs/decisions/0002-generated-protocol.md.
 */
import { Crc32c } from "@exactly-once/protocol"

type Crc = (bytes: Uint8Array) => number

const candidates: Array<readonly [name: string, crc: Crc]> = [["slice-by-8 (ours)", Crc32c.crc32c]]

const tryPackage = async (name: string, pick: (module: Record<string, unknown>) => unknown): Promise<void> => {
  try {
    const crc = pick(await import(name) as Record<string, unknown>)
    // Each of these packages documents its function to take bytes and to answer an unsigned number; the check below holds them to it.
    if (typeof crc === "function") candidates.push([name, crc as Crc])
  } catch {
    console.log(`${name} is not installed`)
  }
}

await tryPackage("@node-rs/crc32", (module) => module["crc32c"])
await tryPackage("@chainsafe/fast-crc32c", (module) => (module["default"] as { calculate: unknown }).calculate)

const check = new TextEncoder().encode("123456789")
for (const [name, crc] of candidates) {
  if (crc(check) >>> 0 !== 0xe3069283) throw new Error(`${name} is not CRC-32C`)
}

const measure = (crc: Crc, bytes: Uint8Array): number => {
  const rounds: Array<number> = []
  for (let round = 0; round < 7; round++) {
    const end = performance.now() + 150
    const start = performance.now()
    let calls = 0
    while (performance.now() < end) {
      for (let i = 0; i < 16; i++) crc(bytes)
      calls += 16
    }
    rounds.push(calls * bytes.length / (performance.now() - start) / 1000)
  }
  return rounds.toSorted((a, b) => b - a)[0] ?? 0
}

const sizes = [100, 1024, 16_384, 1_048_576]
console.log(`Node ${process.version}, best of 7 rounds, MB/s`)
console.log(["".padEnd(24), ...sizes.map((size) => `${size} B`.padStart(12))].join(""))
for (const [name, crc] of candidates) {
  const cells = sizes.map((size) => {
    const bytes = new Uint8Array(size).map((_, i) => i * 31)
    return measure(crc, bytes).toFixed(0).padStart(12)
  })
  console.log([name.padEnd(24), ...cells].join(""))
}
