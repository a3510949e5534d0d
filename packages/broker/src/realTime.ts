/** Time and randomness as they are. */
import { randomBytes } from "node:crypto"
import type { Environment } from "./cluster/Options.ts"

export const realTime: Environment = {
  now: () => Date.now(),
  after: (millis, run) => {
    const timer = setTimeout(run, millis)
    return () => clearTimeout(timer)
  },
  randomBytes: () => Uint8Array.from(randomBytes(16))
}
