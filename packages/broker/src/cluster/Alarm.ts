import type { Environment } from "./Options.ts"

/** One timer for whatever is due next. */
export class Alarm {
  private readonly environment: Environment
  private readonly nextDeadline: () => number
  private readonly ring: () => void
  private timer: { readonly at: number; readonly cancel: () => void } | undefined
  private stopped = false

  /** `nextDeadline` answers `Infinity` when nothing is due. */
  constructor(environment: Environment, nextDeadline: () => number, ring: () => void) {
    this.environment = environment
    this.nextDeadline = nextDeadline
    this.ring = ring
  }

  /** Sees to it that the timer goes off no later than the next deadline. An earlier one than needed does no harm: it looks again. */
  set(): void {
    if (this.stopped) return
    const at = this.nextDeadline()
    if (this.timer !== undefined) {
      if (this.timer.at <= at) return
      this.timer.cancel()
      this.timer = undefined
    }
    if (at === Infinity) return
    const cancel = this.environment.after(Math.max(0, Math.ceil(at - this.environment.now())), () => {
      this.timer = undefined
      this.ring()
    })
    this.timer = { at, cancel }
  }

  stop(): void {
    this.stopped = true
    this.timer?.cancel()
    this.timer = undefined
  }
}
