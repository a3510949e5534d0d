/** Time and randomness as they are. */
import { randomBytes } from "node:crypto"
import type { Environment } from "./cluster/Options.ts"

/** The longest that a timer of Node's can run, some 24 days; it would fire a longer one at once. */
const LONGEST = 2_147_483_647

export const realTime: Environment = {
  now: () => Date.now(),
  after: (millis, run) => {
    if (millis <= 0) {
      const immediate = setImmediate(run)
      return () => clearImmediate(immediate)
    }
    const timer = setTimeout(run, Math.min(millis, LONGEST))
    return () => clearTimeout(timer)
  },
  randomBytes: () => Uint8Array.from(randomBytes(16))
}
