import { Crc32c } from "@exactly-once/protocol"
import { optional } from "./native.ts"

interface NodeRs {
  readonly crc32c: (bytes: Uint8Array) => number
}

const load = optional<NodeRs>("@node-rs/crc32")

// Below this many bytes the call into native code costs more than it saves (bench/crc.ts).
const WORTH_A_CALL = 256

/** CRC-32C by the processor's own instruction where `@node-rs/crc32` is installed, and by the protocol's plain one elsewhere. */
export const crc32c: Crc32c.Crc32c = (bytes) => {
  if (bytes.length < WORTH_A_CALL) return Crc32c.crc32c(bytes)
  const native = load()
  return native === undefined ? Crc32c.crc32c(bytes) : native.crc32c(bytes) >>> 0
}
